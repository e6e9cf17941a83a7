package salesforce

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onhook/onhook/pkg/config"
)

func TestConfigThatCheckRefuses(t *testing.T) {
	t.Parallel()
	_, key := rsaKey(t)
	for _, test := range []struct {
		change func(*Config)
		want   string // empty: it is right
	}{
		{func(*Config) {}, ""},
		{func(c *Config) { c.URL += "/" }, ""},
		{func(c *Config) { c.URL = "http://127.0.0.1:8090" }, ""},
		{func(c *Config) { c.URL = "http://localhost:8090" }, ""},
		{func(c *Config) { c.ClientSecret, c.Username, c.PrivateKey = "", "u@example.com", key }, ""},
		{func(c *Config) { c.Owners = map[string]string{"a": "005000000000001AAA"} }, ""},
		{func(c *Config) { c.URL = "" }, "url: "},
		{func(c *Config) { c.URL = "http://acme.my.salesforce.com" }, "url: want https://"},
		{func(c *Config) { c.URL = "https://acme.my.salesforce.com/services" }, "url: "},
		{func(c *Config) { c.URL = "https://u:p@acme.my.salesforce.com" }, "url: "},
		{func(c *Config) { c.URL = "acme.my.salesforce.com" }, "url: "},
		{func(c *Config) { c.APIVersion = "66" }, "api_version: "},
		{func(c *Config) { c.APIVersion = "v45.0" }, "api_version: "},
		{func(c *Config) { c.ClientID = "" }, "client_id: "},
		{func(c *Config) { c.ClientSecret = "" }, "client_secret: it is missing"},
		{func(c *Config) { c.Username = "u" }, "client_secret: "},
		{func(c *Config) { c.ClientSecret, c.Username = "", "u" }, "private_key_file: "},
		{func(c *Config) { c.ClientSecret, c.PrivateKey = "", key }, "username: "},
		{func(c *Config) { c.ClientSecret, c.Username, c.PrivateKey = "", "u", "hunter2" }, "private_key: want an RSA private key"},
		{func(c *Config) { c.Timezone = "Mexico" }, "timezone: "},
		{func(c *Config) { c.Status = "" }, "status: "},
		{func(c *Config) { c.Priority = "" }, "priority: "},
		{func(c *Config) { c.Owners = map[string]string{"a": "Zoë"} }, "owners.a: "},
		{func(c *Config) { c.CreateMissing = "person" }, "create_missing: "},
		{func(c *Config) { c.CreateMissing, c.Company = createLead, "" }, "company: "},
		{func(c *Config) { c.PhoneField = "Fax" }, "phone_field: "},
		{func(c *Config) { c.MatchLimit = 0 }, "match_limit: "},
		{func(c *Config) { c.InFlight = 3 }, "in_flight: "},
		{func(c *Config) { c.Timeout = 0 }, "timeout: "},
		{func(c *Config) { c.Timeout = time.Hour }, "timeout: "},
		{func(c *Config) { c.ClientSecretFile = "no/such/file" }, "client_secret_file: "},
		{func(c *Config) { c.ClientSecret, c.Username, c.PrivateKeyFile = "", "u", "no/such/file" }, "private_key_file: "},
	} {
		c := DefaultConfig()
		c.URL, c.ClientID, c.ClientSecret = "https://acme.my.salesforce.com", "id", "hunter2"
		test.change(&c)
		err := c.Validate()
		switch {
		case (err == nil) != (test.want == ""), err != nil && !strings.Contains(err.Error(), test.want):
			t.Errorf("error %v, want %q", err, test.want)
		case err != nil && (strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "PRIVATE KEY")):
			t.Errorf("the error has a secret: %v", err)
		case err == nil && strings.HasSuffix(c.URL, "/"):
			t.Errorf("url %s", c.URL)
		}
		if said := fmt.Sprintf("%v %+v %#v", c, c, c); strings.Contains(said, "hunter2") || strings.Contains(said, "PRIVATE KEY") {
			t.Errorf("it prints a secret: %s", said)
		}
	}
}

func TestSecretsFromFiles(t *testing.T) {
	t.Parallel()
	_, key := rsaKey(t)
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	c := DefaultConfig()
	c.URL, c.ClientID, c.ClientSecretFile = "https://acme.my.salesforce.com", "id", write("secret", "hunter2\n")
	for range 2 { // it may be checked more than once
		if err := c.Validate(); err != nil || c.ClientSecret.Reveal() != "hunter2" {
			t.Fatal(err)
		}
	}
	c.ClientSecret, c.Username, c.PrivateKeyFile = "", "u@example.com", write("key", key.Reveal())
	for range 2 {
		if err := c.Validate(); err != nil || c.PrivateKey != key {
			t.Fatal(err)
		}
	}
	c.PrivateKeyFile = write("key", key.Reveal())
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "not both") {
		t.Error(err)
	}
	c.PrivateKey, c.PrivateKeyFile, c.Username = "", "", ""
	c.ClientSecret, c.ClientSecretFile = config.Secret("a"), write("secret", "b")
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "not both") {
		t.Error(err)
	}
}
