package decoder_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/bus/bustest"
	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/provider"
	"github.com/onhook/onhook/services/decoder"
)

func TestMain(m *testing.M) {
	const server = "github.com/nats-io/nats-server/v2/server"
	goleak.VerifyTestMain(m, // what the server leaves of a batch that came while it stopped
		goleak.IgnoreAnyFunction(server+".(*msgBlock).flushLoop"),
		goleak.IgnoreAnyFunction(server+".(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreAnyFunction(server+"/ats.Register.func1"),
	)
}

// fixture is a broker on which decoders can be started, and a reader of the calls that they make.
type fixture struct {
	t      testing.TB
	server *bustest.Server
	bus    *bus.Bus
	cfg    decoder.Config
	// ackWait is after how long a message that nobody answers for is delivered again.
	ackWait time.Duration
	reader  *bus.Inbox
	read    []*call.Call // all that stands in CALLS, as far as it was read
}

func (f *fixture) connect() *bus.Bus {
	f.t.Helper()
	return f.server.ConnectWith(f.t, func(c *bus.Config) { c.AckWait = f.ackWait })
}

func setup(t testing.TB) *fixture {
	if t, ok := t.(*testing.T); ok {
		t.Parallel()
	}
	f := &fixture{t: t, server: bustest.StartServer(t), cfg: decoder.DefaultConfig(), ackWait: bus.DefaultConfig().AckWait}
	f.cfg.Attempts, f.cfg.BackoffMin, f.cfg.BackoffMax = 3, time.Millisecond, 2*time.Millisecond
	f.cfg.ProbeMax = 50 * time.Millisecond
	f.bus = f.connect()
	var err error
	if f.reader, _, err = f.bus.Open(t.Context(), bus.Storage); err != nil {
		t.Fatal(err)
	}
	return f
}

// decoding is a decoder at work.
type decoding struct {
	reg  *prometheus.Registry
	stop func() // may be called more than once
}

// start runs a decoder, with a connection of its own, until it is stopped or the test ends.
func (f *fixture) start(providers ...provider.Provider) decoding {
	f.t.Helper()
	if len(providers) == 0 {
		providers = provider.All()
	}
	reg := prometheus.NewRegistry()
	d, err := decoder.New(f.t.Context(), f.cfg, providers, f.connect(), zap.NewNop(), reg)
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Error(err)
		}
	})
	f.t.Cleanup(stop)
	return decoding{reg, stop}
}

// count is one counter of onhook_decoded_total.
func (d decoding) count(t testing.TB, provider, result string) int {
	t.Helper()
	families, err := d.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "onhook_decoded_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			got := map[string]string{}
			for _, l := range m.GetLabel() {
				got[l.GetName()] = l.GetValue()
			}
			if got["provider"] == provider && got["result"] == result {
				return int(m.GetCounter().GetValue())
			}
		}
	}
	return 0
}

func newDelivery(provider, source, body string) *bus.Delivery {
	return &bus.Delivery{
		ID:          uuid.Must(uuid.NewV7()).String(),
		Provider:    provider,
		Source:      source,
		ReceivedAt:  time.Now().UTC().Truncate(time.Millisecond),
		Auth:        call.AuthToken,
		ContentType: "application/json",
		UserAgent:   "sender/1",
		Body:        []byte(body),
	}
}

func (f *fixture) publish(deliveries ...*bus.Delivery) {
	f.t.Helper()
	for _, d := range deliveries {
		if err := f.bus.PublishDelivery(f.t.Context(), d); err != nil {
			f.t.Error(err) // not Fatal: called from other goroutines too
		}
	}
}

// cllrBody is the smallest body that is a call.
func cllrBody(id string) string {
	b, err := json.Marshal(map[string]string{"callId": id})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// synthflowBody is a call in the given status.
func synthflowBody(id, status string) string {
	b, err := json.Marshal(map[string]any{"call": map[string]string{"call_id": id, "status": status}})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// waitSettled waits until every delivery so far is settled.
func (f *fixture) waitSettled() {
	f.t.Helper()
	f.waitFor("nothing pending", func() bool { s, err := f.bus.Status(f.t.Context(), bus.Decoder); return err == nil && s.Pending == 0 })
}

func (f *fixture) waitFor(what string, done func() bool) {
	f.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(2 * time.Minute)
	for !done() {
		select {
		case <-tick.C:
		case <-timeout:
			s, err := f.bus.Status(f.t.Context(), bus.Decoder)
			f.t.Fatalf("waited in vain for: %s; %+v %v", what, s, err)
		}
	}
}

// calls waits until every delivery is settled and returns all calls that were ever made.
func (f *fixture) calls() []*call.Call {
	f.t.Helper()
	f.waitSettled()
	for {
		if s, err := f.bus.Status(f.t.Context(), bus.Storage); err != nil {
			f.t.Fatal(err)
		} else if s.Pending == 0 {
			return f.read
		}
		msgs, err := f.reader.Fetch(f.t.Context(), 256, 0)
		if err != nil {
			f.t.Fatal(err)
		}
		for _, m := range msgs {
			c, err := m.Call()
			if err != nil {
				f.t.Fatal(err)
			}
			if err := m.Ack(); err != nil {
				f.t.Fatal(err)
			}
			f.read = append(f.read, c)
		}
	}
}

// ids returns the identities of all calls that were ever made, in their order.
func (f *fixture) ids() []string {
	f.t.Helper()
	ids := []string{}
	for _, c := range f.calls() {
		ids = append(ids, string(c.Event)+" "+c.Key)
	}
	return ids
}

func (f *fixture) dead() []bus.Dead {
	f.t.Helper()
	d, err := f.bus.ListDead(f.t.Context(), "decoder", 0, 1000)
	if err != nil {
		f.t.Fatal(err)
	}
	return d
}

// limitCalls gives CALLS room for n messages; -1 for any number.
func (f *fixture) limitCalls(n int64) {
	f.t.Helper()
	nc, err := nats.Connect(f.server.ClientURL())
	if err != nil {
		f.t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		f.t.Fatal(err)
	}
	st, err := js.Stream(f.t.Context(), "CALLS")
	if err != nil {
		f.t.Fatal(err)
	}
	cfg := st.CachedInfo().Config
	cfg.MaxMsgs = n
	if _, err := js.UpdateStream(f.t.Context(), cfg); err != nil {
		f.t.Fatal(err)
	}
}

func TestMetricsNameEveryResult(t *testing.T) {
	f := setup(t)
	d := f.start()
	f.publish(
		newDelivery("cllr", "s", cllrBody("a")), newDelivery("cllr", "s", cllrBody("a")), newDelivery("cllr", "s", `{}`),
		newDelivery("altur", "s", `{"event_type":"campaign.finished","event_id":"e"}`), newDelivery("nobody", "s", `{}`),
	)
	f.waitSettled()
	const want = `
# HELP onhook_decoded_total Deliveries by provider and result: call, duplicate, ignored, dead, error.
# TYPE onhook_decoded_total counter
onhook_decoded_total{provider="altur",result="call"} 0
onhook_decoded_total{provider="altur",result="dead"} 0
onhook_decoded_total{provider="altur",result="duplicate"} 0
onhook_decoded_total{provider="altur",result="ignored"} 1
onhook_decoded_total{provider="cllr",result="call"} 1
onhook_decoded_total{provider="cllr",result="dead"} 1
onhook_decoded_total{provider="cllr",result="duplicate"} 1
onhook_decoded_total{provider="synthflow",result="call"} 0
onhook_decoded_total{provider="synthflow",result="dead"} 0
onhook_decoded_total{provider="synthflow",result="duplicate"} 0
onhook_decoded_total{provider="unknown",result="error"} 3
`
	if err := testutil.GatherAndCompare(d.reg, strings.NewReader(want), "onhook_decoded_total"); err != nil {
		t.Error(err)
	}
	reasons := []string{}
	for _, d := range f.dead() {
		reasons = append(reasons, d.Reason)
	}
	if len(reasons) != 2 || !strings.Contains(strings.Join(reasons, "\n"), `gave up after 3 attempts: this decoder knows no provider "nobody"`) {
		t.Errorf("dead: %q", reasons)
	}
}

func TestASecondDecoderCannotShareARegistry(t *testing.T) {
	f := setup(t)
	reg := prometheus.NewRegistry()
	for i := range 2 {
		_, err := decoder.New(t.Context(), f.cfg, provider.All(), f.bus, zap.NewNop(), reg)
		if already, is := errors.AsType[prometheus.AlreadyRegisteredError](err); is != (i == 1) {
			t.Errorf("decoder %d: %v %v", i, err, already)
		}
	}
}
