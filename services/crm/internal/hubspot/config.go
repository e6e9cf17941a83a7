package hubspot

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/onhook/onhook/pkg/config"
)

// Config is what is HubSpot's own of a sink in section crm.
type Config struct {
	Token     config.Secrets `yaml:"token"`      // newest first; the next is tried when HubSpot refuses one
	TokenFile string         `yaml:"token_file"` // read again when HubSpot refuses all that were in it
	URL       string         `yaml:"url"`
	Quota     int            `yaml:"quota"`    // requests in any 10 s; less where HubSpot's headers say less
	Timezone  string         `yaml:"timezone"` // the account's, an IANA name: its daily quota starts anew at its midnight

	MatchExisting bool                    `yaml:"match_existing"` // look for the contact by number where none has our key
	CreateMissing string                  `yaml:"create_missing"` // none or contact
	ContactFields map[string]ContactField `yaml:"contact_fields"` // by the contact's property

	RecordingLink bool              `yaml:"recording_link"`
	Transcript    bool              `yaml:"transcript"`
	Extracted     []string          `yaml:"extracted"`    // the keys that HubSpot may see; "*" is all of them
	Dispositions  map[string]string `yaml:"dispositions"` // a call's outcome, or one of the default labels, to HubSpot's GUID
	Owners        map[string]string `yaml:"owners"`       // agent id to owner id
}

// ContactField says what a contact's property is given, and when.
type ContactField struct {
	From string `yaml:"from"` // phone, email, first_name, last_name or extracted.KEY
	Mode string `yaml:"mode"` // overwrite or fill_if_empty
}

// The words of create_missing and mode.
const (
	createNone    = "none"
	createContact = "contact"
	overwrite     = "overwrite"
	fillIfEmpty   = "fill_if_empty"
)

const fromExtracted = "extracted."

// DefaultConfig shows HubSpot neither transcripts nor recordings nor what was extracted, and creates no contacts.
func DefaultConfig() Config {
	return Config{
		URL:           "https://api.hubapi.com",
		Quota:         190,
		MatchExisting: true,
		CreateMissing: createNone,
		ContactFields: map[string]ContactField{
			"email":     {From: "email", Mode: fillIfEmpty},
			"firstname": {From: "first_name", Mode: fillIfEmpty},
			"lastname":  {From: "last_name", Mode: fillIfEmpty},
			"phone":     {From: "phone", Mode: fillIfEmpty},
		},
	}
}

var propertyName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,99}$`)

// CheckField says why no property of a call is configured by that name.
func CheckField(name string) error {
	if name == callKey {
		return fmt.Errorf("%s is set by onhook; give another property", name)
	}
	if !propertyName.MatchString(name) {
		return errors.New("want the internal name of a call's property, such as promise_date")
	}
	return nil
}

// Validate says what is wrong with c.
func (c *Config) Validate() error {
	var errs []error
	bad := func(err error, keys ...string) { errs = append(errs, config.At(err, keys...)) }
	if tokens, err := c.Token.OrFile(c.TokenFile); err != nil {
		bad(err, "token_file")
	} else if len(tokens) == 0 {
		bad(errors.New("it is empty; give the service key of the HubSpot account, or token_file"), "token")
	}
	if u, err := url.Parse(c.URL); err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		bad(errors.New("want an https URL such as https://api.hubapi.com; over http the token would go in the clear, so that is for this machine alone"), "url")
	} else if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		bad(errors.New("give the host, and a path if need be, and nothing else"), "url")
	}
	if c.Quota < 1 || c.Quota > 10_000 {
		bad(fmt.Errorf("it is %d requests in 10 s; give 1 to 10000", c.Quota), "quota")
	}
	if _, err := time.LoadLocation(c.Timezone); err != nil || c.Timezone == "Local" {
		bad(errors.New("want an IANA name such as America/Mexico_City"), "timezone")
	}
	if c.CreateMissing != createNone && c.CreateMissing != createContact {
		bad(fmt.Errorf("want %s or %s", createNone, createContact), "create_missing")
	}
	for _, name := range slices.Sorted(maps.Keys(c.ContactFields)) {
		f := c.ContactFields[name]
		if !propertyName.MatchString(name) || name == phoneKey {
			bad(errors.New("want the name of a contact's property that is not onhook's key"), "contact_fields", name)
		}
		switch {
		case slices.Contains([]string{"phone", "email", "first_name", "last_name"}, f.From):
		case strings.HasPrefix(f.From, fromExtracted) && f.From != fromExtracted:
		default:
			bad(errors.New("want phone, email, first_name, last_name or extracted.KEY"), "contact_fields", name, "from")
		}
		if f.Mode != overwrite && f.Mode != fillIfEmpty {
			bad(fmt.Errorf("want %s or %s", overwrite, fillIfEmpty), "contact_fields", name, "mode")
		}
	}
	for _, table := range []struct {
		key    string
		values map[string]string
	}{{"dispositions", c.Dispositions}, {"owners", c.Owners}} {
		for _, name := range slices.Sorted(maps.Keys(table.values)) {
			if table.values[name] == "" {
				bad(errors.New("it is empty; give HubSpot's id"), table.key, name)
			}
		}
	}
	return errors.Join(errs...)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
