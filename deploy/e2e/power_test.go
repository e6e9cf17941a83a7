//go:build linux

package e2e

import (
	"math/rand/v2"
	"testing"

	"github.com/onhook/onhook/deploy/e2e/powercut"
)

// cutPower cuts the power of a machine with a broker and all services, its database apart, again and again. Before each
// cut the workers are held back, so that the broker alone has what was acknowledged.
func cutPower(sync string, loss bool) func(*testing.T, *suite, *result) {
	return func(t *testing.T, s *suite, r *result) {
		r.loss = loss
		d := newDisk(t, r)
		durability := map[bool]string{true: "relaxed", false: "fsync"}[loss]
		in := apart(t, s, layout{brokerDir: d.at, brokerSync: sync, more: sections{"nats": {"durability": durability}}})
		l := startLoad(t, in, loadOptions{})
		for range s.count(2, 10) {
			l.awaitAcks(20) // with the workers at work
			halt(in.decoder[0], in.storage[0])
			if loss { // or the streams themselves would be lost, which is more than is to be shown
				if err := d.fs.Sync(); err != nil {
					t.Fatal(err)
				}
			}
			l.awaitAcks(20 + rand.IntN(100))
			in.broker.halt()
			d.do(d.fs.Cut())
			r.Injected++
			halt(append(in.all(), in.broker)...)
			d.replace()
			in.broker.start()
			in.broker.awaitReady()
			for _, p := range in.all() {
				p.start()
			}
			in.awaitReady()
		}
		check(t, in, l, r)
	}
}

// cutPowerTogether cuts the power of a machine with `onhook run`, its database on the same disk.
func cutPowerTogether(t *testing.T, s *suite, r *result) {
	d := newDisk(t, r)
	in := togetherIn(t, s, d.at, nil)
	l := startLoad(t, in, loadOptions{})
	for range s.count(2, 10) {
		l.awaitAcks(20 + rand.IntN(100))
		in.onhook.halt()
		d.do(d.fs.Cut())
		r.Injected++
		in.onhook.awaitDown()
		d.replace()
		in.onhook.start()
		in.awaitReady()
	}
	check(t, in, l, r)
}

// cutPowerOfSpool cuts the power of an ingress whose broker is down: the spool alone has what was acknowledged.
func cutPowerOfSpool(t *testing.T, s *suite, r *result) {
	d := newDisk(t, r)
	in := apart(t, s, layout{more: sections{"ingress": {"spool": map[string]any{"dir": d.at}}}})
	l := startLoad(t, in, loadOptions{inFlight: 1000})
	ingress := in.ingress[0]
	for range s.count(2, 10) {
		l.awaitAcks(20)
		halt(in.broker)
		l.awaitAcks(20 + rand.IntN(100))
		ingress.halt()
		d.do(d.fs.Cut())
		r.Injected++
		ingress.awaitDown()
		d.replace()
		in.broker.start()
		in.broker.awaitReady()
		ingress.start()
		in.awaitReady()
	}
	check(t, in, l, r)
}

// halt ends processes and waits until they have ended.
func halt(all ...*process) {
	for _, p := range all {
		p.halt()
	}
	for _, p := range all {
		p.awaitDown()
	}
}

// disk is a folder whose power can be cut.
type disk struct {
	t    *testing.T
	bare string // what is on it
	at   string // where it is mounted
	fs   *powercut.Process
}

// newDisk mounts a disk until the test ends, or skips the fault. What writes to it is to be started after it, so that it
// ends before it.
func newDisk(t *testing.T, r *result) *disk {
	t.Helper()
	d := &disk{t: t, bare: t.TempDir(), at: t.TempDir()}
	var err error
	if d.fs, err = powercut.Start(d.bare, d.at); err != nil {
		r.skip(t, "It needs FUSE and root: %v.", err)
	}
	t.Cleanup(func() {
		if err := d.fs.Unmount(); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return d
}

// do holds for what was asked of the disk.
func (d *disk) do(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatalf("the disk: %v", err)
	}
}

// replace takes the file system away, and mounts a new one over what is on the disk.
func (d *disk) replace() {
	d.t.Helper()
	if err := d.fs.Unmount(); err != nil {
		d.t.Fatalf("unmount: %v", err)
	}
	fs, err := powercut.Start(d.bare, d.at)
	if err != nil {
		d.t.Fatal(err)
	}
	d.fs = fs
}
