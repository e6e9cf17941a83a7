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
	acked      atomic.Int64
	mu         sync.Mutex
	deliveries map[string]bool // their ids
	calls      map[string]bool
}

func startLoad(t *testing.T, c *bustest.TestCluster) *load {
	t.Helper()
	l := &load{stopped: make(chan struct{}), deliveries: map[string]bool{}, calls: map[string]bool{}}
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

func (l *load) delivery(t *testing.T, b *bus.Bus) {
	ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
	defer cancel()
	d := newDelivery("{}")
	if err := b.PublishDelivery(ctx, d); err != nil {
		t.Error(err)
		return
	}
	l.acked.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deliveries[d.ID] = true
}

func (l *load) call(t *testing.T, b *bus.Bus, id string) {
	err := b.PublishCalls(t.Context(), []*call.Call{newCall(id, call.Ended)})[0]
	if err != nil && !errors.Is(err, bus.ErrDuplicate) {
		return // an outage: the worker would try again
	}
	l.acked.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls[id] = true
}

// goesOn waits until more is acknowledged than was before.
func (l *load) goesOn(t *testing.T) {
	t.Helper()
	before := l.acked.Load()
	waitUpTo(t, time.Minute, "further acknowledgements", func() bool { return l.acked.Load() > before+40 })
}

// check stops the load and holds it against the streams: each delivery is there, and each call, and no call twice.
func (l *load) check(t *testing.T, c *bustest.TestCluster) {
	t.Helper()
	close(l.stopped)
	l.wg.Wait()
	b := c.Connect(t)
	in, _, err := b.Open(t.Context(), bus.Decoder)
	if err != nil {
		t.Fatal(err)
	}
	waitUpTo(t, time.Minute, "every delivery", func() bool {
		msgs, err := in.Fetch(t.Context(), 500, 0)
		if errors.Is(err, bus.ErrGone) {
			t.Fatal(err)
		}
		for _, m := range msgs {
			d, err := m.Delivery()
			if err != nil {
				t.Error(err)
				continue
			}
			delete(l.deliveries, d.ID)
			if err := m.Ack(); err != nil {
				t.Error(err)
			}
		}
		return len(l.deliveries) == 0
	})
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

func TestWhatWasAckedIsThereOnceWhateverTheClusterDoes(t *testing.T) {
	t.Parallel()
	skipSlow(t)
	for name, disturb := range map[string]func(*testing.T, *bustest.TestCluster, *load){
		"leaders step down": func(t *testing.T, c *bustest.TestCluster, l *load) {
			for _, stream := range []string{"WEBHOOKS", "CALLS", "WEBHOOKS", "CALLS"} {
				waitUpTo(t, time.Minute, "a leader that steps down", func() bool { return c.StepDown(stream) == nil })
				l.goesOn(t)
			}
		},
		"leaders stop": func(t *testing.T, c *bustest.TestCluster, l *load) {
			for _, stream := range []string{"WEBHOOKS", "CALLS"} {
				leader := -1
				waitUpTo(t, time.Minute, "a leader", func() bool { leader = c.Leader(stream); return leader >= 0 })
				c.StopNode(leader)
				l.goesOn(t)
				c.StartNodes(t, leader)
				settle(t, c)
			}
		},
		"one node after the other restarts": func(t *testing.T, c *bustest.TestCluster, l *load) {
			for i := range bustest.Nodes {
				c.StopNode(i)
				c.StartNodes(t, i)
				settle(t, c)
			}
			l.goesOn(t)
		},
		"all nodes restart": func(t *testing.T, c *bustest.TestCluster, l *load) {
			for i := range bustest.Nodes {
				c.StopNode(i)
			}
			c.StartNodes(t, 0, 1, 2)
			l.goesOn(t)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := bustest.Cluster(t)
			l := startLoad(t, c)
			l.goesOn(t)
			disturb(t, c, l)
			l.check(t, c)
		})
	}
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
