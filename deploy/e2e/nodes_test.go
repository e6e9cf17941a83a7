//go:build linux

package e2e

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// killLeader kills the node that leads the deliveries, then the one that leads the calls.
func killLeader(t *testing.T, s *suite, r *result) {
	c := takeCluster(t, s, r)
	in := c.apart(t, s, nil)
	l := startLoad(t, in, loadOptions{})
	for range s.count(1, 10) {
		for _, stream := range []string{"WEBHOOKS", "CALLS"} {
			l.awaitAcks(1 + rand.IntN(60))
			c.killNode(t, l, c.leader(t, stream), r)
		}
	}
	l.awaitAcks(20)
	check(t, in, l, r)
}

// killNodes kills one node after the other, whatever it leads.
func killNodes(t *testing.T, s *suite, r *result) {
	c := takeCluster(t, s, r)
	in := c.apart(t, s, nil)
	l := startLoad(t, in, loadOptions{})
	for i := range s.count(2, 12) {
		l.awaitAcks(1 + rand.IntN(60))
		c.killNode(t, l, c.nodes[i%len(c.nodes)], r)
	}
	l.awaitAcks(20)
	check(t, in, l, r)
}

// killNode kills a node, and starts it again when the others go on.
func (c *cluster) killNode(t *testing.T, l *load, n *server, r *result) {
	t.Helper()
	n.end(t, "KILL")
	r.Injected++
	l.awaitAcks(40)
	n.begin(t)
	c.awaitHealthy(t)
}

// restartNodes restarts all nodes, the next when the last has caught up, as an upgrade does.
func restartNodes(t *testing.T, s *suite, r *result) {
	c := takeCluster(t, s, r)
	in := c.apart(t, s, nil)
	l := startLoad(t, in, loadOptions{})
	for range s.count(1, 5) {
		for _, n := range slices.Backward(c.nodes) {
			l.awaitAcks(30)
			n.end(t, "TERM")
			n.begin(t)
			r.Injected++
			c.awaitHealthy(t)
		}
	}
	l.awaitAcks(20)
	check(t, in, l, r)
}

// without takes a node away from the others for a while, first one that does not lead the deliveries, then the one that does.
func without(away, back func(*server, *testing.T)) func(*testing.T, *suite, *result) {
	return func(t *testing.T, s *suite, r *result) {
		c := takeCluster(t, s, r)
		in := c.apart(t, s, nil)
		l := startLoad(t, in, loadOptions{})
		for range s.count(1, 4) {
			for _, leads := range []bool{false, true} {
				l.awaitAcks(1 + rand.IntN(60))
				n := c.leader(t, "WEBHOOKS")
				if !leads {
					n = c.nodes[(slices.Index(c.nodes, n)+1)%len(c.nodes)]
				}
				away(n, t)
				r.Injected++
				last(s.time(8*time.Second, 30*time.Second))
				l.awaitAcks(20)
				back(n, t)
				c.awaitHealthy(t)
			}
		}
		l.awaitAcks(20)
		check(t, in, l, r)
	}
}

// allDown kills every node, and starts them again after a while.
func allDown(t *testing.T, s *suite, c *cluster, l *load, r *result) {
	t.Helper()
	l.awaitAcks(60)
	for _, n := range c.nodes {
		n.end(t, "KILL")
	}
	r.Injected++
	last(s.time(10*time.Second, time.Minute))
	for _, n := range c.nodes {
		n.begin(t)
	}
	c.awaitHealthy(t)
	l.awaitAcks(100)
}

func allDownWithSpool(t *testing.T, s *suite, r *result) {
	c := takeCluster(t, s, r)
	in := c.apart(t, s, spools(t))
	l := startLoad(t, in, loadOptions{})
	allDown(t, s, c, l, r)
	check(t, in, l, r)
	r.wantAnswers(t, "200")
}

func allDownWithoutSpool(t *testing.T, s *suite, r *result) {
	c := takeCluster(t, s, r)
	in := c.apart(t, s, nil)
	l := startLoad(t, in, loadOptions{})
	allDown(t, s, c, l, r)
	check(t, in, l, r)
	r.wantAnswers(t, "200", "503")
}

// wantAnswers fails the test unless these answers were given, each of them, and no other.
func (r *result) wantAnswers(t *testing.T, want ...string) {
	t.Helper()
	for _, answer := range want {
		if r.Answers[answer] == 0 {
			t.Errorf("no request was answered %s: %v", answer, r.Answers)
		}
	}
	for answer, n := range r.Answers {
		if !slices.Contains(want, answer) {
			t.Errorf("%d requests got: %s", n, answer)
		}
	}
}
