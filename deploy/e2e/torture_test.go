//go:build linux

package e2e

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/onhook/onhook/deploy/e2e/powercut"
)

// fault is one line of the table: what is done to an installation under load.
type fault struct {
	name     string
	injected string // one sentence for RESULTS.md
	run      func(t *testing.T, s *suite, r *result)
}

// faults is every fault, in the order in which they run.
var faults = []fault{
	{"nothing", "Nothing: what the others are compared with.", nothing},
	{"onhook run killed", "SIGKILL to `onhook run`, the broker within it, again and again.", killTogether},
	{"ingress killed", "SIGKILL to one of two ingress processes, in turn.", killService(func(in *installation) []*process { return in.ingress })},
	{"decoder killed", "SIGKILL to one of two decoders, in turn.", killService(func(in *installation) []*process { return in.decoder })},
	{"storage killed", "SIGKILL to one of two storage workers, in turn.", killService(func(in *installation) []*process { return in.storage })},
	{"broker killed", "SIGKILL to a single-node NATS server that syncs every write.", killService(func(in *installation) []*process { return []*process{in.broker} })},
	{"power cut, relaxed", "The power cut of a single-node broker that syncs every two minutes, as it does unless told otherwise: `durability: relaxed`. It shows that the cut is one: acknowledged calls must be missing.", cutPower("2m", true)},
	{"power cut, fsync", "The same cut with `sync_interval: always`.", cutPower("always", false)},
	{"power cut, onhook run", "The same cut under `onhook run`, broker and database on one disk.", cutPowerTogether},
	{"power cut, spool", "The same cut under the spool of an ingress, while its broker is down.", cutPowerOfSpool},
	{"broker stopped", "SIGSTOP to the broker for 30 seconds: connected, but silent. There is no spool.", stopBroker(false)},
	{"broker stopped, spool", "The same with a spool: nobody is refused.", stopBroker(true)},
	{"disk full, broker", "The disk of a NATS server fills; then it is made larger, and the server is started anew.", fillBroker},
	{"disk full, onhook run", "The disk of `onhook run` fills, broker and database; it ends, and is started again until there is room.", fillTogether},
	{"disk full, spool", "The broker is down, and the disk of the spool fills; then it is made larger.", fillSpool},
	{"disk full, SQLite", "The disk of the database fills; then it is made larger. Nobody is refused meanwhile.", fillDatabase},
	{"workers fighting", "Two decoders and two storage workers with an ack wait of one second, each in turn stopped for longer than that with work in its hands.", fight},
	{"clock stepped", "The clock of ingress set forward by an hour, back, back by another, and right again.", stepClock},
	{"overload", "Three times of what the installation can take, then also a slow disk under the broker: memory stays bounded, and what is refused is refused at once.", saturate},
}

// suite is what all faults share.
type suite struct {
	long bool   // the form: in full, or short enough for every test run
	bin  string // the folder of the binaries

	shared *shared // what the faults of a lane have in common; nil outside of one
}

// count is how often something is done in this form.
func (s *suite) count(short, long int) int {
	if s.long {
		return long
	}
	return short
}

// time is how long something is done in this form.
func (s *suite) time(short, long time.Duration) time.Duration {
	if s.long {
		return long
	}
	return short
}

// besideOthers lets a fault of the short form run beside others: most of their time they wait. In full each has the
// machine for itself.
func (s *suite) besideOthers(t *testing.T) {
	if !s.long {
		t.Parallel()
	}
}

// inject runs the fault and leaves what became of it in at, whatever that is.
func (f fault) inject(t *testing.T, s *suite, at **result) {
	r := newResult(f, s)
	*at = r
	defer func() { r.finish(t) }()
	f.run(t, s, r)
}

// TestMain is also the process of a disk whose power can be cut.
func TestMain(m *testing.M) {
	if powercut.Serve() {
		return
	}
	os.Exit(m.Run())
}

// TestTorture runs every fault. ONHOOK_TORTURE=long runs them in full; a run of all of them in full writes RESULTS.md and
// results.json.
func TestTorture(t *testing.T) {
	s := newSuite(t, "crm", "decoder", "ingress", "nats-server", "onhook", "storage")
	began := time.Now()
	all := slices.Clone(faults)
	for _, l := range lanes {
		all = append(all, l.faults(s)...)
	}
	results := make([]*result, len(all))
	t.Run("faults", func(t *testing.T) { // which returns when those that are parallel have ended
		for i, f := range faults {
			t.Run(f.name, func(t *testing.T) {
				s.besideOthers(t)
				f.inject(t, s, &results[i])
			})
		}
		rest := results[len(faults):]
		for _, l := range lanes {
			mine := rest[:len(l.faults(s))]
			rest = rest[len(l.faults(s)):]
			t.Run(l.name, func(t *testing.T) {
				s.besideOthers(t)
				l.run(t, s, mine)
			})
		}
	})
	dir := t.ArtifactDir()
	if s.long && !slices.Contains(results, nil) {
		dir = "."
	}
	writeResults(t, dir, began, slices.DeleteFunc(results, func(r *result) bool { return r == nil }))
}

// nothing is load without a fault.
func nothing(t *testing.T, s *suite, r *result) {
	in := together(t, s, nil)
	l := startLoad(t, in, loadOptions{})
	l.awaitAcks(s.count(300, 3000))
	l.stop()
	check(t, in, l, r)
}
