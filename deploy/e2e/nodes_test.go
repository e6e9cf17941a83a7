//go:build linux

package e2e

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// injection does something to a cluster under load.
type injection func(t *testing.T, s *suite, c *cluster, l *load, r *result)

// overCluster does one thing after the other to the cluster below an installation. want is the answers that requests
// must get, each of them and no other; none: any.
func overCluster(eachIngress func(*testing.T) func(int) sections, want []string, all ...injection) func(*testing.T, *suite, *result) {
	return func(t *testing.T, s *suite, r *result) {
		c := takeCluster(t, s, r)
		in := c.apart(t, s, eachIngress(t))
		l := startLoad(t, in, loadOptions{patience: 20 * time.Second}) // a 503 that is due after eight takes longer on a busy machine
		for _, inject := range all {
			inject(t, s, c, l, r)
		}
		l.awaitAcks(20)
		check(t, in, l, r)
		r.wantAnswers(t, want...)
	}
}

// killLeaders kills the node that leads the deliveries, then the one that leads the calls.
func killLeaders(t *testing.T, s *suite, c *cluster, l *load, r *result) {
	t.Helper()
	for range s.count(1, 3) {
		for _, stream := range []string{"WEBHOOKS", "CALLS"}[:s.count(1, 2)] {
			c.killNode(t, l, c.leader(t, stream), r)
		}
	}
}

// killNodes kills one node after the other, whatever it leads.
func killNodes(t *testing.T, s *suite, c *cluster, l *load, r *result) {
	t.Helper()
	for i := range s.count(1, 6) {
		c.killNode(t, l, c.nodes[i%len(c.nodes)], r)
	}
}

// killNode kills a node, and starts it again when the others go on.
func (c *cluster) killNode(t *testing.T, l *load, n *server, r *result) {
	t.Helper()
	l.awaitAcks(1 + rand.IntN(60))
	n.end(t, "KILL")
	r.Injected++
	l.awaitAcks(40)
	n.begin(t)
	c.awaitHealthy(t)
}

// restartNodes restarts all nodes, the next when the last has caught up, as an upgrade does.
func restartNodes(t *testing.T, s *suite, c *cluster, l *load, r *result) {
	t.Helper()
	for range s.count(1, 2) {
		for _, n := range slices.Backward(c.nodes) {
			l.awaitAcks(10)
			n.end(t, "TERM")
			n.begin(t)
			r.Injected++
			c.awaitHealthy(t)
		}
	}
}

// without takes a node away from the others for a while: in full first one that does not lead the deliveries, then, and in
// the short form alone, the one that does.
func without(away, back func(*server, *testing.T)) injection {
	return func(t *testing.T, s *suite, c *cluster, l *load, r *result) {
		t.Helper()
		for i := range s.count(1, 2) {
			l.awaitAcks(1 + rand.IntN(60))
			n := c.leader(t, "WEBHOOKS")
			if s.long && i%2 == 0 {
				n = c.nodes[(slices.Index(c.nodes, n)+1)%len(c.nodes)]
			}
			away(n, t)
			r.Injected++
			last(s.time(0, 30*time.Second))
			l.awaitAcks(60)
			back(n, t)
			c.awaitHealthy(t)
		}
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
	l.awaitAcks(80)
}

// wantAnswers fails the test unless these answers were given, each of them, and no other. None: any.
func (r *result) wantAnswers(t *testing.T, want ...string) {
	t.Helper()
	if len(want) == 0 {
		return
	}
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
