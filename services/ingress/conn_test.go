package ingress

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"
)

// conn is a client that says exactly what it is told to, also what is not HTTP.
type conn struct {
	net.Conn
	r *bufio.Reader
}

func dial(t testing.TB, f *fixture) *conn {
	t.Helper()
	c, err := net.Dial("tcp", f.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &conn{c, bufio.NewReader(c)}
}

func (c *conn) write(t testing.TB, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

func (c *conn) read(t testing.TB) answer {
	t.Helper()
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, res)
}

// post writes the header of a POST with a body of a length, and no more.
func (c *conn) post(t testing.TB, path string, length int, more string) {
	t.Helper()
	c.write(t, fmt.Sprintf("POST /v1/webhooks/%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s\r\n", path, length, more))
}

// announce is post up to where the server asks for the body: from then on it has made room for it.
func (c *conn) announce(t testing.TB, path string, length int) {
	t.Helper()
	c.post(t, path, length, "Expect: 100-continue\r\n")
	if got := c.read(t); got.status != http.StatusContinue {
		t.Fatalf("the body is not asked for: %d %s", got.status, got.body)
	}
}

// closed waits until the server has closed the connection without another answer.
func (c *conn) closed(t testing.TB) {
	t.Helper()
	rest, err := io.ReadAll(c.r)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("the connection is still open: %v", err)
	}
	if len(rest) > 0 {
		t.Fatalf("answered: %q", rest)
	}
}
