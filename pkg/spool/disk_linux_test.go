package spool

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/zap"
)

// smallDisk is a disk of size, such as 1m.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("needs to mount a small file system: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

func TestAFullOrReadOnlyDiskStopsTheStart(t *testing.T) {
	t.Parallel()
	if _, err := Open(smallDisk(t, "64k"), 1<<30, zap.NewNop()); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "make room on its disk") {
		t.Errorf("%v", err)
	}
	dir := smallDisk(t, "1m")
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, 1<<30, zap.NewNop()); !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), "ingress.spool.dir") {
		t.Errorf("%v", err)
	}
}

// The disk fills up in the outage: what was taken is forwarded after it, without room having been made.
func TestADiskThatFillsUpLosesNothing(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, "2m")
	b := &fake{err: errAway}
	f := setup(t, dir, b, nil)
	acked := map[string]bool{}
	refused := 0
	for i := 0; refused < 20 && i < 5000; i++ {
		d := delivery(strings.Repeat("x", 3000))
		switch err := f.PublishDelivery(t.Context(), d); {
		case err == nil:
			acked[d.ID] = true
		case errors.Is(err, syscall.ENOSPC):
			refused++
		default:
			t.Fatal(err)
		}
	}
	if len(acked) < 50 || refused == 0 {
		t.Fatalf("%d taken, %d refused", len(acked), refused)
	}
	if err := f.Ready(b.Ready)(t.Context()); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("ready, though every delivery is refused: %v", err)
	}
	b.set(nil)
	waitFor(t, "the spool is drained", func() bool { return f.metric(t, "onhook_spool_deliveries") == 0 })
	for _, id := range b.ids() {
		delete(acked, id)
	}
	if len(acked) > 0 {
		t.Errorf("%d were acknowledged and are gone", len(acked))
	}
	if f.spool.taken != 0 {
		t.Errorf("%d bytes are still taken", f.spool.taken)
	}
}

// The disk of a machine that died is mounted read-only to be looked at.
func TestListOnAReadOnlyDisk(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, "2m")
	s, err := Open(dir, 1<<30, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	d := delivery("{}")
	if err := errors.Join(s.Append(t.Context(), d), s.Close()); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if held, err := List(dir); err != nil || len(held) != 1 || held[0].ID != d.ID {
		t.Errorf("%v %+v", err, held)
	}
}
