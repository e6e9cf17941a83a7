package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
)

// The object store was full: one large body stood first in the spool, and everything that came after it was spooled too,
// for as long as that lasted, although the stream took deliveries all the time.
func TestALargeBodyThatTheBrokerCannotTakeHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	for _, why := range []error{bus.ErrFull, bus.ErrTooLarge, errors.New("no answer")} {
		b := &fake{large: 1000, bodies: why}
		f := setup(t, t.TempDir(), b, nil)
		large := delivery(strings.Repeat("x", 2000))
		if err := f.PublishDelivery(t.Context(), large); err != nil {
			t.Fatal(err)
		}
		if f.away.Load() {
			t.Errorf("%v: one large body, and the broker counts as away", why)
		}
		b.set(errAway) // and an outage on top
		var want []string
		for range 8 {
			d := delivery("{}")
			want = append(want, d.ID)
			if err := f.PublishDelivery(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
		b.set(nil)
		waitFor(t, "those behind it are forwarded", func() bool { return len(b.ids()) == 8 && f.metric(t, "onhook_spool_deliveries") == 1 })
		if d := cmp.Diff(want, b.ids()); d != "" {
			t.Error(d)
		}
		waitFor(t, "readiness tells", func() bool { return strings.Contains(f.Note(t.Context()), why.Error()) })
		if f.metric(t, "onhook_spool_oldest_seconds") <= 0 {
			t.Error("what is set back has no age")
		}
		if n := f.logs.FilterField(zap.String("delivery_id", large.ID)).Len(); n != 1 {
			t.Errorf("%v: logged %d times", why, n)
		}
		direct := delivery("{}")
		if err := f.PublishDelivery(t.Context(), direct); err != nil || b.ids()[8] != direct.ID {
			t.Errorf("%v: a new one did not go to the broker: %v", why, err)
		}
		b.mu.Lock()
		b.bodies = nil
		b.mu.Unlock()
		waitFor(t, "it is tried again without a start", func() bool { return f.metric(t, "onhook_spool_deliveries") == 0 })
		if ids := b.ids(); ids[len(ids)-1] != large.ID || f.Note(t.Context()) != "" {
			t.Errorf("%v: %v, note %q", why, ids, f.Note(t.Context()))
		}
	}
}

// In an outage a large body is not set back: it fails for the same reason as all others, and its place is before them.
func TestAnOutageKeepsALargeBodyInItsPlace(t *testing.T) {
	t.Parallel()
	b := &fake{large: 1000, err: errAway}
	f := setup(t, t.TempDir(), b, nil)
	var want []string
	for _, body := range []string{strings.Repeat("x", 2000), "{}"} {
		d := delivery(body)
		want = append(want, d.ID)
		if err := f.PublishDelivery(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "forwarding was tried", func() bool { return f.logs.FilterMessageSnippet("cannot be forwarded yet").Len() == 1 })
	b.set(nil)
	waitFor(t, "both are forwarded", func() bool { return len(b.ids()) == 2 })
	if d := cmp.Diff(want, b.ids()); d != "" {
		t.Error(d)
	}
}

// Bodies that compress to a thousandth were read by the dozen, as many as fit into a message compressed, and again for each
// that was forwarded.
func TestNoMoreIsDecodedAtOnceThanABatch(t *testing.T) {
	t.Parallel()
	b := &fake{err: errAway}
	f := setup(t, t.TempDir(), b, nil)
	var want []string
	for i := range 40 {
		d := delivery(strings.Repeat(" ", (i%4+1)<<19))
		want = append(want, d.ID)
		if err := f.PublishDelivery(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	b.set(nil)
	waitFor(t, "all are forwarded", func() bool { return len(b.ids()) == len(want) })
	if d := cmp.Diff(want, b.ids()); d != "" {
		t.Error(d)
	}
	if b.mu.Lock(); b.most == 0 || b.most > batchDecoded {
		t.Errorf("%d bytes of bodies at once", b.most)
	}
	b.mu.Unlock()
}

// A few KiB of a damaged or a second file, or the check of a whole one at the start, made a gigabyte of bodies.
//
//nolint:paralleltest // it measures what the process allocates
func TestNoBodyIsDecodedToBeTakenOver(t *testing.T) {
	const bodies, size = 40, 16 << 20
	var ds []*bus.Delivery
	for range bodies {
		ds = append(ds, delivery(""))
	}
	dir := t.TempDir()
	s, err := Open(dir, 1<<30, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	body := []byte(strings.Repeat(" ", size))
	for _, d := range ds {
		d.Body = body
		if err := s.Append(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := spoolFile(t, dir)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := append([]byte{}, content...)
	for _, page := range []int{0, 4096} { // both of bbolt's heads
		copy(damaged[page+16:], strings.Repeat("\xee", 64))
	}
	for name, files := range map[string][][]byte{"whole": {content}, "damaged": {damaged}, "second": {nil, content}} {
		dir := t.TempDir()
		for i, c := range files {
			to := filepath.Join(dir, fmt.Sprintf("%s%d%s", filepath.Base(path)[:len(filePrefix)+31], i, fileSuffix))
			if c == nil {
				if err := createFile(to); err != nil {
					t.Fatal(err)
				}
				continue
			}
			if to = filepath.Join(dir, filepath.Base(path)); os.WriteFile(to, c, 0o600) != nil {
				t.Fatal(to)
			}
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s, err := Open(dir, 1<<30, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if n := s.holds().deliveries; n != bodies {
			t.Errorf("%s: %d deliveries", name, n)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		held, err := List(dir)
		if err != nil || len(held) != bodies || held[0].Bytes != size {
			t.Errorf("%s: %v, %d held", name, err, len(held))
		}
		if mib := (after.TotalAlloc - before.TotalAlloc) >> 20; mib > size>>20 {
			t.Errorf("%s: %d MiB for %d KiB of file", name, mib, len(content)>>10)
		}
	}
}

// A file is taken over in more than one transaction; a start that ended between two of them is no reason to have all of it twice.
func TestATakeOverThatWasInterruptedIsContinued(t *testing.T) {
	t.Parallel()
	var ds []*bus.Delivery
	for range 2*batch + 10 {
		ds = append(ds, delivery("{}"))
	}
	nameA, contentA := left(t, ds[:batch]...)
	nameB, contentB := left(t, ds...)
	dir := t.TempDir()
	for name, content := range map[string][]byte{nameA: contentA, nameB: contentB} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(dir, 1, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	if n := s.holds().deliveries; n != len(ds) {
		t.Errorf("%d deliveries, want %d", n, len(ds))
	}
}

// Draining into a full store said nothing, and on an interrupt only that there was one.
func TestDrainSaysWhatTheBrokerSaid(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := &fake{err: errAway, large: 1000}
	f := setup(t, dir, b, nil)
	for _, body := range []string{strings.Repeat("x", 2000), "{}"} {
		if err := f.PublishDelivery(t.Context(), delivery(body)); err != nil {
			t.Fatal(err)
		}
	}
	f.stop()
	drain := func(ctx context.Context) (int, error) {
		cfg := DefaultConfig()
		cfg.Dir = dir
		p, err := New(cfg, b, zap.NewNop(), prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		n, err := p.Drain(ctx)
		return n, errors.Join(err, p.Close())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if n, err := drain(ctx); n != 0 || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errAway) {
		t.Errorf("away: %d %v", n, err)
	}
	b.set(bus.ErrFull)
	if n, err := drain(t.Context()); n != 0 || !errors.Is(err, bus.ErrFull) || !strings.Contains(err.Error(), "2 deliveries") {
		t.Errorf("the stream is full: %d %v", n, err)
	}
	b.set(nil)
	b.bodies = bus.ErrFull
	if n, err := drain(t.Context()); n != 1 || !errors.Is(err, bus.ErrFull) || !strings.Contains(err.Error(), "1 deliveries") {
		t.Errorf("the object store is full: %d %v", n, err)
	}
	b.bodies = nil
	if n, err := drain(t.Context()); n != 1 || err != nil {
		t.Errorf("%d %v", n, err)
	}
}

// The spool's disk was full, every delivery got 503, and the process was ready all the same.
func TestASpoolThatCannotBeWrittenToIsNotReady(t *testing.T) {
	t.Parallel()
	b := &fake{err: errAway}
	f := setup(t, t.TempDir(), b, nil)
	if note := f.Note(t.Context()); !strings.Contains(note, "deliveries are spooled") || !strings.Contains(note, errAway.Error()) {
		t.Errorf("note %q", note)
	}
	if err := f.spool.file.db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.PublishDelivery(t.Context(), delivery("{}")); err == nil {
		t.Fatal("written to a closed file")
	}
	if err := f.Ready(b.Ready)(t.Context()); !errors.Is(err, errAway) || !strings.Contains(err.Error(), "cannot be written to") {
		t.Errorf("%v", err)
	}
	f.spool.mu.Lock()
	f.spool.failed = f.spool.failed.Add(-distrust)
	f.spool.mu.Unlock()
	if err := f.Ready(b.Ready)(t.Context()); err != nil {
		t.Errorf("it is never tried again: %v", err)
	}
}
