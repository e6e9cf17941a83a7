package bus_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/bus/bustest"
	"github.com/onhook/onhook/pkg/call"
)

func skipSlow(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("elections take seconds")
	}
}

func TestSeveralProcessesCreateStreamsAndConsumersAtOnce(t *testing.T) {
	t.Parallel()
	skipSlow(t)
	c := bustest.Cluster(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			b, err := bus.Connect(ctx, c.Config(), fmt.Sprint(i), zap.NewNop())
			if err != nil {
				t.Error(err)
				return
			}
			defer b.Close()
			for _, consumer := range bus.Consumers {
				if _, _, err := b.Open(ctx, consumer); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	b := c.Connect(t)
	streams, err := b.Streams(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range streams {
		if s.Replicas != bustest.Nodes || len(s.Differences) > 0 {
			t.Errorf("%+v", s)
		}
	}
	if err := b.Durable(ctx); err != nil {
		t.Error(err)
	}
}

// load publishes deliveries and calls from several connections until it is stopped, and notes what was acknowledged.
type load struct {
	wg         sync.WaitGroup
	stopped    chan struct{}
	stored     atomic.Int64 // deliveries that were acknowledged
	published  atomic.Int64 // calls, each several times
	mu         sync.Mutex
	deliveries map[string]bool // their ids
	calls      map[string]bool
	read       map[string]bool // deliveries that a consumer has had
}

func startLoad(t *testing.T, c *bustest.TestCluster) *load {
	t.Helper()
	l := &load{stopped: make(chan struct{}), deliveries: map[string]bool{}, calls: map[string]bool{}, read: map[string]bool{}}
	for range 4 {
		b := c.Connect(t)
		l.wg.Go(func() {
			tick := time.NewTicker(5 * time.Millisecond) // the machine has other tests to run
			defer tick.Stop()
			for n := 0; ; n++ {
				select {
				case <-l.stopped:
					return
				case <-tick.C:
				}
				l.delivery(t, b)
				l.call(t, b, fmt.Sprint(n)) // each is published by all
			}
		})
	}
	return l
}

// consume reads and acknowledges every delivery until ctx ends, as a worker does.
func (l *load) consume(ctx context.Context, t *testing.T, c *bustest.TestCluster) {
	cfg := c.Config()
	cfg.AckWait = 2 * time.Second // for what a lost connection takes with it
	b, err := bus.Connect(ctx, cfg, "reader", zap.NewNop())
	if err != nil {
		t.Error(err)
		return
	}
	defer b.Close()
	in, _, err := b.Open(ctx, bus.Decoder)
	if err != nil {
		t.Error(err)
		return
	}
	for ctx.Err() == nil {
		msgs, err := in.Fetch(ctx, 500, 0)
		if errors.Is(err, bus.ErrGone) {
			t.Error(err)
			return
		}
		for _, m := range msgs {
			if d, err := m.Delivery(t.Context()); err != nil {
				t.Error(err)
			} else {
				l.mu.Lock()
				l.read[d.ID] = true
				l.mu.Unlock()
			}
			_ = m.Ack() // lost: then it comes again
		}
	}
}

// unread is how many deliveries were acknowledged that no consumer has had.
func (l *load) unread() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for id := range l.deliveries {
		if !l.read[id] {
			n++
		}
	}
	return n
}

func (l *load) delivery(t *testing.T, b *bus.Bus) {
	ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
	defer cancel()
	d := newDelivery("{}")
	if err := b.PublishDelivery(ctx, d); err != nil {
		t.Error(err)
		return
	}
	l.stored.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deliveries[d.ID] = true
}

func (l *load) call(t *testing.T, b *bus.Bus, id string) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // not as long as the client waits for a lost answer
	defer cancel()
	err := b.PublishCalls(ctx, []*call.Call{newCall(id, call.Ended)})[0]
	if err != nil && !errors.Is(err, bus.ErrDuplicate) {
		return // an outage: the worker would try again
	}
	l.published.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls[id] = true
}

// goesOn waits until further deliveries and calls are acknowledged.
func (l *load) goesOn(t *testing.T) {
	t.Helper()
	stored, published := l.stored.Load(), l.published.Load()
	waitUpTo(t, time.Minute, "further acknowledgements", func() bool {
		return l.stored.Load() > stored+20 && l.published.Load() > published+20
	})
}

// check stops the load and holds it against the streams: each delivery is there, and each call, and no call twice.
func (l *load) check(t *testing.T, c *bustest.TestCluster) {
	t.Helper()
	close(l.stopped)
	l.wg.Wait()
	waitUpTo(t, time.Minute, "every delivery to be read", func() bool { return l.unread() == 0 })
	st, err := c.JetStream(t).Stream(t.Context(), "CALLS")
	if err != nil {
		t.Fatal(err)
	}
	info, err := st.Info(t.Context(), jetstream.WithSubjectFilter(">"))
	if err != nil {
		t.Fatal(err)
	}
	for subject, n := range info.State.Subjects {
		if n != 1 {
			t.Errorf("%s is there %d times", subject, n)
		}
	}
	if stored := len(info.State.Subjects); stored < len(l.calls) {
		t.Errorf("%d calls were acknowledged, %d are there", len(l.calls), stored)
	}
	for id := range l.calls {
		if info.State.Subjects["calls.ended.altur.s."+id] != 1 {
			t.Errorf("call %s was acknowledged and is gone", id)
		}
	}
}

// One cluster goes through all of it, under load, as each start takes seconds.
func TestWhatWasAckedIsThereOnceWhateverTheClusterDoes(t *testing.T) {
	t.Parallel()
	skipSlow(t)
	c := bustest.Cluster(t)
	l := startLoad(t, c)
	reading, stop := context.WithCancel(t.Context())
	defer stop()
	var reader sync.WaitGroup
	reader.Go(func() { l.consume(reading, t, c) })
	l.goesOn(t)
	for _, stream := range []string{"WEBHOOKS", "CALLS"} {
		began := time.Now()
		waitUpTo(t, time.Minute, "a leader that steps down", func() bool { return c.StepDown(stream) == nil })
		l.goesOn(t)
		t.Logf("the leader of %s stepped down: %v", stream, time.Since(began))
	}
	for _, stream := range []string{"WEBHOOKS", "CALLS"} {
		settle(t, c)
		began := time.Now()
		leader := -1
		waitUpTo(t, time.Minute, "a leader", func() bool { leader = c.Leader(stream); return leader >= 0 })
		c.StopNode(leader)
		l.goesOn(t)
		t.Logf("the leader of %s stopped: %v", stream, time.Since(began))
		c.StartNodes(t, leader)
	}
	began := time.Now()
	for i := range bustest.Nodes {
		settle(t, c)
		c.StopNode(i)
		c.StartNodes(t, i)
	}
	l.goesOn(t)
	t.Logf("one node after the other restarted: %v", time.Since(began))
	began = time.Now()
	for i := range bustest.Nodes {
		c.StopNode(i)
	}
	c.StartNodes(t, 0, 1, 2)
	l.goesOn(t)
	t.Logf("all nodes restarted: %v", time.Since(began))
	began = time.Now()
	l.check(t, c)
	t.Logf("all %d deliveries and %d calls are there: %v", l.stored.Load(), l.published.Load(), time.Since(began))
	stop()
	reader.Wait()
}

// settle waits until another node may be stopped.
func settle(t *testing.T, c *bustest.TestCluster) {
	t.Helper()
	js := c.JetStream(t)
	var err error
	waitUpTo(t, time.Minute, "replicas that are up to date", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		err = c.Settled(ctx, js)
		return err == nil
	})
}

// A node that comes later is waited for: without it the streams could not have their replicas.
func TestConnectWaitsForNodesThatComeLater(t *testing.T) {
	t.Parallel()
	skipSlow(t)
	c := bustest.NewCluster(t)
	b, err := bus.New(c.Config(), "test", zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	prepared := make(chan error, 1)
	go func() { prepared <- b.Prepare(t.Context()) }()
	for i := range bustest.Nodes {
		waitUpTo(t, time.Minute, "a reason", func() bool { return b.Ready(t.Context()) != nil })
		select {
		case err := <-prepared:
			t.Fatalf("with %d nodes: %v", i, err)
		default:
		}
		c.StartNodes(t, i)
	}
	select {
	case err := <-prepared:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(time.Minute):
		t.Fatalf("still waiting: %v", b.Ready(t.Context()))
	}
	settle(t, c)
	c.StopNode(0) // two of three are enough once the streams are there
	second := c.Connect(t)
	if err := second.PublishDelivery(t.Context(), newDelivery("{}")); err != nil {
		t.Error(err)
	}
	fetch(t, second, bus.Decoder, false, 1)
	c.StopNode(1)
	waitUpTo(t, time.Minute, "one node alone not to be ready", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		return second.Ready(ctx) != nil
	})
	c.StartNodes(t, 0, 1)
	waitUpTo(t, time.Minute, "all nodes to be ready", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		return second.Ready(ctx) == nil
	})
}

// waitUpTo waits on a condition for longer than waitFor does.
func waitUpTo(t *testing.T, most time.Duration, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(most); time.Now().Before(end); <-tick.C {
		if done() {
			return
		}
	}
	t.Fatalf("waited in vain for %s", what)
}
