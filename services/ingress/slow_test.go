package ingress

import (
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/onhook/onhook/pkg/config"
)

// Clients that send a byte now and then are cut off by the timeouts, and keep nobody else from being served.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	const timeout = time.Second
	f := setup(t, fake{}, options{config: func(c *Config) { c.ReadTimeout, c.IdleTimeout = timeout, timeout }})
	began := time.Now()
	var slow sync.WaitGroup
	const each = 20
	clients := make([]struct{ header, body, idle, silent *conn }, each)
	for i := range clients {
		header, body, idle, silent := dial(t, f), dial(t, f), dial(t, f), dial(t, f)
		header.write(t, "POST /v1/webhooks/open HTTP/1.1\r\nHost: x\r\nX-Slow: ")
		body.announce(t, "open", 7<<20)
		idle.post(t, "open", 2, "")
		idle.write(t, "{}")
		idle.read(t).accepted(t)
		slow.Go(func() { trickle(header) })
		slow.Go(func() { trickle(body) })
		clients[i].header, clients[i].body, clients[i].idle, clients[i].silent = header, body, idle, silent
	}
	served := 0
	for time.Since(began) < timeout/2 {
		f.send(t, "open", nil, []byte("{}")).accepted(t)
		served++
	}
	for _, c := range clients {
		c.header.closed(t)
		c.body.read(t).refused(t, http.StatusRequestTimeout)
		c.idle.closed(t)
		c.silent.closed(t)
	}
	slow.Wait()
	if served == 0 {
		t.Error("nobody was served meanwhile")
	}
	if n := f.count("open", "timed_out"); n != each {
		t.Errorf("%d bodies timed out, want %d", n, each)
	}
	if !f.nothingHeld() {
		t.Error("bytes are still taken")
	}
}

// trickle writes a byte now and then until the connection is closed.
func trickle(c *conn) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if _, err := io.WriteString(c, "x"); err != nil {
			return
		}
	}
}

// Bodies take memory as they come, not as they are announced; beyond the bound nobody waits.
func TestBodiesInFlightAreBounded(t *testing.T) {
	t.Parallel()
	const n = 8
	f := setup(t, fake{}, options{config: func(c *Config) {
		c.MaxBody = 7 << 20
		c.MaxInFlight = n*step - 1 // and one for the byte too many: n steps
	}})
	var held []*conn
	for range n {
		c := dial(t, f)
		c.announce(t, "open", 7<<20) // 56 MiB in all
		held = append(held, c)
	}
	began := time.Now()
	for range 3 {
		got := f.send(t, "open", nil, []byte("x"))
		got.refused(t, http.StatusServiceUnavailable)
		if wait := got.header.Get("Retry-After"); wait != "1" {
			t.Errorf("Retry-After is %q", wait)
		}
	}
	// Before its body is read: the client that waits to be asked for it never is.
	c := dial(t, f)
	c.post(t, "open", 1000, "Expect: 100-continue\r\n")
	c.read(t).refused(t, http.StatusServiceUnavailable)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("refused after %v only", took)
	}
	if got := f.count("open", "overloaded"); got != 4 {
		t.Errorf("%d counted, want 4", got)
	}
	// A body that outgrows what is left is refused half-way.
	held[0].write(t, string(make([]byte, step+1)))
	held[0].read(t).refused(t, http.StatusServiceUnavailable)

	f.send(t, "open", nil, []byte("x")).accepted(t)
	for _, c := range held {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "the bytes are free again", f.nothingHeld)
}

// The bytes of a delivery are held until it is stored, not only until it is read.
func TestBodiesBeingStoredCountAsInFlight(t *testing.T) {
	t.Parallel()
	g := newGate(fake{})
	f := setup(t, g, options{config: func(c *Config) { c.MaxBody, c.MaxInFlight = 1000, config.Size(1000) }})
	first := f.begin(t, "open", make([]byte, 1000))
	<-g.came
	f.send(t, "open", nil, make([]byte, 1000)).refused(t, http.StatusServiceUnavailable)
	close(g.opened)
	(<-first).accepted(t)
	f.send(t, "open", nil, make([]byte, 1000)).accepted(t)
}
