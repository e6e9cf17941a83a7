package ingress

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
)

func TestAcceptedIsStoredAsSent(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	f := setup(t, b, options{})
	altur, synthflow, cllr := example(t, "altur/full-v2"), example(t, "synthflow/full-2026"), example(t, "cllr/full")
	binary := []byte("\x00\xff\r\n not JSON at all \xc3\x28")
	for i, c := range []struct {
		path, subject, source, auth string
		header                      http.Header
		body                        []byte
	}{
		{"altur", "webhooks.altur.altur", "/altur/altur", "verified_body", sign(t, "altur", altur, newSecret, "hex"), altur},
		{"synthflow", "webhooks.synthflow.synthflow", "/synthflow/synthflow", "verified_id_only", sign(t, "synthflow", synthflow, synSecret, ""), synthflow},
		{"cllr/" + newToken, "webhooks.cllr.cllr", "/cllr/cllr", "token", nil, cllr},
		{"open", "webhooks.cllr.open", "/cllr/open", "none", nil, cllr},
		{"open", "webhooks.cllr.open", "/cllr/open", "none", nil, binary},
		{"altur-both/" + newToken, "webhooks.altur.altur-both", "/altur/altur-both", "verified_body", sign(t, "altur", binary, newSecret, "hex"), binary},
	} {
		header := c.header.Clone()
		if header == nil {
			header = http.Header{}
		}
		header.Set("User-Agent", "the-provider/1.0")
		before := time.Now().Add(-time.Millisecond)
		id := f.send(t, c.path, header, c.body).accepted(t)
		if u, err := uuid.Parse(id); err != nil || u.Version() != 7 {
			t.Errorf("%s: delivery id %q is no UUIDv7", c.path, id)
		}
		if n := b.stored(t); n != i+1 {
			t.Fatalf("%s: %d deliveries stored, want %d", c.path, n, i+1)
		}
		got := b.message(t, i+1)
		if got.subject != c.subject || !bytes.Equal(got.body, c.body) {
			t.Errorf("%s: stored under %s: %.60q", c.path, got.subject, got.body)
		}
		for k, want := range map[string]string{
			"ce-id":              id,
			"ce-source":          c.source,
			"ce-type":            "onhook.webhook.received.v1",
			"ce-specversion":     "1.0",
			"ce-datacontenttype": "application/json",
			"Onhook-Auth":        c.auth,
			"Onhook-User-Agent":  "the-provider/1.0",
		} {
			if v := got.header[k]; len(v) != 1 || v[0] != want {
				t.Errorf("%s: header %s is %q, want %q", c.path, k, v, want)
			}
		}
		if at, err := time.Parse(time.RFC3339, got.header.Get("ce-time")); err != nil || at.Before(before) || at.After(time.Now()) {
			t.Errorf("%s: ce-time is %q", c.path, got.header.Get("ce-time"))
		}
	}
	for source, want := range map[string]int{"altur": 1, "synthflow": 1, "cllr": 1, "open": 2, "altur-both": 1} {
		if n := f.count(source, accepted); n != want {
			t.Errorf("%s: %d counted, want %d", source, n, want)
		}
	}
	if n := testutil.CollectAndCount(f.metrics.ackSeconds); n != 1 {
		t.Errorf("%d series of onhook_ack_seconds", n)
	}
}

// TestRefusals is the table of the HTTP contract but for its 200 and its 5xx. The connection can be used again after
// each of them.
func TestRefusals(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	f := setup(t, b, options{config: func(c *Config) { c.MaxBody = 4096 }})
	body := []byte(`{"event_type":"on_call_end","id":"1"}`)
	inbound := example(t, "synthflow/call-inbound-event.refused")
	for range 2 { // what the limit lets through
		f.send(t, "limited/"+newToken, nil, body).accepted(t)
	}
	stored := b.stored(t)
	for _, c := range []struct {
		name, method, path string
		header             http.Header
		body               []byte
		status             int
		source, outcome    string
		says               string
	}{
		{name: "no signature", path: "altur", body: body, status: 401, source: "altur", outcome: "unauthorized", says: "signature"},
		{name: "wrong signature", path: "altur", body: body, header: sign(t, "altur", body, synSecret, "hex"), status: 401, source: "altur", outcome: "unauthorized", says: "signature"},
		{name: "no token", path: "cllr", body: body, status: 401, source: "cllr", outcome: "unauthorized", says: "token"},
		{name: "wrong token", path: "cllr/nope", body: body, status: 401, source: "cllr", outcome: "unauthorized", says: "token"},
		{name: "unknown source", path: "nobody", body: body, status: 404, source: "unknown", outcome: "unknown_source", says: "source"},
		{name: "get", method: http.MethodGet, path: "altur", status: 405, source: "unknown", outcome: "not_post", says: "POST"},
		{name: "put", method: http.MethodPut, path: "cllr/" + newToken, body: body, status: 405, source: "unknown", outcome: "not_post", says: "POST"},
		{name: "delete", method: http.MethodDelete, path: "altur", status: 405, source: "unknown", outcome: "not_post", says: "POST"},
		{name: "options", method: http.MethodOptions, path: "altur", status: 405, source: "unknown", outcome: "not_post", says: "POST"},
		{name: "a method of their own", method: "WEBHOOK", path: "altur", body: body, status: 405, source: "unknown", outcome: "not_post", says: "POST"},
		{name: "too large", path: "open", body: make([]byte, 4097), status: 413, source: "open", outcome: "too_large", says: "4096 bytes"},
		{name: "empty", path: "open", status: 400, source: "open", outcome: "empty", says: "empty"},
		{name: "not an event", path: "synthflow", body: inbound, status: 422, source: "synthflow", outcome: "not_an_event", says: "post-call"},
		{name: "not an event, signed", path: "synthflow", body: inbound, header: http.Header{"Synthflow-Signature": {"AAAA"}}, status: 422, source: "synthflow", outcome: "not_an_event", says: "post-call"},
		{name: "over the limit", path: "limited/" + newToken, body: body, status: 429, source: "limited", outcome: "rate_limited", says: "rate limit"},
	} {
		before := f.count(c.source, c.outcome)
		method := c.method
		if method == "" {
			method = http.MethodPost
		}
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+f.Addr()+"/v1/webhooks/"+c.path, bytes.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = c.header.Clone()
		got := f.do(t, r)
		if detail := got.refused(t, c.status); !strings.Contains(detail, c.says) {
			t.Errorf("%s: detail %q", c.name, detail)
		}
		if n := f.count(c.source, c.outcome); n != before+1 {
			t.Errorf("%s: %s of %s counted %d times", c.name, c.outcome, c.source, n-before)
		}
		if allow := got.header.Get("Allow"); (allow == "POST") != (c.status == 405) {
			t.Errorf("%s: Allow is %q", c.name, allow)
		}
		if wait := got.header.Get("Retry-After"); (wait != "") != (c.status == 429) {
			t.Errorf("%s: Retry-After is %q", c.name, wait)
		}
		if n := b.stored(t); n != stored {
			t.Fatalf("%s: %d deliveries stored, want %d", c.name, n, stored)
		}

		reused := false
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused }})
		again, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+f.Addr()+"/v1/webhooks/open", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		f.do(t, again).accepted(t)
		if stored++; !reused {
			t.Errorf("%s: the connection could not be used again", c.name)
		}
	}
}

func TestHeadIsNotPost(t *testing.T) {
	t.Parallel()
	f := setup(t, fake{}, options{})
	res, err := f.client.Head("http://" + f.Addr() + "/v1/webhooks/altur")
	if err != nil {
		t.Fatal(err)
	}
	got := read(t, res)
	if got.status != 405 || got.header.Get("Allow") != "POST" || len(got.body) != 0 {
		t.Errorf("%d %v %q", got.status, got.header, got.body)
	}
}

// deaf is the connection of a client that has hung up.
type deaf struct{ *httptest.ResponseRecorder }

func (deaf) Write([]byte) (int, error) { return 0, syscall.EPIPE }

// An answer that nobody waits for is no fault, and its delivery is counted once.
func TestAnswerThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	f := setup(t, fake{}, options{})
	for _, path := range []string{"open", "cllr/wrong", "a/b/c"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/webhooks/"+path, strings.NewReader("{}"))
		f.server.Handler.ServeHTTP(deaf{httptest.NewRecorder()}, r)
	}
	if n := f.count("open", accepted); n != 1 {
		t.Errorf("%d accepted", n)
	}
	if n := f.count(unknownSource, "internal"); n != 0 {
		t.Errorf("%d faults counted", n)
	}
	if n := f.logs.FilterLevelExact(zap.ErrorLevel).Len(); n != 0 {
		t.Errorf("%d errors logged:\n%s", n, f.logText(t))
	}
}

// A panic of ours must be seen by us and must not pass for the sender's fault.
func TestPanicIsAnsweredAndLogged(t *testing.T) {
	t.Parallel()
	f := setup(t, fake{publish: func(context.Context, *bus.Delivery) error { panic("defect") }}, options{})
	f.send(t, "open", nil, []byte("{}")).refused(t, 500)
	if !f.nothingHeld() {
		t.Error("the body's bytes are still taken")
	}
	if n := f.count("open", "internal"); n != 1 {
		t.Errorf("counted %d times", n)
	}
	if text := f.logText(t); !strings.Contains(text, `"level":"error"`) || !strings.Contains(text, "panic: defect") {
		t.Errorf("logged as %s", text)
	}
}
