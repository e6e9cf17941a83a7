package crm_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/bus/bustest"
	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/services/crm"
	"github.com/onhook/onhook/services/crm/internal/crmtest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), // idle connections of the clients
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
	)
}

var secret = "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("s", 32)))

// fixture is a broker on which sinks can be started.
type fixture struct {
	t      testing.TB
	server *bustest.Server
	bus    *bus.Bus
	reg    *prometheus.Registry // of the sinks started last
}

func setup(t *testing.T) *fixture {
	t.Parallel()
	return newFixture(t)
}

func newFixture(t testing.TB) *fixture {
	f := &fixture{t: t, server: bustest.StartServer(t)}
	f.bus = f.server.Connect(t)
	return f
}

// parse reads a section crm. A line of keys is added to every sink, so that nothing takes long.
func parse(section string) (crm.Config, error) {
	f, err := config.Parse("onhook.yaml", []byte("crm:\n"+section))
	if err != nil {
		return nil, err
	}
	cfg := crm.Config{}
	return cfg, f.Section("crm", &cfg)
}

// quick are keys for a sink that tries again at once.
const quick = "backoff_min: 1ms, backoff_max: 2ms, probe_max: 20ms, attempts: 3"

// hook is a sink of kind webhook with further keys.
func hook(name, address, keys string) string {
	if keys != "" {
		keys = ", " + keys
	}
	return fmt.Sprintf("  %s: {kind: webhook, url: %q, secrets: [%s], allow_private: true, %s%s}\n", name, address, secret, quick, keys)
}

// start runs the sinks of a section until the test ends or stop is called.
func (f *fixture) start(sections ...string) (stop func()) {
	f.t.Helper()
	cfg, err := parse(strings.Join(sections, ""))
	if err != nil {
		f.t.Fatal(err)
	}
	f.reg = prometheus.NewRegistry()
	c, err := crm.New(f.t.Context(), cfg, f.server.Connect(f.t), zap.NewNop(), f.reg)
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Error(err)
		}
	})
	f.t.Cleanup(stop)
	return stop
}

// receiver serves a receiver of webhooks until the test ends.
func (f *fixture) receiver(wrap ...func(http.Handler) http.Handler) (*crmtest.Webhook, string) {
	r := crmtest.NewWebhook(secret)
	var h http.Handler = r
	for _, w := range wrap {
		h = w(h)
	}
	s := httptest.NewServer(h)
	f.t.Cleanup(s.Close)
	return r, s.URL
}

func newCall(id string, set ...func(*call.Call)) *call.Call {
	c := crmtest.Calls(1)[0].Call
	c.CallID, c.Key = id, call.Key(c.Provider, c.Source, id)
	for _, s := range set {
		s(c)
	}
	return c
}

func key(id string) string { return call.Key("altur", "exercise", id) }

func (f *fixture) publish(calls ...*call.Call) {
	f.t.Helper()
	if err := errors.Join(f.bus.PublishCalls(f.t.Context(), calls)...); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) status(sink string) bus.ConsumerStatus {
	f.t.Helper()
	s, err := f.bus.Status(f.t.Context(), bus.CRM(sink))
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

func (f *fixture) waitSettled(sink string) {
	f.t.Helper()
	f.waitFor(sink+" to be drained", func() bool { return f.status(sink).Pending == 0 })
}

func (f *fixture) waitFor(what string, done func() bool) {
	f.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); <-tick.C {
		if done() {
			return
		}
	}
	f.t.Fatalf("waited in vain for %s", what)
}

// outcomes are what was published of a sink, by call id.
func (f *fixture) outcomes(sink string) map[string][]call.Outcome {
	f.t.Helper()
	own, _, err := f.bus.Open(f.t.Context(), bus.Outcomes)
	if err != nil {
		f.t.Fatal(err)
	}
	s, err := f.bus.Status(f.t.Context(), bus.Outcomes)
	if err != nil {
		f.t.Fatal(err)
	}
	all := map[string][]call.Outcome{}
	for got := 0; got < int(s.Pending); {
		batch, err := own.Fetch(f.t.Context(), 1000, 0)
		if err != nil {
			f.t.Fatal(err)
		}
		for _, m := range batch {
			o, err := m.Outcome()
			if err != nil {
				f.t.Fatal(err)
			}
			if o.Sink == sink {
				all[o.CallID] = append(all[o.CallID], o)
			}
		}
		got += len(batch)
	}
	return all
}

func (f *fixture) dead(sink string) []bus.Dead {
	f.t.Helper()
	d, err := f.bus.ListDead(f.t.Context(), bus.CRM(sink).Name, 0, 1000)
	if err != nil {
		f.t.Fatal(err)
	}
	return d
}

// counted is a sink's counter of a result.
func (f *fixture) counted(sink, result string) float64 {
	f.t.Helper()
	all, err := f.reg.Gather()
	if err != nil {
		f.t.Fatal(err)
	}
	for _, family := range all {
		if family.GetName() != "onhook_sink_results_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["sink"] == "crm-"+sink && labels["result"] == result {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// fields are those of the one event that the receiver has of a call.
func fields(t *testing.T, r *crmtest.Webhook, id string) map[string]any {
	t.Helper()
	for _, body := range r.Events() {
		var e struct {
			Data struct {
				CallID string `json:"call_id"`
				Fields map[string]any
			}
		}
		if err := json.Unmarshal(body, &e); err != nil {
			t.Fatal(err)
		}
		if e.Data.CallID == id {
			return e.Data.Fields
		}
	}
	t.Fatalf("no event of %s", id)
	return nil
}
