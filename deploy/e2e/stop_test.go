//go:build linux

package e2e

import (
	"syscall"
	"testing"
	"time"
)

// stopBroker stops the broker for a while: its connections stay, and nothing comes out of them. With a spool nobody is
// refused; without one there is 503, inside every provider's ten seconds.
func stopBroker(spool bool) func(*testing.T, *suite, *result) {
	return func(t *testing.T, s *suite, r *result) {
		more := sections{}
		if spool {
			more = sections{"ingress": {"spool": map[string]any{"dir": t.TempDir()}}}
		}
		in := apart(t, s, layout{more: more})
		l := startLoad(t, in, loadOptions{rate: 30, inFlight: 1000})
		l.awaitAcks(50)
		if !in.broker.signal(syscall.SIGSTOP) {
			t.Fatal("the broker is not there to be stopped")
		}
		r.Injected++
		last(s.time(providerPatience, 30*time.Second))
		if !in.broker.signal(syscall.SIGCONT) {
			t.Fatal("the broker is not there to go on")
		}
		l.awaitAcks(100)
		check(t, in, l, r)
		switch refused := r.Answers["503"]; {
		case spool && refused > 0:
			t.Errorf("%d deliveries were refused, though there is a spool", refused)
		case !spool && refused == 0:
			t.Error("no delivery was refused, though there was nobody to store it")
		}
		for answer, n := range r.Answers {
			if answer != "200" && answer != "503" {
				t.Errorf("%d × %s in place of an answer", n, answer)
			}
		}
	}
}
