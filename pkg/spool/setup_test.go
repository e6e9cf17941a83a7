package spool

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/call"
)

// asSpooler makes the test binary append to the spool in the folder that it names, until it is killed.
const asSpooler = "ONHOOK_TEST_SPOOL"

func TestMain(m *testing.M) {
	if dir := os.Getenv(asSpooler); dir != "" {
		if err := spoolForEver(dir); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

// spoolForEver prints the id of each delivery that is safe.
func spoolForEver(dir string) error {
	s, err := Open(dir, 1<<40, zap.NewNop())
	if err != nil {
		return err
	}
	var mu sync.Mutex
	out := bufio.NewWriter(os.Stdout)
	for range 32 {
		go func() {
			for {
				d := delivery(strings.Repeat("x", 3000))
				err := s.Append(context.Background(), d)
				mu.Lock()
				if err == nil {
					_, err = fmt.Fprintln(out, d.ID)
					err = errors.Join(err, out.Flush())
				}
				mu.Unlock()
				if err != nil {
					panic(err)
				}
			}
		}()
	}
	select {}
}

func delivery(body string) *bus.Delivery {
	return &bus.Delivery{
		ID: uuid.Must(uuid.NewV7()).String(), Provider: "cllr", Source: "open", ReceivedAt: time.Now().UTC().Truncate(time.Millisecond),
		Auth: call.AuthToken, ContentType: "application/json", UserAgent: "test", Body: []byte(body),
	}
}

// fake is a broker that does what it is told.
type fake struct {
	mu   sync.Mutex
	err  error // of every publish
	took []*bus.Delivery
	room int // in bytes of one message; 0: any

	large  int   // a body of more bytes goes through the object store; 0: none does
	bodies error // of the object store
	most   int   // bytes of bodies that it was given at once, without those that came alone
}

func (f *fake) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *fake) PublishDelivery(_ context.Context, d *bus.Delivery) error {
	_, err := f.PublishBacklog(context.Background(), []*bus.Delivery{d})
	return err
}

func (f *fake) PublishBacklog(_ context.Context, ds []*bus.Delivery) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return 0, f.err
	}
	size := 0
	for _, d := range ds {
		size += len(d.Body)
	}
	if len(ds) > 1 {
		f.most = max(f.most, size)
	}
	if f.bodies != nil && f.large > 0 && len(ds[0].Body) > f.large {
		return 0, f.bodies
	}
	if f.room > 0 && size > f.room {
		return 0, bus.ErrTooLarge
	}
	f.took = append(f.took, ds...)
	return len(ds), nil
}

func (f *fake) Ready(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func (f *fake) Large(d *bus.Delivery) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.large > 0 && len(d.Body) > f.large
}

func (f *fake) ids() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return idsOf(f.took)
}

func idsOf(ds []*bus.Delivery) []string {
	var ids []string
	for _, d := range ds {
		ids = append(ids, d.ID)
	}
	return ids
}

var errAway = errors.New("away")

// fixture is a Publisher whose spool is in a folder of the test.
type fixture struct {
	*Publisher
	dir  string
	logs *observer.ObservedLogs
	reg  *prometheus.Registry
	stop func()
}

func setup(t testing.TB, dir string, b broker, set func(*Config)) *fixture {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Dir, cfg.After = dir, 50*time.Millisecond
	if set != nil {
		set(&cfg)
	}
	core, logs := observer.New(zap.DebugLevel)
	f := &fixture{dir: dir, logs: logs, reg: prometheus.NewRegistry()}
	var err error
	if f.Publisher, err = New(cfg, b, zap.New(core), f.reg); err != nil {
		t.Fatal(err)
	}
	f.again = 100 * time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- f.Run(ctx) }()
	f.stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-ran, f.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(f.stop)
	return f
}

func (f *fixture) metric(t testing.TB, name string) float64 {
	t.Helper()
	all, err := f.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if m.GetName() == name {
			return m.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// spoolFile is the one file of a spool's folder.
func spoolFile(t testing.TB, dir string) string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "spool-*.db"))
	if err != nil || len(paths) != 1 {
		t.Fatalf("%v %v", paths, err)
	}
	return paths[0]
}

func waitFor(t testing.TB, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); !done(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}
