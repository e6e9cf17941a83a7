//go:build linux

package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// What a sync takes: on a disk across a network, and on one that is overloaded itself. Without the first the load
// generator, which shares the processors, could not send three times of what is taken.
const (
	networkSync = 20 * time.Millisecond
	slowSync    = 200 * time.Millisecond
)

// saturate sends three times of what an installation can take, then makes the disk under its broker slow as well.
func saturate(t *testing.T, s *suite, r *result) {
	const maxInFlight = 128 << 20 // of bodies: the default of ingress.max_inflight
	if !s.long {
		r.skip(t, "Beside other work the load is no overload: in the long form only.")
	}
	d := newDisk(t, r)
	d.do(d.fs.SlowSync(networkSync))
	in := apart(t, s, layout{brokerDir: d.at})
	l := startLoad(t, in, loadOptions{rate: -1, inFlight: 4000, once: true})
	narrow := cap(l.slots) - 256
	for range narrow { // first as fast as they are answered
		l.slots <- struct{}{}
	}
	l.during(time.Second) // everything is warm
	can := l.during(10 * time.Second)
	l.setRate(3 * can.perSecond())
	for range narrow {
		<-l.slots
	}
	r.Injected++
	much := l.during(60 * time.Second)
	d.do(d.fs.SlowSync(slowSync))
	slow := l.during(30 * time.Second)
	d.do(d.fs.SlowSync(0))
	l.stop()
	r.note("With %v for each sync it can take %.0f/s. To three times that: %s. With %v for each sync: %s.", networkSync, can.perSecond(), much, slowSync, slow)
	for _, p := range append(in.all(), in.broker) {
		peak := p.peak()
		r.note("%s: %d MiB at most.", p.name, peak>>20)
		if bound := 1 << 30; peak > bound {
			t.Errorf("%s took %d MiB", p.name, peak>>20)
		}
	}
	// A body is there up to three times, as sent, in an envelope and on its way to the broker; garbage doubles it.
	if peak, bound := in.ingress[0].peak(), 100<<20+6*maxInFlight; peak > bound {
		t.Errorf("ingress took %d MiB for %d MiB of bodies", peak>>20, maxInFlight>>20)
	}
	if len(slow.refused) == 0 {
		t.Error("nothing was refused: that was no overload")
	}
	for _, p := range []phase{much, slow} {
		if late := quantile(p.refused, .99); late > 3000 { // the ack budget is 8 s
			t.Errorf("a refusal took %v ms", late)
		}
	}
	check(t, in, l, r)
}

// peak is the most memory in bytes that the process had.
func (p *process) peak() int {
	p.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid()))
	if err != nil {
		p.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	var kib int
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		p.t.Fatalf("the memory of %s: %v", p.name, err)
	}
	return kib << 10
}
