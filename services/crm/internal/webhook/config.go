package webhook

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/onhook/onhook/pkg/config"
)

// Config is the keys of a sink of kind webhook.
type Config struct {
	URL          config.Secret  `yaml:"url"`           // https://…; a secret, as the address often holds one
	URLFile      string         `yaml:"url_file"`      // a file that holds it
	Secrets      config.Secrets `yaml:"secrets"`       // whsec_…, newest first: each signs
	SecretsFile  string         `yaml:"secrets_file"`  // the same, one per line
	Body         string         `yaml:"body"`          // thin, full or vcon
	AllowPrivate bool           `yaml:"allow_private"` // http, and addresses that are not of the public internet
	Timeout      time.Duration  `yaml:"timeout"`       // for one request and its answer
	Connections  int            `yaml:"connections"`   // requests at once, per batch
}

// DefaultConfig has no address.
func DefaultConfig() Config {
	return Config{Body: BodyThin, Timeout: 15 * time.Second, Connections: 16}
}

// Validate reads the files and says what is wrong with c.
func (c *Config) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, config.At(fmt.Errorf(format, args...), key))
	}
	if err := c.resolve(); err != nil {
		errs = append(errs, err)
	} else {
		if err := c.checkURL(); err != nil {
			bad("url", "%w", err)
		}
		if len(c.Secrets) == 0 {
			bad("secrets", "give one at least, which the receiver has too: whsec_ and 24 to 64 random bytes in base64, as `echo whsec_$(openssl rand -base64 32)` makes")
		}
	}
	for i, s := range c.Secrets {
		if _, err := decodeSecret(s); err != nil {
			bad("secrets", "secret %d of %d: %w", i+1, len(c.Secrets), err)
		}
	}
	if !slices.Contains(bodies, c.Body) {
		bad("body", "there is no body %q; there are %s", c.Body, strings.Join(bodies, ", "))
	}
	if c.Timeout <= 0 || c.Timeout > 5*time.Minute {
		bad("timeout", "it is %v; give up to 5m", c.Timeout)
	}
	if c.Connections < 1 || c.Connections > 256 {
		bad("connections", "it is %d; give 1 to 256", c.Connections)
	}
	return errors.Join(errs...)
}

// resolve reads the files that stand for values.
func (c *Config) resolve() error {
	var errs []error
	var err error
	if c.Secrets, err = c.Secrets.OrFile(c.SecretsFile); err != nil {
		errs = append(errs, config.At(err, "secrets_file"))
	}
	var given config.Secrets
	if c.URL != "" {
		given = config.Secrets{c.URL}
	}
	u, err := given.OrFile(c.URLFile)
	if err != nil {
		errs = append(errs, config.At(err, "url_file"))
	} else if len(u) > 0 {
		c.URL = u[0]
	}
	c.SecretsFile, c.URLFile = "", "" // read: a second Validate must not take them for second values
	return errors.Join(errs...)
}

func (c *Config) checkURL() error {
	u, err := url.Parse(c.URL.Reveal())
	switch {
	case c.URL == "":
		return errors.New("give the address that calls are posted to, as in https://example.com/hooks/onhook")
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http": // its text would quote the address
		return errors.New("it is not an address such as https://example.com/hooks/onhook")
	case u.Scheme == "http" && !c.AllowPrivate:
		return errors.New("it is http: calls would cross the network in the clear; use https, or within your own network say allow_private: true")
	case u.User != nil:
		return errors.New("it has a user and a password, which are not sent; the signature is the proof")
	}
	return nil
}

const secretPrefix = "whsec_"

// decodeSecret is the key that a secret holds.
func decodeSecret(s config.Secret) ([]byte, error) {
	text, ok := strings.CutPrefix(s.Reveal(), secretPrefix)
	key, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(key) < 24 || len(key) > 64 {
		return nil, errors.New("want whsec_ and 24 to 64 random bytes in base64")
	}
	return key, nil
}
