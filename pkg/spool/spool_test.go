package spool

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
)

func TestWhatIsSpooledIsForwardedInOrderAsItWas(t *testing.T) {
	t.Parallel()
	b := &fake{err: errAway}
	f := setup(t, t.TempDir(), b, nil)
	bodies := []string{
		"", "{}", "\x00\xff\xfe", strings.Repeat("long ", 20_000), "\xa5OH\x01 is the marker of a record", strings.Repeat("\xa5OH\x01", 3000),
		string(f.spool.file.number), string(f.spool.file.value(delivery("one record inside another"))),
	}
	var want []*bus.Delivery
	for i := range 160 {
		d := delivery(bodies[i%len(bodies)])
		want = append(want, d)
		if err := f.PublishDelivery(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	if n, size := f.metric(t, "onhook_spool_deliveries"), f.metric(t, "onhook_spool_bytes"); n != 160 || size < 20_000 {
		t.Errorf("the metrics say %v deliveries, %v bytes", n, size)
	}
	if f.metric(t, "onhook_spool_oldest_seconds") <= 0 {
		t.Error("the oldest has no age")
	}
	b.set(nil)
	waitFor(t, "all are forwarded", func() bool { return len(b.ids()) == 160 })
	for i, d := range b.took {
		if !reflect.DeepEqual(d, want[i]) {
			t.Errorf("delivery %d is not as it was: %.300v", i, d)
		}
	}
	waitFor(t, "the spool is empty", func() bool {
		return f.metric(t, "onhook_spool_deliveries") == 0 && f.metric(t, "onhook_spool_bytes") == 0 && f.metric(t, "onhook_spool_oldest_seconds") == 0
	})
	if f.spool.taken != 0 {
		t.Errorf("%d bytes are still taken", f.spool.taken)
	}
	d := delivery("direct")
	if err := f.PublishDelivery(t.Context(), d); err != nil || b.ids()[160] != d.ID || f.away.Load() {
		t.Errorf("after the outage: %v", err)
	}
}

// What a stopped process leaves is forwarded by the next one.
func TestASpoolThatIsFoundIsDrained(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := &fake{err: errAway}
	f := setup(t, dir, b, nil)
	var want []string
	for range 300 {
		d := delivery("{}")
		want = append(want, d.ID)
		if err := f.PublishDelivery(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	f.stop()
	held, err := List(dir)
	if err != nil || len(held) != len(want) || held[0].ID != want[0] || held[0].Bytes != 2 {
		t.Fatalf("%v: %d held", err, len(held))
	}
	b.set(nil)
	f = setup(t, dir, b, nil)
	waitFor(t, "all are forwarded", func() bool { return f.metric(t, "onhook_spool_deliveries") == 0 })
	if d := cmp.Diff(want, b.ids()); d != "" {
		t.Error(d)
	}
}

func TestSizeLimit(t *testing.T) {
	t.Parallel()
	b := &fake{err: errAway}
	f := setup(t, t.TempDir(), b, func(c *Config) { c.MaxSize = 10_000 })
	n := 0
	var err error
	for ; n < 100 && err == nil; n++ {
		err = f.PublishDelivery(t.Context(), delivery(strings.Repeat("x", 1000)))
	}
	if !errors.Is(err, ErrFull) || !errors.Is(err, errAway) || errors.Is(err, bus.ErrFull) || !strings.Contains(err.Error(), "max_size") || n < 8 || n > 10 {
		t.Errorf("after %d: %v", n, err)
	}
	if err := f.Ready(f.broker.Ready)(t.Context()); err != nil {
		t.Errorf("not ready, though there is room for a smaller one: %v", err)
	}
	b.set(nil)
	waitFor(t, "there is room again", func() bool { return f.metric(t, "onhook_spool_bytes") == 0 })
	if err := f.PublishDelivery(t.Context(), delivery("{}")); err != nil {
		t.Error(err)
	}
}

// A delivery that finds the spool full is as one without a spool: it waits for the broker, and is taken once that is back.
func TestAFullSpoolIsNoWorseThanNone(t *testing.T) {
	t.Parallel()
	f := setup(t, t.TempDir(), &fake{}, func(c *Config) { c.MaxSize = 1 })
	f.away.Store(true)
	if err := f.PublishDelivery(t.Context(), delivery("{}")); err != nil || f.away.Load() {
		t.Errorf("%v, away: %v", err, f.away.Load())
	}
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	b := &fake{err: errAway}
	f := setup(t, t.TempDir(), b, func(c *Config) { c.MaxSize = 1000 })
	weak := func(context.Context) error { return errors.New("no fsync") }
	if err := errors.Join(f.Ready(b.Ready)(t.Context()), f.Ready(weak)(t.Context())); err != nil {
		t.Errorf("the spool has room: %v", err)
	}
	f.spool.taken = 1000
	if err := f.Ready(b.Ready)(t.Context()); !errors.Is(err, errAway) || !strings.Contains(err.Error(), "the spool is full") {
		t.Error(err)
	}
	b.set(nil)
	if err := f.Ready(weak)(t.Context()); err == nil || strings.Contains(err.Error(), "spool") {
		t.Errorf("the broker is there and its acks are worth nothing: %v", err)
	}
	f.spool.taken = 0
}

// One delivery that the broker will never take must not hold up the others, nor be lost.
func TestADeliveryThatIsTooLargeForTheBrokerStays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := &fake{err: errAway}
	f := setup(t, dir, b, nil)
	var want []string
	large := delivery(strings.Repeat("x", 5000))
	for i := range 20 {
		d := delivery(strings.Repeat("x", 500))
		if i == 7 {
			d = large
		} else {
			want = append(want, d.ID)
		}
		if err := f.PublishDelivery(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	b.mu.Lock()
	b.err, b.room = nil, 2000
	b.mu.Unlock()
	waitFor(t, "the others are forwarded", func() bool { return f.metric(t, "onhook_spool_deliveries") == 1 })
	if d := cmp.Diff(want, b.ids()); d != "" {
		t.Error(d)
	}
	if _, err := f.Drain(t.Context()); err == nil || !strings.Contains(err.Error(), "max_payload") {
		t.Error(err)
	}
	if n := f.logs.FilterField(zap.String("delivery_id", large.ID)).Len(); n != 1 {
		t.Errorf("logged %d times", n)
	}
	f.stop()
	if held, err := List(dir); err != nil || len(held) != 1 || held[0].ID != large.ID {
		t.Errorf("%v %+v", err, held)
	}
	f = setup(t, dir, b, nil)
	waitFor(t, "it is set back again", func() bool { return strings.Contains(f.Note(t.Context()), "does not take 1 of the deliveries") })
	b.mu.Lock()
	b.room = 0
	b.mu.Unlock()
	waitFor(t, "it is tried again", func() bool { return f.metric(t, "onhook_spool_deliveries") == 0 })
	if ids := b.ids(); ids[len(ids)-1] != large.ID {
		t.Errorf("%v", ids)
	}
}

func TestAFolderThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	used := t.TempDir()
	setup(t, used, &fake{}, nil)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, dir, says string }{
		{"another's", used, "belongs to another process"},
		{"a file", file, "ingress.spool.dir"},
		{"below a file", filepath.Join(file, "below"), "ingress.spool.dir"},
		{"not to be written to", "/proc/self/fd", "cannot write to the spool folder"},
	} {
		if _, err := Open(c.dir, 1, zap.NewNop()); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := List(used); err == nil || !strings.Contains(err.Error(), "belongs to another process") {
		t.Errorf("list: %v", err)
	}
	if _, err := List(t.TempDir()); err == nil || !strings.Contains(err.Error(), "holds no spool") {
		t.Errorf("list: %v", err)
	}
	if _, err := New(Config{Dir: t.TempDir(), MaxSize: 1}, &fake{}, zap.NewNop(), usedRegistry(t)); err == nil {
		t.Error("the metrics are another's")
	}
}

func usedRegistry(t *testing.T) *prometheus.Registry { return setup(t, t.TempDir(), &fake{}, nil).reg }

// Whatever the clock does, no age is negative and the order is that in which the deliveries came.
func TestClockThatIsSet(t *testing.T) {
	t.Parallel()
	b := &fake{err: errAway}
	f := setup(t, t.TempDir(), b, nil)
	var want []string
	for i, off := range []time.Duration{time.Hour, -time.Hour, 0, 48 * time.Hour, -48 * time.Hour} {
		d := delivery(fmt.Sprint(i))
		d.ReceivedAt = d.ReceivedAt.Add(off)
		want = append(want, d.ID)
		if err := f.PublishDelivery(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	if age := f.metric(t, "onhook_spool_oldest_seconds"); age != 0 {
		t.Errorf("the oldest is %v seconds old and from the future", age)
	}
	b.set(nil)
	waitFor(t, "all are forwarded", func() bool { return len(b.ids()) == 5 })
	if d := cmp.Diff(want, b.ids()); d != "" {
		t.Error(d)
	}
}

func TestWithoutAFolderThereIsNoSpool(t *testing.T) {
	t.Parallel()
	b := &fake{err: errAway}
	f := setup(t, "", b, nil)
	if err := f.PublishDelivery(t.Context(), delivery("{}")); !errors.Is(err, errAway) {
		t.Error(err)
	}
	if err := f.Ready(b.Ready)(t.Context()); !errors.Is(err, errAway) {
		t.Error(err)
	}
	if got, err := f.reg.Gather(); err != nil || len(got) > 0 {
		t.Errorf("%v %v", got, err)
	}
}

// Whatever moment a process is killed at, what it said was safe is there, and the file is whole.
func TestKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	acked := map[string]bool{}
	for round := range 5 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), asSpooler+"="+dir)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			acked[lines.Text()] = true
			if n == 200+round*100 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // it says that it was killed
	}
	b := &fake{}
	f := setup(t, dir, b, nil)
	waitFor(t, "all are forwarded", func() bool { return f.metric(t, "onhook_spool_deliveries") == 0 })
	ids := b.ids()
	for _, id := range ids {
		delete(acked, id)
	}
	if len(acked) > 0 {
		t.Errorf("%d were acknowledged and are gone", len(acked))
	}
	if slices.Sort(ids); len(slices.Compact(ids)) != len(b.took) {
		t.Error("some came twice")
	}
	if n := f.logs.FilterLevelExact(zap.ErrorLevel).Len(); n > 0 {
		t.Errorf("%v", f.logs.All())
	}
}

// silent is a broker that is connected and does not answer: nothing tells it from a slow one but the time.
type silent struct{ fake }

func (s *silent) PublishDelivery(ctx context.Context, _ *bus.Delivery) error {
	<-ctx.Done()
	return ctx.Err()
}

// The first deliveries wait for a silent broker, and no longer than is left to spool them; later ones do not wait at all.
func TestASilentBroker(t *testing.T) {
	t.Parallel()
	f := setup(t, t.TempDir(), &silent{fake{err: errAway}}, func(c *Config) { c.After = time.Hour })
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if err := f.PublishDelivery(ctx, delivery("{}")); err != nil || ctx.Err() != nil {
		t.Errorf("%v %v", err, ctx.Err())
	}
	for range 10 {
		if err := f.PublishDelivery(t.Context(), delivery("{}")); err != nil { // it would wait for half an hour
			t.Error(err)
		}
	}
	if n := f.metric(t, "onhook_spool_deliveries"); n != 11 {
		t.Errorf("%v are spooled", n)
	}
	if n := f.logs.FilterMessageSnippet("does not answer").Len(); n != 1 {
		t.Errorf("logged %d times", n)
	}
}
