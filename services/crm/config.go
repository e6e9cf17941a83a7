package crm

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/pkg/worker"
	"github.com/onhook/onhook/services/crm/internal/expr"
	"github.com/onhook/onhook/services/crm/internal/webhook"
)

// Config is section crm of onhook.yaml: every sink by its name.
type Config map[string]*Sink

// Sink is one account or endpoint that calls are delivered to. Its kind adds keys of its own.
type Sink struct {
	Kind      string            `yaml:"kind"`
	When      string            `yaml:"when"`       // CEL over the call: it goes to the sink where this is true
	MinAuth   string            `yaml:"min_auth"`   // and where its sender is proven so far
	Events    []string          `yaml:"events"`     // ended, progress
	Fields    map[string]string `yaml:"fields"`     // of the record there: CEL over the call, by the vendor's name
	Extracted []string          `yaml:"extracted"`  // the keys of call.extracted that the sink may see; "*" is all
	Start     bus.Start         `yaml:"start"`      // where a sink that is new begins: new, beginning, or a time
	RateLimit float64           `yaml:"rate_limit"` // calls per second; 0 is no limit but the vendor's

	Transcript    bool `yaml:"transcript"`     // whether the sink may see it
	RecordingLink bool `yaml:"recording_link"` // and this
	Extensions    bool `yaml:"extensions"`     // and what else the provider sent: actions, attributes, unmapped fields

	worker.Config `yaml:",inline"`

	client  clientConfig
	filters filters
}

// defaultSink suits every kind but for its batches.
func defaultSink(k kind) Sink {
	s := Sink{Kind: k.name, Events: []string{string(call.Ended)}, Start: bus.StartNew(), Config: worker.DefaultConfig()}
	s.Batch, s.Linger, s.Concurrency = k.batch, k.linger, k.concurrency
	s.ProbeMax = time.Hour // a sink that is stopped says itself how soon it is worth looking
	return s
}

// OfKind sets the defaults of a kind and returns the struct with its keys.
func (s *Sink) OfKind(name string) (any, error) {
	k, err := kindOf(name)
	if err != nil {
		return nil, err
	}
	*s = defaultSink(k)
	s.client = k.config()
	return s.client, nil
}

// Validate compiles the expressions, reads the secrets' files, and says what is wrong with c.
func (c Config) Validate() error {
	env, err := expr.NewEnv()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(c)) {
		errs = append(errs, config.At(bus.CheckCRMName(name), name), config.At(c[name].validate(env), name))
	}
	return errors.Join(errs...)
}

// Names are those of the sinks, in alphabetical order.
func (c Config) Names() []string { return slices.Sorted(maps.Keys(c)) }

// The bounds of a rate_limit, in calls per second.
const (
	leastRate = 0.001
	mostRate  = 1_000_000
)

func (s *Sink) validate(env *expr.Env) error {
	k, err := kindOf(s.Kind)
	if err != nil {
		return config.At(err, "kind")
	}
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, config.At(fmt.Errorf(format, args...), key))
	}
	if s.MinAuth != "" && !slices.Contains(call.Auths, call.Auth(s.MinAuth)) {
		bad("min_auth", "there is no proof %q; there are %s", s.MinAuth, words(call.Auths))
	}
	if len(s.Events) == 0 {
		bad("events", "give one at least: %s", words(call.Events))
	}
	for _, e := range s.Events {
		switch {
		case !slices.Contains(call.Events, call.Event(e)):
			bad("events", "there is no event %q; there are %s", e, words(call.Events))
		case call.Event(e) == call.Progress && !k.progress:
			bad("events", "%s keeps one record of a call, which a progress that comes late would overwrite; it takes ended alone", k.name)
		}
	}
	if slices.Contains(s.Extracted, everything) && len(s.Extracted) > 1 {
		bad("extracted", "%q is all keys already; name none beside it", everything)
	}
	if s.RateLimit != 0 && !(s.RateLimit >= leastRate && s.RateLimit <= mostRate) { // NaN is neither
		bad("rate_limit", "want %v to %d calls per second, or 0 for no limit", leastRate, mostRate)
	}
	if s.Batch > k.most {
		bad("batch", "it is %d; %s takes %d at most", s.Batch, k.name, k.most)
	}
	spelt := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(s.Fields)) {
		if k.field != nil {
			errs = append(errs, config.At(k.field(name), "fields", name))
		}
		if other, twice := spelt[strings.ToLower(name)]; twice && k.anyCase {
			errs = append(errs, config.At(fmt.Errorf("it is the same field of %s as %s; keep one of the two", k.name, other), "fields", name))
		}
		spelt[strings.ToLower(name)] = name
	}
	if s.filters, err = compile(env, s); err != nil {
		errs = append(errs, err)
	}
	if w, ok := s.client.(*webhook.Config); ok && w.Body == webhook.BodyVCon && s.RecordingLink {
		bad("recording_link", "a vCon names a recording by a hash of its bytes, which onhook does not have; take this away, or use body: full")
	}
	return errors.Join(append(errs, s.Config.Validate(), s.client.Validate())...)
}

func words[W ~string](all []W) string {
	var s []string
	for _, w := range all {
		s = append(s, string(w))
	}
	return strings.Join(s, ", ")
}
