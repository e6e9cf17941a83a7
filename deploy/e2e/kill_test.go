//go:build linux

package e2e

import (
	"math/rand/v2"
	"testing"
)

// killTogether kills `onhook run` over and over, each time a little after it has begun to acknowledge.
func killTogether(t *testing.T, s *suite, r *result) {
	in := together(t, s, nil)
	l := startLoad(t, in, loadOptions{})
	for range s.count(5, 50) {
		l.awaitAcks(1 + rand.IntN(60))
		in.onhook.kill()
		r.Injected++
	}
	l.awaitAcks(20)
	check(t, in, l, r)
}

// killService kills the processes of one service in turn, among two of each.
func killService(of func(*installation) []*process) func(*testing.T, *suite, *result) {
	return func(t *testing.T, s *suite, r *result) {
		in := apart(t, s, layout{ingress: 2, decoders: 2, storage: 2})
		l := startLoad(t, in, loadOptions{})
		victims := of(in)
		for i := range s.count(3, 20) {
			p := victims[i%len(victims)]
			p.awaitReady()
			l.awaitAcks(1 + rand.IntN(60))
			p.kill()
			r.Injected++
		}
		l.awaitAcks(20)
		check(t, in, l, r)
	}
}
