package bus_test

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/bus/bustest"
)

// relay stands before a broker. Once frozen, the connections that it has carry nothing any more and stay open, as those to
// a node that was cut off without a word; new ones are served.
type relay struct {
	net.Listener
	target string

	mu     sync.Mutex
	frozen chan struct{} // of the connections that come now: closed when they freeze
}

func startRelay(t *testing.T, target string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{Listener: l, target: target, frozen: make(chan struct{})}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = near.Close() })
			far, err := net.Dial("tcp", target)
			if err != nil {
				_ = near.Close()
				continue
			}
			t.Cleanup(func() { _ = far.Close() })
			r.mu.Lock()
			frozen := r.frozen
			r.mu.Unlock()
			go carry(near, far, frozen)
			go carry(far, near, frozen)
		}
	}()
	return r
}

func carry(to, from net.Conn, frozen <-chan struct{}) {
	for b := make([]byte, 32<<10); ; {
		n, err := from.Read(b)
		select {
		case <-frozen:
			_, _ = io.Copy(io.Discard, from) // or the sender would notice in the end
			return
		default:
		}
		if _, werr := to.Write(b[:n]); err != nil || werr != nil {
			_ = to.Close()
			return
		}
	}
}

func (r *relay) freeze() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.frozen)
	r.frozen = make(chan struct{})
}

// A node that was cut off without a word kept its clients for six minutes, while the others would have served them.
func TestAServerThatFellSilentIsGivenUp(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 20 seconds")
	}
	t.Parallel()
	srv := bustest.StartServer(t)
	r := startRelay(t, strings.TrimPrefix(srv.ClientURL(), "nats://"))
	b := srv.ConnectWith(t, func(c *bus.Config) { c.URL = "nats://" + r.Addr().String() })
	if err := b.PublishDelivery(t.Context(), newDelivery("{}")); err != nil {
		t.Fatal(err)
	}
	r.freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	if err := b.PublishDelivery(ctx, newDelivery("{}")); err != nil {
		t.Errorf("for 40 seconds: %v", err)
	}
}
