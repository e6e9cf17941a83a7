package storage_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/bus/bustest"
	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/store"
	"github.com/onhook/onhook/services/storage"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// testcontainers' connections to Docker and to its reaper live as long as the process.
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
		goleak.IgnoreAnyFunction("github.com/testcontainers/testcontainers-go.(*Reaper).connect.func1"),
	)
}

// saver is what the sink needs of a store.
type saver interface {
	Save(ctx context.Context, calls []*call.Raw) []error
	SaveOutcomes(ctx context.Context, outcomes []call.Outcome) []error
}

// fixture is a broker on which sinks can be started.
type fixture struct {
	t      testing.TB
	server *bustest.Server
	bus    *bus.Bus
	cfg    storage.Config
	reg    *prometheus.Registry // of the sink started last
}

func setup(t testing.TB) *fixture {
	if t, ok := t.(*testing.T); ok {
		t.Parallel()
	}
	f := &fixture{t: t, server: bustest.StartServer(t), cfg: storage.DefaultConfig()}
	f.cfg.Attempts, f.cfg.BackoffMin, f.cfg.BackoffMax = 3, time.Millisecond, 2*time.Millisecond
	f.cfg.Batch = 50
	f.bus = f.connect()
	return f
}

// connect opens a connection on which a message that nobody answers for is delivered again after a second.
func (f *fixture) connect() *bus.Bus {
	f.t.Helper()
	return f.server.ConnectWith(f.t, func(c *bus.Config) { c.AckWait = time.Second })
}

// start runs a sink, with a connection of its own, until the test ends or stop is called.
func (f *fixture) start(s saver) (stop func()) {
	f.t.Helper()
	f.reg = prometheus.NewRegistry()
	sink, err := storage.New(f.t.Context(), f.cfg, s, f.connect(), zap.NewNop(), f.reg)
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- sink.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Error(err)
		}
	})
	f.t.Cleanup(stop)
	return stop
}

// publish publishes calls until each is in the stream.
func (f *fixture) publish(calls ...*call.Call) {
	f.t.Helper()
	f.waitFor("the broker", func() bool {
		ok := true
		for _, err := range f.bus.PublishCalls(f.t.Context(), calls) {
			ok = ok && (err == nil || errors.Is(err, bus.ErrDuplicate))
		}
		return ok
	})
}

func (f *fixture) status() bus.ConsumerStatus {
	f.t.Helper()
	s, err := f.bus.Status(f.t.Context(), bus.Storage)
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

func (f *fixture) waitSettled() {
	f.t.Helper()
	f.waitFor("nothing pending", func() bool { s, err := f.bus.Status(f.t.Context(), bus.Storage); return err == nil && s.Pending == 0 })
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
			s, err := f.bus.Status(f.t.Context(), bus.Storage)
			f.t.Fatalf("waited in vain for: %s; %+v %v", what, s, err)
		}
	}
}

func (f *fixture) dead() []bus.Dead {
	f.t.Helper()
	d, err := f.bus.ListDead(f.t.Context(), "storage", 0, 1000)
	if err != nil {
		f.t.Fatal(err)
	}
	return d
}

// untroubled fails the test when a message was given up, or an attempt at one was counted.
func (f *fixture) untroubled() {
	f.t.Helper()
	if s := f.status(); s.Dead != 0 || s.Scheduled != 0 {
		f.t.Errorf("dead, or scheduled for another attempt: %+v %+v", s, f.dead())
	}
	// A counted attempt goes through REDRIVE: of that nothing may ever have been stored.
	js := f.admin()
	st, err := js.Stream(f.t.Context(), "REDRIVE")
	if err != nil {
		f.t.Fatal(err)
	}
	if last := st.CachedInfo().State.LastSeq; last != 0 {
		f.t.Errorf("%d attempts were counted", last)
	}
}

// wantIDs fails the test unless exactly these calls are stored.
func wantIDs(t testing.TB, s store.Store, want []string) {
	t.Helper()
	got := []string{}
	for _, c := range stored(t, s) {
		got = append(got, c.CallID)
	}
	wantSame(t, got, want)
}

// wantSame compares call ids in any order.
func wantSame(t testing.TB, got, want []string) {
	t.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%.2000s", diff)
	}
}

func stored(t testing.TB, s store.Store) []*call.Call {
	t.Helper()
	calls, err := s.List(t.Context(), store.Filter{Limit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return calls
}

func idsUpTo(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("call-%06d", i)
	}
	return ids
}

// openStore opens the store that dsn names, made for the test.
func openStore(t testing.TB, dsn string) store.Store {
	t.Helper()
	if _, _, err := store.Migrate(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // with nothing left to write
	return s
}

func sqliteDSN(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "onhook.db") }
