package provider

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/onhook/onhook/pkg/config"
)

// Source is one configured webhook endpoint: a provider account with its secrets. Its name is in the URL.
type Source struct {
	Provider    string         `yaml:"provider"`
	Secrets     config.Secrets `yaml:"secrets"`      // that the provider signs with, newest first
	SecretsFile string         `yaml:"secrets_file"` // the same, one per line
	Scheme      string         `yaml:"scheme"`       // of the signature, where the provider has several
	Token       config.Secrets `yaml:"token"`        // that must stand behind the source in the URL, newest first
	TokenFile   string         `yaml:"token_file"`   // the same, one per line
	Insecure    bool           `yaml:"insecure"`     // anybody may post; must be said when there is neither secret nor token
	RateLimit   float64        `yaml:"rate_limit"`   // deliveries per second; 0 is no limit
	Burst       int            `yaml:"burst"`        // deliveries at once within the limit; 0 is one second's worth
}

// Sources is section sources of onhook.yaml: every source by its name.
type Sources map[string]Source

var (
	sourceName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)
	unreserved = regexp.MustCompile(`^[A-Za-z0-9._~-]+$`) // RFC 3986: what no proxy between changes in a path
)

// The bounds of a rate_limit, in deliveries per second. Below the least it is a slip of the pen: four an hour.
const (
	leastRate = 0.001
	mostRate  = 1_000_000
)

// LoadSources decodes the section and reads the files that it names.
func LoadSources(f *config.File) (Sources, error) {
	s := Sources{}
	if err := f.Section("sources", &s); err != nil {
		return nil, err
	}
	return s, nil
}

// Validate reads the secret files and says what is wrong with s.
func (s Sources) Validate() error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(s)) {
		src := s[name]
		if !sourceName.MatchString(name) {
			errs = append(errs, config.At(errors.New("a source's name stands in its URL: use lower-case letters, digits, - and _, 64 at most"), name))
		}
		if name == "unknown" {
			errs = append(errs, config.At(errors.New("the name stands for requests to no source in the metrics; choose another"), name))
		}
		errs = append(errs, config.At(src.resolve(), name))
		s[name] = src
	}
	return errors.Join(errs...)
}

func (s *Source) resolve() error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, config.At(fmt.Errorf(format, args...), key))
	}
	p, ok := Lookup(s.Provider)
	if !ok {
		bad("provider", "there is no provider %q; there are %s", s.Provider, strings.Join(Names(), ", "))
		return errors.Join(errs...)
	}
	var err error
	if s.Secrets, err = s.Secrets.OrFile(s.SecretsFile); err != nil {
		bad("secrets_file", "%w", err)
	}
	if s.Token, err = s.Token.OrFile(s.TokenFile); err != nil {
		bad("token_file", "%w", err)
	}
	s.SecretsFile, s.TokenFile = "", "" // read: a second Validate must not take them for a second source of secrets
	switch {
	case errors.Join(errs...) != nil:
	case p.Verify == nil && len(s.Secrets) > 0:
		bad("secrets", "%s signs nothing; give the source a token, which is part of its URL", p.Name)
	case len(s.Secrets) == 0 && len(s.Token) == 0 && !s.Insecure:
		bad("insecure", "the source has neither secrets nor a token, so anybody may post to it; give it one, or say insecure: true")
	case (len(s.Secrets) > 0 || len(s.Token) > 0) && s.Insecure:
		bad("insecure", "the source has secrets or a token; take insecure away")
	}
	switch {
	case s.Scheme != "" && len(p.Schemes) == 0:
		bad("scheme", "%s signs nothing and has no schemes; take scheme away", p.Name)
	case s.Scheme != "" && !slices.Contains(p.Schemes, s.Scheme):
		bad("scheme", "%s has no scheme %q; it has %q", p.Name, s.Scheme, p.Schemes)
	case p.CheckSecret != nil:
		for i, secret := range s.Secrets {
			if err := p.CheckSecret(secret.Reveal(), s.Scheme); err != nil {
				bad("secrets", "secret %d of %d: %w", i+1, len(s.Secrets), err)
			}
		}
	}
	if slices.ContainsFunc(s.Token, unfit) {
		bad("token", "a token stands in the URL's path: use letters, digits and -._~ only, and not . or .. alone")
	}
	if s.RateLimit != 0 && !(s.RateLimit >= leastRate && s.RateLimit <= mostRate) { // NaN is neither
		bad("rate_limit", "want %v to %d deliveries per second, or 0 for no limit", leastRate, mostRate)
	}
	if s.Burst < 0 {
		bad("burst", "cannot be negative")
	}
	return errors.Join(errs...)
}

// unfit reports whether a token cannot stand in a URL's path. Clients and proxies resolve the segments . and .. away.
func unfit(token config.Secret) bool {
	t := token.Reveal()
	return !unreserved.MatchString(t) || t == "." || t == ".."
}
