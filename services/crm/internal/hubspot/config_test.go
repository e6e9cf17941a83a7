package hubspot_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/services/crm/internal/crmtest"
	"github.com/onhook/onhook/services/crm/internal/hubspot"
)

func TestConfigThatIsWrong(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*hubspot.Config)
		want   string
	}{
		"default":          {func(*hubspot.Config) {}, ""},
		"no token":         {func(c *hubspot.Config) { c.Token = nil }, "token: it is empty"},
		"token and file":   {func(c *hubspot.Config) { c.TokenFile = "x" }, "token_file: set the secret or the file"},
		"file not there":   {func(c *hubspot.Config) { c.Token, c.TokenFile = nil, "/no/such" }, "token_file: cannot read"},
		"url":              {func(c *hubspot.Config) { c.URL = "api.hubapi.com" }, "url: want an https"},
		"url in the clear": {func(c *hubspot.Config) { c.URL = "http://api.hubapi.com" }, "url: want an https"},
		"url of a name":    {func(c *hubspot.Config) { c.URL = "http://127.0.0.1.example.com" }, "url: want an https"},
		"url of here":      {func(c *hubspot.Config) { c.URL = "http://127.0.0.1:8090" }, ""},
		"url of localhost": {func(c *hubspot.Config) { c.URL = "http://localhost:8090" }, ""},
		"url with user":    {func(c *hubspot.Config) { c.URL = "https://u:p@h" }, "url: give the host"},
		"url with query":   {func(c *hubspot.Config) { c.URL = "https://h/?a=b" }, "url: give the host"},
		"quota":            {func(c *hubspot.Config) { c.Quota = 0 }, "quota: it is 0"},
		"zone":             {func(c *hubspot.Config) { c.Timezone = "Mexico" }, "timezone: want an IANA"},
		"zone of here":     {func(c *hubspot.Config) { c.Timezone = "Local" }, "timezone: want an IANA"},
		"zone that is one": {func(c *hubspot.Config) { c.Timezone = "America/Mexico_City" }, ""},
		"create":           {func(c *hubspot.Config) { c.CreateMissing = "lead" }, "create_missing: want none or contact"},
		"field":            {func(c *hubspot.Config) { c.ContactFields = fields("Phone", "phone", "overwrite") }, "contact_fields.Phone: want the name"},
		"key as field":     {func(c *hubspot.Config) { c.ContactFields = fields("onhook_phone_key", "phone", "overwrite") }, "contact_fields.onhook_phone_key: want"},
		"from":             {func(c *hubspot.Config) { c.ContactFields = fields("phone", "extracted.", "overwrite") }, "contact_fields.phone.from: want"},
		"mode":             {func(c *hubspot.Config) { c.ContactFields = fields("phone", "phone", "") }, "contact_fields.phone.mode: want"},
		"owner":            {func(c *hubspot.Config) { c.Owners = map[string]string{"a": ""} }, "owners.a: it is empty"},
		"disposition":      {func(c *hubspot.Config) { c.Dispositions = map[string]string{"a": ""} }, "dispositions.a: it is empty"},
	} {
		cfg := hubspot.DefaultConfig()
		cfg.Token = config.Secrets{token}
		test.change(&cfg)
		err := cfg.Validate()
		if (err == nil) != (test.want == "") || !strings.Contains(fmt.Sprint(err), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
		if _, err := hubspot.New(cfg, hubspot.Deps{}); (err == nil) != (test.want == "") {
			t.Errorf("%s: New: %v", name, err)
		}
	}
}

func fields(name, from, mode string) map[string]hubspot.ContactField {
	return map[string]hubspot.ContactField{name: {From: from, Mode: mode}}
}

func TestNewAccountIsSetUp(t *testing.T) {
	f := setup(t)
	f.account = crmtest.NewHubSpot()
	f.sent.next = crmtest.HubSpotInProcess(f.account)
	c := f.client()
	err := c.Check(t.Context())
	for _, want := range []string{"onhook crm setup main", "property onhook_key of calls", "property onhook_phone_key of contacts", "unique values"} {
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("Check: %v, want %q", err, want)
		}
	}
	done, todo, err := c.Setup(t.Context())
	if err != nil || len(todo) != 0 || len(done) != 9 {
		t.Errorf("Setup: %v %v %v", done, todo, err)
	}
	if p := f.account.Property("calls", "onhook_key"); !p.HasUniqueValue || p.Type != "string" || p.FieldType != "text" || p.GroupName != "call" {
		t.Errorf("%+v", p)
	}
	if err := c.Check(t.Context()); err != nil {
		t.Errorf("Check: %v", err)
	}
	if done, todo, err := c.Setup(t.Context()); err != nil || len(done)+len(todo) != 0 {
		t.Errorf("Setup again: %v %v %v", done, todo, err)
	}
	f.delivered(c.Deliver(t.Context(), items(2)))
}

func TestKeyPropertyThatIsNotUniqueIsRefused(t *testing.T) {
	f := setup(t)
	f.account.AddProperty("calls", crmtest.HubSpotProperty{Name: "onhook_key"})
	c := f.client()
	if err := c.Check(t.Context()); !strings.Contains(fmt.Sprint(err), "delete it first") {
		t.Errorf("Check: %v", err)
	}
	if done, todo, err := c.Setup(t.Context()); err != nil || len(done) != 0 || len(todo) != 1 || !strings.Contains(todo[0], "delete it first") {
		t.Errorf("Setup: %v %v %v", done, todo, err)
	}
}

// TestSetupWithoutTheScope lists what an administrator has to create; what it may create it creates.
func TestSetupWithoutTheScope(t *testing.T) {
	f := setup(t)
	f.account = crmtest.NewHubSpot()
	f.sent.next = crmtest.HubSpotInProcess(f.account)
	for range 2 { // Check's look and Setup's, at calls; then the first of the properties
		f.account.Fault("properties/2026-09/calls", 1, crmtest.HubSpotSlow(0))
	}
	f.account.Fault("properties/2026-09/calls", 1, crmtest.HubSpotAnswers(403, "MISSING_SCOPES", "no"))
	c := f.client()
	if c.Check(t.Context()) == nil {
		t.Error("Check found nothing")
	}
	done, todo, err := c.Setup(t.Context())
	if err != nil || len(done) != 1 || len(todo) != 8 || !strings.Contains(done[0], "onhook_phone_key") || !strings.Contains(todo[0], "onhook_key") {
		t.Errorf("%v\n%v\n%v", done, todo, err)
	}
}
