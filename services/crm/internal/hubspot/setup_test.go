package hubspot_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/services/crm/internal/crmtest"
	"github.com/onhook/onhook/services/crm/internal/hubspot"
	"github.com/onhook/onhook/services/crm/internal/sink"
)

const token = "pat-na1-hunter2"

// fixture is an account that is set up, and what a client of it works with.
type fixture struct {
	t       testing.TB
	account *crmtest.HubSpot
	memory  *memory
	cfg     hubspot.Config
	log     *zap.Logger
	sent    *recorder
}

func setup(t testing.TB) *fixture {
	if t, ok := t.(*testing.T); ok {
		t.Parallel()
	}
	return newFixture(t)
}

func newFixture(t testing.TB) *fixture {
	f := &fixture{t: t, account: crmtest.NewHubSpot().SetUp(), memory: &memory{ids: map[string]string{}}, cfg: hubspot.DefaultConfig(), log: zap.NewNop()}
	f.account.Token = token
	f.cfg.Token = config.Secrets{token}
	f.cfg.URL = "https://hubspot.test"
	f.sent = &recorder{next: crmtest.HubSpotInProcess(f.account)}
	return f
}

func (f *fixture) client() *hubspot.Client {
	f.t.Helper()
	c, err := hubspot.New(f.cfg, hubspot.Deps{Name: "main", Transport: f.sent, Contacts: f.memory, Log: f.log})
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

// delivered fails the test unless each item was.
func (f *fixture) delivered(results []sink.Result) {
	f.t.Helper()
	for i, r := range results {
		if r.Err != nil || r.VendorID == "" {
			f.t.Errorf("item %d: %+v", i, r)
		}
	}
}

// wantCalls fails the test unless the account has exactly these calls.
func (f *fixture) wantCalls(keys ...string) {
	f.t.Helper()
	want := map[string]int{}
	for _, key := range keys {
		want[key] = 1
	}
	got := map[string]int{}
	for _, o := range f.account.Objects("calls") {
		got[o.Properties["onhook_key"]]++
	}
	if !maps.Equal(got, want) {
		f.t.Errorf("the account has %d calls, want %d:\n%v\n%v", len(got), len(want), got, want)
	}
}

func (f *fixture) contact(properties map[string]string) string {
	return f.account.Add("contacts", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), properties)
}

// recorder keeps what was sent.
type recorder struct {
	next   http.RoundTripper
	mu     sync.Mutex
	bodies []string
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.bodies = append(r.bodies, string(body))
	r.mu.Unlock()
	req.Body = io.NopCloser(bytes.NewReader(body))
	return r.next.RoundTrip(req)
}

func (r *recorder) all() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.bodies, "\n")
}

// memory is a sink.Contacts.
type memory struct {
	mu  sync.Mutex
	ids map[string]string
	err error
}

func (m *memory) Get(_ context.Context, numbers []string) (map[string]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]string{}
	for _, n := range numbers {
		if id, ok := m.ids[n]; ok && m.err == nil {
			out[n] = id
		}
	}
	return out, m.err
}

func (m *memory) Put(_ context.Context, ids map[string]string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		maps.Copy(m.ids, ids)
	}
	return m.err
}

func (m *memory) Delete(_ context.Context, numbers ...string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range numbers {
		delete(m.ids, n)
	}
	return m.err
}

func (m *memory) knows() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.ids)
}

// item is the call number i of a batch, each with a customer's number of its own.
func item(i int) sink.Item {
	id := fmt.Sprintf("call-%04d", i)
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(i) * time.Second)
	return sink.Item{Call: &call.Call{
		Schema: call.Schema, Key: call.Key("altur", "mx", id), Provider: "altur", Source: "mx", CallID: id, Event: call.Ended, IsFinal: true,
		Direction: call.DirectionOutbound, Status: call.StatusCompleted, AnsweredBy: call.AnsweredByHuman, StartedAt: call.At(at),
		CustomerPhone: &call.Phone{E164: phone(i), Raw: phone(i)}, To: &call.Phone{E164: phone(i), Raw: phone(i)},
		Customer: &call.Customer{Name: fmt.Sprintf("Zoila%d Quispe Mamani", i), Email: fmt.Sprintf("zoila%d@example.com", i)},
		Agent:    &call.Agent{ID: "asst_1", Name: "Sofía"},
	}}
}

func phone(i int) string { return fmt.Sprintf("+52555123%04d", i) }

func items(n int) []sink.Item {
	out := make([]sink.Item, n)
	for i := range out {
		out[i] = item(i)
	}
	return out
}

func keys(batch []sink.Item) []string {
	var out []string
	for _, it := range batch {
		out = append(out, it.Call.Key)
	}
	return out
}

// kinds counts the results by what they mean.
func kinds(results []sink.Result) map[retry.Kind]int {
	out := map[retry.Kind]int{}
	for _, r := range results {
		k, _ := retry.Classify(r.Err)
		out[k]++
	}
	return out
}
