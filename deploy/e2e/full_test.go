//go:build linux

package e2e

import (
	"path/filepath"
	"syscall"
	"testing"
)

// smallDisk mounts a disk of a size such as 24m until the test ends, or skips the fault. What writes to it is to be
// started after it, so that it ends before it.
func smallDisk(t *testing.T, r *result, size string) (dir string, grow func(size string)) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		r.skip(t, "It needs to mount a small disk: %v.", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir, func(size string) {
		t.Helper()
		if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size="+size); err != nil {
			t.Fatal(err)
		}
	}
}

// fillBroker fills the disk of the broker. It refuses what comes then, and has to be started anew when there is room.
func fillBroker(t *testing.T, s *suite, r *result) {
	dir, grow := smallDisk(t, r, map[bool]string{true: "64m", false: "16m"}[s.long])
	in := apart(t, s, layout{brokerDir: filepath.Join(dir, "nats")})
	l := startLoad(t, in, loadOptions{})
	l.awaitAnswers("503", s.count(10, 300))
	r.Injected++
	grow("2g")
	in.broker.kill()
	l.awaitAcks(100)
	check(t, in, l, r)
}

// fillTogether fills the disk of `onhook run`, which ends and is started again until there is room.
func fillTogether(t *testing.T, s *suite, r *result) {
	dir, grow := smallDisk(t, r, map[bool]string{true: "64m", false: "24m"}[s.long])
	in := togetherIn(t, s, filepath.Join(dir, "data"), nil)
	l := startLoad(t, in, loadOptions{})
	await(t, "onhook run to end for want of room", func() bool { return in.onhook.ended() > 0 })
	r.Injected++
	grow("2g")
	l.awaitAcks(100)
	check(t, in, l, r)
}

// fillSpool fills the spool's disk while the broker is down. Nobody but the sender can keep what comes then: 503.
func fillSpool(t *testing.T, s *suite, r *result) {
	dir, grow := smallDisk(t, r, map[bool]string{true: "16m", false: "3m"}[s.long]) // it keeps text small
	in := apart(t, s, layout{more: sections{"ingress": {"spool": map[string]any{"dir": filepath.Join(dir, "spool")}}}})
	l := startLoad(t, in, loadOptions{rate: 120, inFlight: 1000})
	l.awaitAcks(30)
	halt(in.broker)
	l.awaitAnswers("503", s.count(10, 300))
	r.Injected++
	grow("2g")
	l.awaitAcks(100) // spooled again, without the broker
	in.broker.start()
	l.awaitAcks(50)
	check(t, in, l, r)
}

// fillDatabase fills the disk of the SQLite file. Calls wait in their stream, and nobody is refused.
func fillDatabase(t *testing.T, s *suite, r *result) {
	dir, grow := smallDisk(t, r, map[bool]string{true: "64m", false: "16m"}[s.long])
	in := apart(t, s, layout{dsn: "sqlite:" + filepath.Join(dir, "onhook.db"), storage: 2})
	l := startLoad(t, in, loadOptions{})
	await(t, "a storage worker that knows of the full disk", func() bool {
		n, err := metric(in.storage[0].admin(), `onhook_sink_results_total{result="outage",sink="storage"}`)
		return err == nil && n > 0
	})
	r.Injected++
	l.awaitAcks(s.count(50, 500))
	grow("2g")
	l.awaitAcks(50)
	check(t, in, l, r)
	if refused := r.Sent - r.Answers["200"]; refused > 0 {
		t.Errorf("%d deliveries were refused, though only the database was full", refused)
	}
}
