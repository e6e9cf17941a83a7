package worker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/bus/bustest"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/pkg/worker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a broker with a decoder consumer, and a worker on it that can be stopped and started.
type fixture struct {
	t   *testing.T
	bus *bus.Bus
	cfg worker.Config
	reg *prometheus.Registry
}

func setup(t *testing.T) *fixture {
	t.Parallel()
	cfg := worker.DefaultConfig()
	cfg.Batch = 10
	cfg.Concurrency = 1
	cfg.Attempts = 3
	cfg.BackoffMin = time.Millisecond
	cfg.BackoffMax = 2 * time.Millisecond
	cfg.ProbeMax = 20 * time.Millisecond
	return &fixture{t: t, bus: bustest.Start(t), cfg: cfg}
}

// publish publishes deliveries whose ids and bodies are the names.
func (f *fixture) publish(names ...string) {
	f.t.Helper()
	for _, n := range names {
		d := &bus.Delivery{ID: n, Provider: "cllr", Source: "s", ReceivedAt: time.Now(), Body: []byte(n)}
		if err := f.bus.PublishDelivery(f.t.Context(), d); err != nil {
			f.t.Fatal(err)
		}
	}
}

// start runs a worker until the test ends or stop is called; stop returns Run's error.
func (f *fixture) start(h worker.Handler) (stop func() error) {
	f.t.Helper()
	f.reg = prometheus.NewRegistry()
	w, err := worker.New(f.t.Context(), f.bus, bus.Decoder, h, f.cfg, zap.NewNop(), f.reg)
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	f.t.Cleanup(func() {
		if err := stop(); err != nil {
			f.t.Error(err)
		}
	})
	return stop
}

func (f *fixture) status() bus.ConsumerStatus {
	f.t.Helper()
	s, err := f.bus.Status(f.t.Context(), bus.Decoder)
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

func (f *fixture) dead() []bus.Dead {
	f.t.Helper()
	d, err := f.bus.ListDead(f.t.Context(), "decoder", 0, 100)
	if err != nil {
		f.t.Fatal(err)
	}
	return d
}

func (f *fixture) waitFor(what string, done func() bool) {
	f.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 6000 {
		if done() {
			return
		}
		<-tick.C
	}
	f.t.Fatalf("waited in vain for: %s; %+v", what, f.status())
}

func (f *fixture) waitSettled() {
	f.t.Helper()
	f.waitFor("nothing pending", func() bool { return f.status().Pending == 0 })
}

// seen records which messages a handler was given, and when.
type seen struct {
	mu    sync.Mutex
	names []string
	at    []time.Time
}

func (s *seen) add(m *bus.Message) string {
	d, err := m.Delivery(context.Background())
	if err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names = append(s.names, string(d.Body))
	s.at = append(s.at, time.Now())
	return string(d.Body)
}

func (s *seen) count(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, v := range s.names {
		if v == name {
			n++
		}
	}
	return n
}

func TestNilIsAcked(t *testing.T) {
	f := setup(t)
	var got seen
	f.publish("a", "b")
	f.start(worker.Each(func(_ context.Context, m *bus.Message) error { got.add(m); return nil }))
	f.waitSettled()
	if got.count("a") != 1 || got.count("b") != 1 || len(f.dead()) != 0 {
		t.Errorf("handled %q, dead %+v", got.names, f.dead())
	}
}

func TestPlainErrorComesAgainAndIsCounted(t *testing.T) {
	f := setup(t)
	var got seen
	f.publish("a")
	f.start(worker.Each(func(_ context.Context, m *bus.Message) error {
		if got.add(m); m.Failed < 2 {
			return errors.New("not yet")
		}
		return nil
	}))
	f.waitSettled()
	if n := got.count("a"); n != 3 || len(f.dead()) != 0 {
		t.Errorf("handled %d times, dead %+v", n, f.dead())
	}
}

func TestPlainErrorIsDeadAfterThePolicysAttempts(t *testing.T) {
	f := setup(t)
	var got seen
	f.publish("a")
	f.start(worker.Each(func(_ context.Context, m *bus.Message) error { got.add(m); return errors.New("boom") }))
	f.waitSettled()
	dead := f.dead()
	if n := got.count("a"); n != 3 || len(dead) != 1 {
		t.Fatalf("handled %d times, dead %+v", n, dead)
	}
	if d := dead[0]; d.Attempts != 3 || d.Reason != "gave up after 3 attempts: boom" || d.Error != "boom" || d.Origin != "WEBHOOKS/1" || d.Consumer != "decoder" {
		t.Errorf("%+v", d)
	}
}

func TestAttemptsAreCountedOverRestarts(t *testing.T) {
	f := setup(t)
	f.cfg.BackoffMin, f.cfg.BackoffMax = time.Second, time.Second
	var got seen
	h := worker.Each(func(_ context.Context, m *bus.Message) error { got.add(m); return errors.New("boom") })
	f.publish("a")
	stop := f.start(h)
	f.waitFor("the first attempt", func() bool { return f.status().Scheduled == 1 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	f.start(h)
	f.waitSettled()
	if n := got.count("a"); n != 3 || len(f.dead()) != 1 {
		t.Errorf("handled %d times, dead %+v", n, f.dead())
	}
}

func TestAfterIsNotSoonerThanItsDelay(t *testing.T) {
	f := setup(t)
	var got seen
	f.publish("a")
	f.start(worker.Each(func(_ context.Context, m *bus.Message) error {
		if got.add(m); m.Failed == 0 {
			return retry.After(1500*time.Millisecond, errors.New("429"))
		}
		return nil
	}))
	f.waitSettled()
	if len(got.at) != 2 || got.at[1].Sub(got.at[0]) < 1500*time.Millisecond {
		t.Errorf("handled at %v", got.at)
	}
}

func TestNeverIsDeadAtOnceAndRedrivenToItsWorker(t *testing.T) {
	f := setup(t)
	var got seen
	var mended bool
	f.publish("bad", "good")
	h := worker.Each(func(_ context.Context, m *bus.Message) error {
		if got.add(m) == "bad" && !mended {
			return retry.Never(errors.New("cllr: $.callId: missing"))
		}
		return nil
	})
	stop := f.start(h)
	f.waitSettled()
	dead := f.dead()
	if len(dead) != 1 || dead[0].Attempts != 1 || dead[0].Reason != "cllr: $.callId: missing" || got.count("bad") != 1 {
		t.Fatalf("dead %+v, handled %q", dead, got.names)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	mended = true
	f.start(h)
	if err := f.bus.RedriveDead(t.Context(), dead[0].Seq); err != nil {
		t.Fatal(err)
	}
	f.waitSettled()
	if got.count("bad") != 2 || got.count("good") != 1 || len(f.dead()) != 0 {
		t.Errorf("handled %q, dead %+v", got.names, f.dead())
	}
}

func TestOutageCountsNothingHoldsAndProbesWithOne(t *testing.T) {
	f := setup(t)
	f.cfg.Attempts = 2
	var mu sync.Mutex
	down, probes, most := true, 0, 0
	var handled []string
	var names []string
	for i := range 25 {
		names = append(names, fmt.Sprintf("%02d", i))
	}
	f.publish(names...)
	f.start(func(_ context.Context, batch []*bus.Message) []error {
		mu.Lock()
		defer mu.Unlock()
		errs := make([]error, len(batch))
		if down {
			if probes++; probes > 2 { // the two loops' first batches aside, only probes may come
				most = max(most, len(batch))
			}
			for i := range errs {
				errs[i] = retry.Outage(time.Millisecond, errors.New("connection refused"))
			}
			return errs
		}
		for _, m := range batch {
			if m.Failed != 0 {
				t.Errorf("%s: %d attempts were burnt", m.Origin, m.Failed)
			}
			d, _ := m.Delivery(t.Context())
			handled = append(handled, string(d.Body))
		}
		return errs
	})
	f.waitFor("twenty probes", func() bool { mu.Lock(); defer mu.Unlock(); return probes >= 20 })
	// A batch is held, and one of the others may be asked with, as those of the batch may be what the sink cannot take. What was
	// just handed back is in hand for a moment more.
	f.waitFor("no more in hand than a batch and one", func() bool { return f.status().InHand <= 11 })
	if s := f.status(); s.Pending != 25 || s.Dead != 0 || s.Scheduled != 0 {
		t.Errorf("during the outage: %+v", s)
	}
	mu.Lock()
	if most != 1 {
		t.Errorf("a probe had %d messages", most)
	}
	down = false
	mu.Unlock()
	f.waitSettled()
	slices.Sort(handled)
	if !slices.Equal(handled, names) || len(f.dead()) != 0 {
		t.Errorf("handled %q", handled)
	}
}

func TestShutdownInAnOutageHandsBackWhatIsHeld(t *testing.T) {
	f := setup(t)
	f.cfg.ProbeMax = time.Hour
	met := make(chan struct{})
	once := sync.OnceFunc(func() { close(met) })
	f.publish("a", "b", "c")
	stop := f.start(worker.Each(func(context.Context, *bus.Message) error {
		once()
		return retry.Outage(time.Hour, errors.New("down"))
	}))
	<-met
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	var got seen
	began := time.Now()
	f.start(worker.Each(func(_ context.Context, m *bus.Message) error {
		if got.add(m); m.Failed != 0 {
			t.Errorf("%d attempts were burnt", m.Failed)
		}
		return nil
	}))
	f.waitSettled()
	if took := time.Since(began); took > f.bus.AckWait()/2 || len(got.names) != 3 {
		t.Errorf("handled %q after %v: not handed back but timed out", got.names, took)
	}
}

func TestAHeldMessageIsKeptAliveBeyondTheAckWait(t *testing.T) {
	f := setup(t)
	f.bus = bustest.StartServer(t).ConnectWith(t, func(c *bus.Config) { c.AckWait = time.Second })
	f.cfg.Concurrency = 2 // one holds, the other would be given the message again
	var got seen
	f.publish("slow", "down")
	began := time.Now()
	f.start(worker.Each(func(_ context.Context, m *bus.Message) error {
		switch name := got.add(m); {
		case name == "slow":
			<-time.After(2500 * time.Millisecond)
			return nil
		case time.Since(began) < 5*time.Second:
			return retry.Outage(10*time.Second, errors.New("down"))
		default:
			return nil
		}
	}))
	f.waitSettled()
	if n := got.count("slow"); n != 1 {
		t.Errorf("a message in hand was delivered %d times", n)
	}
}

func TestShutdownFinishesWhatIsInHand(t *testing.T) {
	f := setup(t)
	inHand, finish := make(chan struct{}), make(chan struct{})
	f.publish("a")
	stop := f.start(worker.Each(func(ctx context.Context, _ *bus.Message) error {
		close(inHand)
		<-finish
		return ctx.Err() // the grace is not over
	}))
	<-inHand
	done := make(chan error)
	go func() { done <- stop() }()
	close(finish)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	f.waitSettled() // the server takes its time over an ack; without one the message would stay in hand
}

func TestShutdownHandsBackWhatTheGraceCutsShort(t *testing.T) {
	f := setup(t)
	f.cfg.Grace = time.Millisecond
	inHand := make(chan struct{})
	f.publish("a")
	stop := f.start(worker.Each(func(ctx context.Context, _ *bus.Message) error {
		close(inHand)
		<-ctx.Done()
		return ctx.Err()
	}))
	<-inHand
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	var failed []int
	f.start(worker.Each(func(_ context.Context, m *bus.Message) error { failed = append(failed, m.Failed); return nil }))
	f.waitSettled()
	if !slices.Equal(failed, []int{0}) {
		t.Errorf("attempts counted: %v", failed)
	}
}

func TestOneBadMessageInABatchHurtsNoOther(t *testing.T) {
	f := setup(t)
	var got seen
	f.publish("a", "bad", "b")
	f.start(worker.Each(func(_ context.Context, m *bus.Message) error {
		if got.add(m) == "bad" {
			return retry.Never(errors.New("bad"))
		}
		return nil
	}))
	f.waitSettled()
	if got.count("a") != 1 || got.count("b") != 1 || len(f.dead()) != 1 {
		t.Errorf("handled %q, dead %+v", got.names, f.dead())
	}
}

func TestPanicAndWrongAnswersAreErrorsOfTheBatch(t *testing.T) {
	for name, h := range map[string]worker.Handler{
		"the handler panicked":                     func(context.Context, []*bus.Message) []error { panic("secret") },
		"the handler gave 0 answers to 1 messages": func(context.Context, []*bus.Message) []error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			f.cfg.Attempts = 1
			f.publish("a")
			f.start(h)
			f.waitSettled()
			if dead := f.dead(); len(dead) != 1 || dead[0].Error != name {
				t.Errorf("%+v", dead)
			}
		})
	}
}

func TestDeletedConsumerEndsRun(t *testing.T) {
	f := setup(t)
	w, err := worker.New(t.Context(), f.bus, bus.Decoder, worker.Each(func(context.Context, *bus.Message) error { return nil }), f.cfg, zap.NewNop(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- w.Run(t.Context()) }()
	if err := f.bus.DeleteConsumer(t.Context(), bus.Decoder); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, bus.ErrGone) {
		t.Errorf("%v", err)
	}
}

func TestMetrics(t *testing.T) {
	f := setup(t)
	f.publish("bad", "good")
	var got seen
	f.start(worker.Each(func(_ context.Context, m *bus.Message) error {
		if got.add(m) == "bad" {
			return retry.Never(errors.New("bad"))
		}
		return nil
	}))
	f.waitSettled()
	const want = `
# HELP onhook_sink_results_total Messages by how an attempt at them ended: done, skipped, again, dead, handed_back, outage, unsettled.
# TYPE onhook_sink_results_total counter
onhook_sink_results_total{result="again",sink="decoder"} 0
onhook_sink_results_total{result="dead",sink="decoder"} 1
onhook_sink_results_total{result="done",sink="decoder"} 1
`
	if err := testutil.GatherAndCompare(f.reg, strings.NewReader(want), "onhook_sink_results_total"); err != nil {
		t.Error(err)
	}
}
