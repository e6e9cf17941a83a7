package salesforce

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onhook/onhook/pkg/config"
)

// apiVersion is the default: that of Spring '26. Salesforce keeps a version for years.
const apiVersion = "v66.0"

// Whom to create for a number that nobody has: values of create_missing.
const (
	createNone    = "none"
	createLead    = "lead"
	createContact = "contact"
)

// Config is what can be set of a Salesforce sink. It is given either a client secret, for the client credentials flow,
// or a username and a private key, for the JWT bearer flow.
type Config struct {
	URL              string        `yaml:"url"`         // the org's My Domain: https://NAME.my.salesforce.com
	APIVersion       string        `yaml:"api_version"` // v66.0
	ClientID         string        `yaml:"client_id"`   // the consumer key of the External Client App
	ClientSecret     config.Secret `yaml:"client_secret"`
	ClientSecretFile string        `yaml:"client_secret_file"`
	Username         string        `yaml:"username"` // of the integration user
	PrivateKey       config.Secret `yaml:"private_key"`
	PrivateKeyFile   string        `yaml:"private_key_file"` // PEM, RSA

	Timezone string            `yaml:"timezone"` // of ActivityDate, an IANA name; empty takes the org's own
	Status   string            `yaml:"status"`   // of a Task; should be one that closes it
	Priority string            `yaml:"priority"`
	Owners   map[string]string `yaml:"owners"` // agent id to user id; other calls belong to the integration user

	CreateMissing string `yaml:"create_missing"` // none, lead or contact
	Company       string `yaml:"company"`        // of a lead that is created
	PhoneField    string `yaml:"phone_field"`    // of a lead or contact that is created: Phone or MobilePhone
	MatchExisting bool   `yaml:"match_existing"` // search by telephone number; each number costs a request
	MatchLimit    int    `yaml:"match_limit"`    // searches per batch at most

	Transcript    bool     `yaml:"transcript"`     // into Description
	RecordingLink bool     `yaml:"recording_link"` // into Description
	Extracted     []string `yaml:"extracted"`      // what of the call's extracted fields goes into Description; "*" is all, by name

	InFlight int           `yaml:"in_flight"` // requests at once: 1 or 2
	Timeout  time.Duration `yaml:"timeout"`   // of one request
}

// DefaultConfig creates nobody and shows no transcript.
func DefaultConfig() Config {
	return Config{
		APIVersion: apiVersion, Status: "Completed", Priority: "Normal",
		CreateMissing: createNone, Company: "Unknown", PhoneField: "Phone", MatchLimit: 20,
		InFlight: 1, Timeout: 2 * time.Minute,
	}
}

var (
	versionForm = regexp.MustCompile(`^v([1-9][0-9]{1,2})\.0$`)
	userIDForm  = regexp.MustCompile(`^(005|00G)([0-9A-Za-z]{12}|[0-9A-Za-z]{15})$`)
)

// Validate reads the files of secrets and says, without connecting, what is wrong with c.
func (c *Config) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, config.At(fmt.Errorf(format, args...), key))
	}
	c.URL = strings.TrimSuffix(c.URL, "/")
	if err := checkURL(c.URL); err != nil {
		errs = append(errs, config.At(err, "url"))
	}
	if m := versionForm.FindStringSubmatch(c.APIVersion); m == nil {
		bad("api_version", "want a version such as %s", apiVersion)
	} else if n, _ := strconv.Atoi(m[1]); n < 46 {
		bad("api_version", "it is %s; upserts of many records need v46.0 or newer", c.APIVersion)
	}
	if c.ClientID == "" {
		bad("client_id", "it is missing; give the consumer key of the External Client App")
	}
	errs = append(errs, c.readSecrets()...)
	if c.Timezone != "" {
		if _, err := time.LoadLocation(c.Timezone); err != nil {
			bad("timezone", "%q is not a time zone; give an IANA name such as America/Mexico_City, or nothing for the org's own", c.Timezone)
		}
	}
	if c.Status == "" {
		bad("status", "it is empty; give a status that closes a Task, such as Completed")
	}
	if c.Priority == "" {
		bad("priority", "it is empty; give a priority, such as Normal")
	}
	for agent, owner := range c.Owners {
		if !userIDForm.MatchString(owner) {
			errs = append(errs, config.At(errors.New("want a Salesforce user id: 005 and 12 or 15 more letters and digits"), "owners", agent))
		}
	}
	if !slices.Contains([]string{createNone, createLead, createContact}, c.CreateMissing) {
		bad("create_missing", "it is %q; give none, lead or contact", c.CreateMissing)
	}
	if c.CreateMissing == createLead && c.Company == "" {
		bad("company", "it is empty, but Salesforce makes no lead without a company")
	}
	if !slices.Contains([]string{"Phone", "MobilePhone"}, c.PhoneField) {
		bad("phone_field", "it is %q; give Phone or MobilePhone", c.PhoneField)
	}
	if c.MatchLimit < 1 || c.MatchLimit > maxRecords {
		bad("match_limit", "it is %d; give 1 to %d", c.MatchLimit, maxRecords)
	}
	if c.InFlight < 1 || c.InFlight > 2 {
		bad("in_flight", "it is %d; give 1 or 2: parallel writes lock each other's records", c.InFlight)
	}
	if c.Timeout <= 0 || c.Timeout > 10*time.Minute {
		bad("timeout", "it is %v; give a positive time up to 10m", c.Timeout)
	}
	return errors.Join(errs...)
}

// checkURL keeps tokens from going over the network in the clear.
func checkURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return errors.New("want the org's My Domain, such as https://NAME.my.salesforce.com, and nothing after it")
	}
	if u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname()) {
		return nil
	}
	return errors.New("want https://")
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// readSecrets takes what the files hold, and checks that there is exactly one way to log in.
func (c *Config) readSecrets() []error {
	var errs []error
	bad := func(key string, err error) { errs = append(errs, config.At(err, key)) }
	if c.ClientSecretFile != "" {
		var given config.Secrets
		if c.ClientSecret != "" {
			given = config.Secrets{c.ClientSecret}
		}
		if read, err := given.OrFile(c.ClientSecretFile); err != nil {
			bad("client_secret_file", err)
		} else {
			c.ClientSecret, c.ClientSecretFile = read[0], ""
		}
	}
	keyAt := "private_key"
	if c.PrivateKeyFile != "" {
		keyAt = "private_key_file"
		data, err := os.ReadFile(c.PrivateKeyFile)
		switch {
		case c.PrivateKey != "":
			bad(keyAt, errors.New("set the key or the file that holds it, not both"))
		case err != nil:
			bad(keyAt, fmt.Errorf("cannot read the key: %w", err))
		default:
			c.PrivateKey, c.PrivateKeyFile = config.Secret(data), ""
		}
	}
	if len(errs) > 0 {
		return errs
	}
	switch {
	case c.ClientSecret != "" && (c.PrivateKey != "" || c.Username != ""):
		bad("client_secret", errors.New("set client_secret, or username and private_key, not both: they are two ways to log in"))
	case c.ClientSecret != "":
	case c.PrivateKey == "" && c.Username == "":
		bad("client_secret", errors.New("it is missing; give it, or username and private_key_file"))
	case c.Username == "":
		bad("username", errors.New("it is missing; the private key logs in as this user"))
	case c.PrivateKey == "":
		bad("private_key_file", errors.New("it is missing; the username logs in with this key"))
	case !isRSAKey(c.PrivateKey.Reveal()):
		bad(keyAt, errors.New("want an RSA private key in PEM, without a passphrase"))
	}
	return errs
}

func isRSAKey(text string) bool {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return false
	}
	if _, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return true
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	_, ok := key.(*rsa.PrivateKey)
	return err == nil && ok
}
