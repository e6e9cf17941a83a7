package ingress

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/onhook/onhook/pkg/config"
)

// chunked hides a body's length from the client, which then sends it in chunks.
type chunked struct{ io.Reader }

func (f *fixture) sendChunked(t *testing.T, path string, body []byte) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+f.Addr()+"/v1/webhooks/"+path, chunked{bytes.NewReader(body)})
	if err != nil {
		t.Fatal(err)
	}
	return f.do(t, r)
}

func TestBodySizes(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1, 100, step - 1, step, step + 1, 3*step + 7} {
		g := newGate(fake{})
		close(g.opened)
		// As much may be in flight as one body has: the bound must not refuse what max_body allows.
		f := setup(t, g, options{config: func(c *Config) { c.MaxBody, c.MaxInFlight = config.Size(limit), config.Size(limit) }})
		for _, size := range []int{0, 1, limit / 2, limit - 1, limit, limit + 1, 2*limit + step} {
			body := make([]byte, size)
			rand.Read(body)
			for how, got := range map[string]answer{"with its length": f.send(t, "open", nil, body), "chunked": f.sendChunked(t, "open", body)} {
				switch {
				case size == 0:
					got.refused(t, http.StatusBadRequest)
				case size > limit:
					got.refused(t, http.StatusRequestEntityTooLarge)
				default:
					got.accepted(t)
					if d := <-g.came; !bytes.Equal(d.Body, body) {
						t.Errorf("limit %d: a body of %d bytes, sent %s, is published as %d bytes", limit, size, how, len(d.Body))
					}
				}
			}
		}
		if len(g.came) != 0 {
			t.Errorf("limit %d: %d refused bodies were published", limit, len(g.came))
		}
		if !f.nothingHeld() {
			t.Errorf("limit %d: bytes are still taken", limit)
		}
	}
}

// The sender of a body far beyond the limit reads its 413, and is not left to write into a closed connection.
func TestLargeBodyIsRefusedUnread(t *testing.T) {
	t.Parallel()
	f := setup(t, fake{}, options{})
	c := dial(t, f)
	c.post(t, "open", 1<<40, "")
	c.read(t).refused(t, http.StatusRequestEntityTooLarge)

	c = dial(t, f)
	c.post(t, "open", 1<<40, "Expect: 100-continue\r\n")
	c.read(t).refused(t, http.StatusRequestEntityTooLarge)
}

// What a body says is for the decoder to judge: ingress keeps all that its sender may send.
func TestHostileBodies(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	f := setup(t, b, options{})
	random := make([]byte, 2<<20)
	rand.Read(random)
	deep := strings.Repeat(`{"call":`, 10_000) + strings.Repeat("}", 10_000)
	stored := 0
	for name, body := range map[string][]byte{
		"2 MiB of random bytes": random,
		"truncated JSON":        example(t, "altur/full-v2")[:300],
		"10,000 levels":         []byte(deep),
		"10,000 open lists":     []byte(strings.Repeat("[", 10_000)),
		"invalid UTF-8":         []byte("{\"id\":\"\xff\xfe\"}"),
		"duplicate keys":        []byte(`{"id":"1","id":"2"}`),
		"NUL":                   {0},
		"call_inbound of altur": []byte(`{"event":"call_inbound"}`),
	} {
		for path, header := range map[string]http.Header{
			"altur":            sign(t, "altur", body, newSecret, "hex"),
			"cllr/" + newToken: nil,
		} {
			f.send(t, path, header, body).accepted(t)
			stored++
			if got := b.message(t, stored); !bytes.Equal(got.body, body) {
				t.Errorf("%s to %s: stored as %d other bytes", name, got.subject, len(got.body))
			}
		}
		// Nobody's signature can be over the call id of what holds none that can be read.
		got := f.send(t, "synthflow", http.Header{"Synthflow-Signature": {"AAAA"}}, body)
		if name == "call_inbound of altur" {
			got.refused(t, http.StatusUnprocessableEntity)
		} else {
			got.refused(t, http.StatusUnauthorized)
		}
	}
	if n := b.stored(t); n != stored {
		t.Errorf("%d stored, want %d", n, stored)
	}
}

func TestCallInboundIsNeverAnsweredWithAnEmptyObject(t *testing.T) {
	t.Parallel()
	f := setup(t, fake{}, options{})
	body := example(t, "synthflow/call-inbound-event.refused")
	// The documented inbound webhook is told apart whatever else it holds, signed or not.
	for _, b := range [][]byte{body, []byte(`{"event":"call_inbound"}`), []byte(`{"call_inbound":{}}`), fmt.Appendf(nil, " \r\n\t%s\n", body)} {
		got := f.send(t, "synthflow", nil, b)
		if detail := got.refused(t, http.StatusUnprocessableEntity); !strings.Contains(detail, "call_inbound") || !strings.Contains(detail, "post-call webhook") {
			t.Errorf("it does not say what to change: %s", detail)
		}
	}
	// Where only the word occurs it is an event like any other.
	said := []byte(`{"call":{"call_id":"1","transcript":"human: what is call_inbound?"}}`)
	f.send(t, "synthflow", sign(t, "synthflow", said, synSecret, ""), said).accepted(t)
}

func TestClientThatHangsUpInMidBodyLeavesNothing(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	f := setup(t, b, options{})
	for i, start := range []func(c *conn){
		func(c *conn) { c.announce(t, "open", 1000); c.write(t, strings.Repeat("x", 999)) },
		func(c *conn) { c.announce(t, "open", 1000) },
		func(c *conn) { c.announce(t, "open", 7<<20); c.write(t, strings.Repeat("x", 5<<20)) },
		func(c *conn) {
			c.write(t, "POST /v1/webhooks/open HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
			c.read(t)
			c.write(t, "5\r\n{\"a\":\r\n")
		},
	} {
		c := dial(t, f)
		start(c)
		if f.nothingHeld() {
			t.Errorf("case %d: no bytes are taken for a body that is being received", i)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the request is given up", func() bool { return f.count("open", "broken") == i+1 })
		if !f.nothingHeld() {
			t.Errorf("case %d: bytes are still taken", i)
		}
	}
	if n := b.stored(t); n != 0 {
		t.Errorf("%d deliveries stored", n)
	}
}

func TestMalformedChunksAreRefused(t *testing.T) {
	t.Parallel()
	f := setup(t, fake{}, options{})
	for _, chunks := range []string{"zz\r\n{}\r\n0\r\n\r\n", "2\r\n{}xx0\r\n\r\n", "-1\r\n{}\r\n0\r\n\r\n", "ffffffffffffffffff\r\n{}\r\n"} {
		c := dial(t, f)
		c.write(t, "POST /v1/webhooks/open HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks)
		c.read(t).refused(t, http.StatusBadRequest)
	}
}

// A sender that writes its whole body before it reads must find the answer there, not a connection that was reset.
func TestA413ReachesASenderThatWritesFirst(t *testing.T) {
	t.Parallel()
	f := setup(t, fake{}, options{config: func(c *Config) { c.MaxBody, c.ReadTimeout = 64<<10, 10*time.Second }})
	body := strings.Repeat("x", 120<<10)
	for name, request := range map[string]string{
		"with a length": fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body),
		"chunked":       fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body),
	} {
		c := dial(t, f)
		c.write(t, "POST /v1/webhooks/open HTTP/1.1\r\nHost: x\r\n"+request)
		if got := c.read(t); got.status != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: %d", name, got.status)
		}
	}
}
