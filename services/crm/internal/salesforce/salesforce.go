// Package salesforce is the sink that keeps calls as Tasks of a Salesforce org: one per call, by a key that the org
// holds unique.
package salesforce

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/services/crm/internal/sink"
)

// maxRecords is how many Salesforce takes in one request.
const maxRecords = 200

// Sink is the client of one org.
type Sink struct {
	cfg      Config
	client   *client
	contacts sink.Contacts

	mu     sync.Mutex
	schema *schema // nil until learned, and when a field turned out to be gone
}

var (
	_ sink.Sink    = (*Sink)(nil)
	_ sink.Metered = (*Sink)(nil)
)

// New makes a sink of a valid configuration. It does not connect.
func New(cfg Config, contacts sink.Contacts) *Sink {
	return &Sink{cfg: cfg, client: newClient(cfg), contacts: contacts}
}

// QuotaLeft implements sink.Metered.
func (s *Sink) QuotaLeft() float64 {
	s.client.quota.mu.Lock()
	defer s.client.quota.mu.Unlock()
	return s.client.quota.left
}

// Check logs in and says what a person must change before the org can take calls. An error that is an outage says
// only that this cannot be known at this time.
func (s *Sink) Check(ctx context.Context) error {
	schema, err := s.learn(ctx)
	if err != nil {
		return fmt.Errorf("salesforce: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.schema = schema
	return nil
}

// known is what Check has learned, or learns it. What Check would refuse to start with is an outage in mid-run: the
// calls wait until someone has mended it.
func (s *Sink) known(ctx context.Context) (*schema, error) {
	s.mu.Lock()
	have := s.schema
	s.mu.Unlock()
	if have != nil {
		return have, nil
	}
	if err := s.Check(ctx); err != nil {
		if kind, _ := retry.Classify(err); kind == retry.Paused {
			return nil, err
		}
		return nil, retry.Outage(deniedWait, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.schema, nil
}

func (s *Sink) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.schema = nil
}

// steps are what an administrator of the org does in its Setup, once.
var steps = []string{
	"Object Manager > Activity > Fields & Relationships: create a field with the API name " + keyField + ", Text(255), External ID, Unique, " +
		`treating "ABC" and "abc" as different values`,
	"Object Manager > Contact, and > Lead: to match callers, create a field with the API name " + phoneField + " on each, Text(40), External ID, Unique",
	"Permission Sets: give the integration user API Enabled, Edit Tasks, Task read, create and edit, Contact and Lead read (create and edit for " +
		"create_missing, edit for match_existing), and edit access to the fields above",
	"External Client App Manager: create an app with OAuth and the scope api, with the client credentials flow that runs as the integration user, or " +
		"with the JWT bearer flow, a certificate, and the user pre-authorized; its consumer key is client_id",
}

// Setup says what an administrator has left to do, what is optional among it. It changes nothing, so that done is
// always empty: fields and permissions are metadata, which this API does not write.
func (s *Sink) Setup(ctx context.Context) (done, todo []string, err error) {
	err = s.Check(ctx)
	if kind, _ := retry.Classify(err); kind == retry.Paused {
		return nil, steps, err
	}
	if err != nil {
		return nil, append(slices.Clone(steps), strings.Split(err.Error(), "\n")...), nil
	}
	schema, err := s.known(ctx)
	if err != nil {
		return nil, nil, err
	}
	if missing := schema.degraded(); len(missing) > 0 {
		todo = append(todo, fmt.Sprintf("optional: let the integration user edit %q of Task; until then what would stand there goes into Description", missing))
	}
	for _, o := range []struct {
		name string
		have *object
	}{{"Contact", schema.contact}, {"Lead", schema.lead}} {
		if o.have == nil {
			todo = append(todo, fmt.Sprintf("optional: to match a %s, %s", o.name, steps[1]))
		}
	}
	return nil, todo, nil
}
