package ingress

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/natsembed"
	"github.com/onhook/onhook/pkg/spool"
)

// startSpool is a spool before the broker, until the test ends or the function is called.
func startSpool(t testing.TB, b *broker, dir string) (p *spool.Publisher, stop func()) {
	t.Helper()
	cfg := spool.DefaultConfig()
	cfg.Dir = dir
	p, err := spool.New(cfg, b.Bus, zap.NewNop(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- p.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-ran, p.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return p, stop
}

// deliveries is everything that the stream holds, in its order, by what a decoder gets.
func deliveries(t testing.TB, b *broker) []*bus.Delivery {
	t.Helper()
	in, _, err := b.Open(t.Context(), bus.Decoder)
	if err != nil {
		t.Fatal(err)
	}
	var all []*bus.Delivery
	for want := b.stored(t); len(all) < want; {
		msgs, err := in.Fetch(t.Context(), 1000, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range msgs {
			d, err := m.Delivery(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, d)
			if err := m.Ack(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return all
}

// The broker is away for seconds under load: nobody is refused, and all that got a 200 is in the stream once it is back.
// What was spooled is there in the order of its answers for each sender that waits for one before it sends the next.
func TestBrokerAwayWithASpool(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	p, _ := startSpool(t, b, t.TempDir())
	f := setup(t, p, options{})
	const senders = 16
	var stopped, away atomic.Bool
	var spooled atomic.Int64
	ids := make([][]string, senders) // of what was sent and answered while the broker was away
	var mu sync.Mutex
	acked := map[string]bool{}
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := 0; !stopped.Load(); i++ {
				outage := away.Load()
				a, err := f.try(t.Context(), "open", nil, fmt.Appendf(nil, `{"sender":%d,"n":%d}`, s, i))
				if err != nil || a.status != http.StatusOK {
					t.Errorf("%v %d %s", err, a.status, a.body)
					return
				}
				id := a.accepted(t)
				mu.Lock()
				acked[id] = true
				mu.Unlock()
				if outage && away.Load() {
					ids[s] = append(ids[s], id)
					spooled.Add(1)
				}
			}
		})
	}
	waitFor(t, "deliveries are taken", func() bool { return f.count("open", accepted) > 500 })
	b.Server.Stop()
	away.Store(true)
	began := time.Now()
	waitFor(t, "the broker was away for long", func() bool { return spooled.Load() > 500 && time.Since(began) > 4*time.Second })
	away.Store(false)
	b.Server.Start(t)
	back := f.count("open", accepted)
	waitFor(t, "deliveries are taken", func() bool { return f.count("open", accepted) > back+500 })
	waitFor(t, "the broker answers", func() bool { return b.Ready(t.Context()) == nil })
	stopped.Store(true)
	wg.Wait()
	if _, err := p.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the stream can be looked at", b.nc.IsConnected)
	place := map[string]int{}
	twice := 0
	for i, d := range deliveries(t, b) {
		if _, ok := place[d.ID]; ok {
			twice++
			continue
		}
		place[d.ID] = i
	}
	for id := range acked {
		if _, ok := place[id]; !ok {
			t.Errorf("%s got 200 and is not in the stream", id)
		}
	}
	if len(place) != len(acked) || twice > senders { // what was on its way as the broker stopped may have been stored, unknown to us
		t.Errorf("%d in the stream, %d of them twice; %d got 200", len(place), twice, len(acked))
	}
	for s := range ids {
		if !slices.IsSortedFunc(ids[s], func(a, b string) int { return place[a] - place[b] }) {
			t.Errorf("sender %d: what was spooled is out of order", s)
		}
	}
	t.Logf("%d got 200, %d of them in the outage; %d stored twice", len(acked), spooled.Load(), twice)
}

// ingress is stopped in the outage with a backlog, and the next one forwards it under the ids of the answers.
func TestRestartWithABacklog(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	dir := t.TempDir()
	p, stop := startSpool(t, b, dir)
	f := setup(t, p, options{})
	b.Server.Stop()
	var want []string
	for range 50 {
		want = append(want, f.send(t, "open", nil, []byte("{}")).accepted(t))
	}
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	stop()
	b.Server.Start(t)
	startSpool(t, b, dir)
	waitFor(t, "the broker answers", func() bool { return b.Ready(t.Context()) == nil })
	waitFor(t, "the backlog is forwarded", func() bool { return b.stored(t) >= len(want) })
	var got []string
	for _, d := range deliveries(t, b) {
		got = append(got, d.ID)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A full stream is the broker's no to everything: with a spool it waits for room.
func TestFullStreamWithASpool(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	p, _ := startSpool(t, b, t.TempDir())
	f := setup(t, p, options{})
	b.limit(t, 1)
	f.send(t, "open", nil, []byte("1")).accepted(t)
	f.send(t, "open", nil, []byte("2")).accepted(t)
	if n := b.stored(t); n != 1 {
		t.Errorf("%d stored", n)
	}
	b.limit(t, -1)
	waitFor(t, "there is room", func() bool { return b.stored(t) == 2 })
}

// The object store was full, and for one large body that waited for it every small one was spooled, and none forwarded.
func TestFullObjectStoreWithASpool(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	p, _ := startSpool(t, b, t.TempDir())
	f := setup(t, p, options{config: func(c *Config) { c.MaxBody = 2 * natsembed.MaxPayload }})
	js, err := jetstream.New(b.nc)
	if err != nil {
		t.Fatal(err)
	}
	st, err := js.Stream(t.Context(), "OBJ_bodies")
	if err != nil {
		t.Fatal(err)
	}
	full := st.CachedInfo().Config
	full.MaxBytes = 1 << 20
	if _, err := js.UpdateStream(t.Context(), full); err != nil {
		t.Fatal(err)
	}
	f.send(t, "open", nil, make([]byte, natsembed.MaxPayload+1)).accepted(t)
	for n := range 8 {
		f.send(t, "open", nil, []byte("{}")).accepted(t)
		if stored := b.stored(t); stored != n+1 {
			t.Fatalf("%d are stored of %d that the stream had room for", stored, n+1)
		}
	}
	waitFor(t, "readiness tells of the one that is set back", func() bool { return strings.Contains(p.Note(t.Context()), "does not take 1 of the deliveries") })
}
