package ingress

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/natsembed"
)

func TestBrokerAwayAndBack(t *testing.T) {
	t.Parallel()
	const budget = 1500 * time.Millisecond
	b := startBroker(t)
	f := setup(t, b, options{config: func(c *Config) { c.AckBudget = budget }})
	f.send(t, "open", nil, []byte("1")).accepted(t)
	b.Server.Stop()
	began := time.Now()
	got := f.send(t, "open", nil, []byte("2"))
	got.refused(t, http.StatusServiceUnavailable)
	if took := time.Since(began); took < budget/2 || took > budget+5*time.Second {
		t.Errorf("answered after %v, with a budget of %v", took, budget)
	}
	if wait := got.header.Get("Retry-After"); wait != "1" {
		t.Errorf("Retry-After is %q", wait)
	}
	if n := f.count("open", "unavailable"); n != 1 {
		t.Errorf("counted %d times", n)
	}
	if !f.nothingHeld() {
		t.Error("bytes are still taken")
	}
	b.Server.Start(t)
	waitFor(t, "deliveries are accepted again", func() bool { return f.send(t, "open", nil, []byte("3")).status == http.StatusOK })
	waitFor(t, "the stream can be looked at", b.nc.IsConnected)
	if n, last := b.stored(t), b.message(t, b.stored(t)); n != 2 || string(last.body) != "3" {
		t.Errorf("%d stored, the last of them %q", n, last.body)
	}
}

// A restart of the broker inside the ack budget costs its sender time, nothing else.
func TestBrokerRestartsInsideTheBudget(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	g := newGate(b)
	close(g.opened)
	f := setup(t, g, options{config: func(c *Config) { c.AckBudget, c.ReadTimeout = 20*time.Second, 20*time.Second }})
	b.Server.Stop()
	var sent []<-chan answer
	for range 10 {
		sent = append(sent, f.begin(t, "open", []byte("{}")))
	}
	ids := map[string]bool{}
	for range sent {
		ids[(<-g.came).ID] = true // they are all on their way to a broker that is away
	}
	b.Server.Start(t)
	for _, s := range sent {
		delete(ids, (<-s).accepted(t))
	}
	waitFor(t, "the stream can be looked at", b.nc.IsConnected)
	if n := b.stored(t); n != len(sent) || len(ids) != 0 {
		t.Errorf("%d stored, %d without an answer, want %d and 0", n, len(ids), len(sent))
	}
}

func TestFullStream(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	f := setup(t, b, options{})
	b.limit(t, 1)
	f.send(t, "open", nil, []byte("1")).accepted(t)
	began := time.Now()
	got := f.send(t, "open", nil, []byte("2"))
	got.refused(t, http.StatusServiceUnavailable)
	if wait := got.header.Get("Retry-After"); wait != "60" {
		t.Errorf("Retry-After is %q: a full stream is not emptied in a moment", wait)
	}
	if took := time.Since(began); took > f.cfg.AckBudget/2 {
		t.Errorf("answered after %v: a full stream is not to be waited for", took)
	}
	if n := b.stored(t); n != 1 {
		t.Errorf("%d stored", n)
	}
	b.limit(t, -1)
	f.send(t, "open", nil, []byte("3")).accepted(t)
}

// The broker's limit on messages is smaller than max_body: no sender hears of that.
func TestBodyBeyondTheBrokersLimit(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	f := setup(t, b, options{config: func(c *Config) { c.MaxBody = 2 * natsembed.MaxPayload }})
	for _, size := range []int{natsembed.MaxPayload - 64<<10, natsembed.MaxPayload - 1, natsembed.MaxPayload, 2 * natsembed.MaxPayload} {
		f.send(t, "open", nil, make([]byte, size)).accepted(t)
	}
	f.send(t, "open", nil, make([]byte, 2*natsembed.MaxPayload+1)).refused(t, http.StatusRequestEntityTooLarge)
	if n := b.stored(t); n != 4 {
		t.Errorf("%d stored", n)
	}
}

// A sender that has sent all of its body and hung up may never send it again.
func TestClientThatHangsUpBeforeTheAnswerIsStoredAllTheSame(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	g := newGate(b)
	requests := make(chan context.Context, 1)
	f := setup(t, g, options{handler: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests <- r.Context()
			next.ServeHTTP(w, r)
		})
	}})
	c := dial(t, f)
	c.post(t, "open", 7, "")
	c.write(t, `{"n":1}`)
	d := <-g.came
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	<-(<-requests).Done() // the server has seen it
	close(g.opened)
	waitFor(t, "the delivery is accepted", func() bool { return f.count("open", accepted) == 1 })
	if got := b.message(t, 1); got.header.Get("ce-id") != d.ID || string(got.body) != `{"n":1}` {
		t.Errorf("stored %q under %s, want %s", got.body, got.header.Get("ce-id"), d.ID)
	}
}

// The ack budget runs from the header: the time that the body took is not to be had again.
func TestAckBudgetIncludesTheBody(t *testing.T) {
	t.Parallel()
	deadlines := make(chan time.Time, 1)
	f := setup(t, fake{publish: func(ctx context.Context, _ *bus.Delivery) error {
		deadline, _ := ctx.Deadline()
		deadlines <- deadline
		return nil
	}}, options{})
	c := dial(t, f)
	c.announce(t, "open", 2)
	asked := time.Now() // for the body
	c.write(t, "{}")
	c.read(t).accepted(t)
	if got := <-deadlines; got.After(asked.Add(f.cfg.AckBudget)) || got.Before(asked.Add(f.cfg.AckBudget-5*time.Second)) {
		t.Errorf("the publish may take %v after the body was asked for, of %v in all", got.Sub(asked), f.cfg.AckBudget)
	}
}
