package salesforce

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/services/crm/internal/crmtest"
	"github.com/onhook/onhook/services/crm/internal/sink"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	secret = "client-secret"
	zoe    = "+525512345678"
)

// fixture is an org, and a sink that knows its password.
type fixture struct {
	t        *testing.T
	org      *crmtest.Salesforce
	cfg      Config
	contacts *memory
	*Sink
}

func setup(t *testing.T, change ...func(*Config)) *fixture {
	t.Helper()
	t.Parallel()
	f := &fixture{t: t, org: crmtest.NewSalesforce(), cfg: DefaultConfig(), contacts: &memory{}}
	server := httptest.NewServer(f.org)
	t.Cleanup(server.Close)
	f.cfg.URL, f.cfg.ClientID, f.cfg.ClientSecret, f.cfg.Timeout = server.URL, "client-id", secret, 30*time.Second
	for _, c := range change {
		c(&f.cfg)
	}
	if err := f.cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	f.Sink = f.connect()
	return f
}

// connect makes another sink of the same org.
func (f *fixture) connect() *Sink {
	s := New(f.cfg, f.contacts)
	f.t.Cleanup(s.client.http.CloseIdleConnections)
	return s
}

// deliver delivers calls, and fails the test unless each gets a result of the wanted kind.
func (f *fixture) deliver(want retry.Kind, calls ...*call.Call) []sink.Result {
	f.t.Helper()
	var items []sink.Item
	for _, c := range calls {
		items = append(items, sink.Item{Call: c})
	}
	out := f.Deliver(f.t.Context(), items)
	if len(out) != len(calls) {
		f.t.Fatalf("%d results for %d calls", len(out), len(calls))
	}
	for i, r := range out {
		wantKind(f.t, r.Err, want)
		if (r.VendorID != "") != (r.Err == nil) {
			f.t.Errorf("%s: id %q with error %v", calls[i].CallID, r.VendorID, r.Err)
		}
	}
	return out
}

func wantKind(t *testing.T, err error, want retry.Kind) {
	t.Helper()
	if kind, _ := retry.Classify(err); kind != want {
		t.Errorf("an error of kind %d, want %d: %v", kind, want, err)
	}
}

// tasks are the org's Tasks by key; the test fails when two share one.
func (f *fixture) tasks() map[string]map[string]any {
	f.t.Helper()
	out := map[string]map[string]any{}
	for _, task := range f.org.Objects("Task") {
		key, _ := task[keyField].(string)
		if out[key] != nil {
			f.t.Errorf("two Tasks have the key %q", key)
		}
		out[key] = task
	}
	return out
}

// sent are the requests that wrote records of a kind.
func (f *fixture) sent(path string) []crmtest.SalesforceRequest {
	var out []crmtest.SalesforceRequest
	for _, r := range f.org.Requests() {
		if strings.Contains(r.Path, path) {
			out = append(out, r)
		}
	}
	return out
}

func newCall(id string, change ...func(*call.Call)) *call.Call {
	at := call.At(time.Date(2026, 3, 1, 18, 0, 0, 0, time.UTC))
	c := &call.Call{
		Schema: call.Schema, Key: call.Key("altur", "mx", id), Provider: "altur", Source: "mx", CallID: id,
		Event: call.Ended, IsFinal: true, PayloadVersion: "2", Direction: call.DirectionOutbound, Status: call.StatusCompleted,
		EndReason: call.EndCustomerHangup, AnsweredBy: call.AnsweredByHuman, StartedAt: at, DurationMS: new(int64(61_500)),
		Agent: &call.Agent{ID: "asst_1", Name: "Sofía"}, Transcript: call.Transcript{Form: call.TranscriptNone},
	}
	for _, f := range change {
		f(c)
	}
	return c
}

// with gives a call its customer's number.
func with(number string) func(*call.Call) {
	return func(c *call.Call) { c.CustomerPhone = &call.Phone{E164: number, Raw: number} }
}

func calls(n int, change ...func(*call.Call)) []*call.Call {
	out := make([]*call.Call, n)
	for i := range out {
		out[i] = newCall(fmt.Sprintf("c%04d", i), change...)
	}
	return out
}

// memory is the map of contacts of one process.
type memory struct {
	mu   sync.Mutex
	ids  map[string]string
	fail bool
}

func (m *memory) Get(_ context.Context, numbers []string) (map[string]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail {
		return nil, errors.New("no bucket")
	}
	out := map[string]string{}
	for _, n := range numbers {
		if id, ok := m.ids[n]; ok {
			out[n] = id
		}
	}
	return out, nil
}

func (m *memory) Put(_ context.Context, ids map[string]string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ids == nil {
		m.ids = map[string]string{}
	}
	maps.Copy(m.ids, ids)
	return nil
}

func (m *memory) Delete(_ context.Context, numbers ...string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range numbers {
		delete(m.ids, n)
	}
	return nil
}
