package ingress

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestPathsThatAreNoSource(t *testing.T) {
	t.Parallel()
	f := setup(t, fake{}, options{})
	for _, c := range []struct {
		target  string // of the request line, as sent
		status  int
		outcome string
	}{
		{"/", 404, "no_route"},
		{"/v1/webhooks", 404, "no_route"},
		{"/v1/webhooks/", 404, "no_route"},
		{"/v1/webhooks/open/", 404, "no_route"},
		{"//v1/webhooks/open", 404, "no_route"},
		{"/v2/webhooks/open", 404, "no_route"},
		{"/V1/Webhooks/open", 404, "no_route"},
		{"/v1/webhooks/../webhooks/open", 404, "unknown_source"},
		{"/v1/webhooks/.", 404, "unknown_source"},
		{"/v1/webhooks/..", 404, "unknown_source"},
		{"/v1/webhooks/Open", 404, "unknown_source"},
		{"/v1/webhooks/open%2F", 404, "unknown_source"},
		{"/v1/webhooks/open%2Fx", 404, "unknown_source"},
		{"/v1/webhooks/%2Fopen", 404, "unknown_source"},
		{"/v1/webhooks/open%00", 404, "unknown_source"},
		{"/v1/webhooks/open%0d%0aX-Injected:%201", 404, "unknown_source"},
		{"/v1/webhooks/%", 400, ""}, // not HTTP: refused by net/http itself
		{"/v1/webhooks/%F0%9F%93%9E", 404, "unknown_source"},
		{"/v1/webhooks/" + strings.Repeat("a", 8<<10), 404, "unknown_source"},
		{"/v1/webhooks/*", 404, "unknown_source"},
		{"/v1/webhooks/>", 404, "unknown_source"},
		{"/v1/webhooks/:source", 404, "unknown_source"},
		{"/v1/webhooks/" + unknownSource, 404, "unknown_source"},
		{"*", 404, "no_route"},
		{"http://elsewhere/v1/webhooks/nobody", 404, "unknown_source"},
	} {
		before := f.count(unknownSource, c.outcome)
		conn := dial(t, f)
		conn.write(t, "POST "+c.target+" HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
		got := conn.read(t)
		if c.outcome == "" {
			if got.status != c.status {
				t.Errorf("%.60q: %d", c.target, got.status)
			}
			continue
		}
		if got.refused(t, c.status); got.header.Get("X-Injected") != "" {
			t.Errorf("%.60q: %v", c.target, got.header)
		}
		if n := f.count(unknownSource, c.outcome); n != before+1 {
			t.Errorf("%.60q: %s counted %d times", c.target, c.outcome, n-before)
		}
	}
	for _, target := range []string{
		"/v1/webhooks/open",
		"/v1/webhooks/%6Fpen", // the same name, escaped
		"/v1/webhooks/open?a=1;b=2",
		"http://elsewhere/v1/webhooks/open",
	} {
		c := dial(t, f)
		c.write(t, "POST "+target+" HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
		c.read(t).accepted(t)
	}
}

func TestTooLargeHeader(t *testing.T) {
	t.Parallel()
	f := setup(t, fake{}, options{})
	for name, header := range map[string]string{
		"one":  "X-Large: " + strings.Repeat("x", 64<<10) + "\r\n",
		"many": strings.Repeat("X-Small: x\r\n", 6<<10),
	} {
		c := dial(t, f)
		c.post(t, "open", 2, header)
		if got := c.read(t); got.status != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	f.send(t, "open", http.Header{"X-Large": {strings.Repeat("x", 15<<10)}}, []byte("{}")).accepted(t)
}

// Requests sent in one go are answered in their order, whatever becomes of each.
func TestPipelining(t *testing.T) {
	t.Parallel()
	f := setup(t, fake{}, options{})
	c := dial(t, f)
	request := func(path, body string) string {
		return fmt.Sprintf("POST /v1/webhooks/%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
	}
	c.write(t, request("open", `{"n":1}`)+request("cllr/wrong", `{"n":2}`)+request("nobody", `{"n":3}`)+
		"POST /v1/webhooks/open HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"n\r\n4\r\n\":4}\r\n0\r\n\r\n"+
		request("open", "")+request("open", `{"n":6}`))
	first := c.read(t).accepted(t)
	c.read(t).refused(t, 401)
	c.read(t).refused(t, 404)
	second := c.read(t).accepted(t)
	c.read(t).refused(t, 400)
	third := c.read(t).accepted(t)
	if first >= second || second >= third {
		t.Errorf("delivery ids do not grow: %s, %s, %s", first, second, third)
	}
}

// Two statements of a body's length are how a request is smuggled past a proxy.
func TestTwoLengthsAreRefused(t *testing.T) {
	t.Parallel()
	f := setup(t, fake{}, options{})
	c := dial(t, f)
	c.post(t, "open", 2, "Content-Length: 5\r\n")
	if got := c.read(t); got.status != http.StatusBadRequest {
		t.Errorf("%d %s", got.status, got.body)
	}
}
