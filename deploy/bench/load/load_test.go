package load

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/onhook/onhook/deploy/bench/body"
)

// handler takes webhooks, and answers every tenth with 503.
type handler struct {
	mu    sync.Mutex
	took  []int64
	count atomic.Int64
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(r.Body)
	n, ok := body.Number(data)
	if err != nil || !ok {
		http.Error(w, "no webhook", http.StatusBadRequest)
		return
	}
	if h.count.Add(1)%10 == 0 {
		http.Error(w, "busy", http.StatusServiceUnavailable)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.took = append(h.took, n)
}

// What the loader holds for acknowledged is what was, each once, in either loop.
func TestLoad(t *testing.T) {
	t.Parallel()
	for name, rate := range map[string]float64{"closed": 0, "open": 2000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := &handler{}
			s := httptest.NewServer(h)
			defer s.Close()
			var marks []string
			r, err := Run(t.Context(), Config{
				Addr: s.Listener.Addr().String(), Connections: 8, Size: 2 << 10, Rate: rate, Warm: 50 * time.Millisecond, Duration: 200 * time.Millisecond, First: 1000,
				Begin: func() { marks = append(marks, "begin") }, End: func() { marks = append(marks, "end") },
			})
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(r.Acked)
			slices.Sort(h.took)
			if len(r.Acked) == 0 || !slices.Equal(r.Acked, h.took) || r.Acked[0] < 1000 {
				t.Errorf("%d acknowledged, the handler has %d", len(r.Acked), len(h.took))
			}
			if len(slices.Compact(r.Acked)) != len(h.took) {
				t.Error("a call id was sent twice")
			}
			refused := int(h.count.Load()) - len(h.took)
			if r.Refused[503] != refused || len(r.Refused) > 1 {
				t.Errorf("refused %v, want %d", r.Refused, refused)
			}
			if r.Count == 0 || r.Count != int64(len(r.Took)) || r.Count > int64(len(h.took)) {
				t.Errorf("counted %d of %d, with %d latencies", r.Count, len(h.took), len(r.Took))
			}
			if !slices.Equal(marks, []string{"begin", "end"}) {
				t.Errorf("marks are %q", marks)
			}
			if due := int(rate / 4); rate > 0 && int(h.count.Load()) != due {
				t.Errorf("%d sent, %d were due", h.count.Load(), due)
			}
		})
	}
}

// In the open loop a server that stands still makes every request late that is due meanwhile, not just the one it holds.
func TestLatencyCountsFromWhenARequestWasDue(t *testing.T) {
	t.Parallel()
	const hold = 300 * time.Millisecond
	var first sync.Once
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		first.Do(func() { <-time.After(hold) })
	}))
	defer s.Close()
	r, err := Run(t.Context(), Config{Addr: s.Listener.Addr().String(), Connections: 1, Size: 2 << 10, Rate: 100, Duration: 400 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	late := 0
	for _, d := range r.Took {
		if d > hold/3 {
			late++
		}
	}
	if late < 10 { // of the 30 that were due while it stood still, 20 came later than a third of that
		t.Errorf("%d of %d were late", late, len(r.Took))
	}
}

func TestRunFails(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = c.Close()
		}
	}))
	defer s.Close()
	c := Config{Addr: s.Listener.Addr().String(), Connections: 2, Size: 2 << 10, Duration: 50 * time.Millisecond}
	if _, err := Run(t.Context(), c); err == nil {
		t.Error("a connection that is cut is no error")
	}
	s.Close()
	if _, err := Run(context.Background(), c); err == nil {
		t.Error("nobody listens, and that is no error")
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text   string
		status int // 0: an error
	}{
		{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200},
		{"HTTP/1.1 503 Busy\r\nX: y\r\ncontent-length: 4\r\n\r\nbusy", 503},
		{"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbu", 0},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0},
		{"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n" + strings.Repeat("x", 99999), 0},
		{"220 mail\r\n\r\n", 0},
		{"", 0},
	} {
		a := answer{buf: make([]byte, 8192)}
		status, err := a.read(iotest.OneByteReader(bytes.NewReader([]byte(c.text))))
		if status != c.status || (err == nil) != (c.status != 0) {
			t.Errorf("%.50q: %d %v, want %d", c.text, status, err, c.status)
		}
	}
}
