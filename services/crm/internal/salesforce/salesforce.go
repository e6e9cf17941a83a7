// Package salesforce is the sink that keeps calls as Tasks of a Salesforce org: one per call, by a key that the org
// holds unique.
package salesforce

import (
	"context"
	"fmt"
	"io"
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

var _ sink.Sink = (*Sink)(nil)

// New makes a sink of a valid configuration. It does not connect.
func New(cfg Config, contacts sink.Contacts) *Sink {
	return &Sink{cfg: cfg, client: newClient(cfg), contacts: contacts}
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

const instructions = `An administrator of the org creates, in Setup:
1. Object Manager > Activity > Fields & Relationships: a field with the API name %[1]s, Text(255), External ID,
   Unique, treating "ABC" and "abc" as different values.
2. To match callers: Object Manager > Contact, and > Lead: a field with the API name %[2]s on each, Text(40),
   External ID, Unique.
3. A permission set for the integration user: API Enabled, Edit Tasks, Task read, create and edit, Contact and Lead read
   (create and edit for create_missing, edit for match_existing), and edit access to the fields above.
4. An External Client App with OAuth: client credentials flow that runs as the integration user, or JWT bearer flow with
   a certificate and the user pre-authorized; scope api. Its consumer key is client_id.
`

// Setup writes what an administrator must create, and then what this org lacks of it. It changes nothing: fields and
// permissions are metadata, which the REST API does not create.
func (s *Sink) Setup(ctx context.Context, w io.Writer) error {
	if _, err := fmt.Fprintf(w, instructions, keyField, phoneField); err != nil {
		return err
	}
	if err := s.Check(ctx); err != nil {
		return err
	}
	schema, err := s.known(ctx)
	if err != nil {
		return err
	}
	lines := []string{"This org can take calls. Their days are those of " + schema.zone.String() + "."}
	if missing := schema.degraded(); len(missing) > 0 {
		lines = append(lines, fmt.Sprintf("Of Task the integration user cannot write %q; what would stand there goes into Description.", missing))
	}
	for _, o := range []struct {
		name string
		have *object
	}{{"Contact", schema.contact}, {"Lead", schema.lead}} {
		if o.have == nil {
			lines = append(lines, fmt.Sprintf("No %s is matched: it has no usable %s.", o.name, phoneField))
		}
	}
	for _, line := range lines {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}
