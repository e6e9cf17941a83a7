package ingress

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
)

// What was accepted before the end is finished: a publish that is slow, and a body that is still coming.
func TestShutdownFinishesWhatItHasAccepted(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	g := newGate(b)
	f := setup(t, g, options{})
	publishing := f.begin(t, "open", []byte(`{"n":1}`))
	<-g.came
	receiving, idle := dial(t, f), dial(t, f)
	receiving.announce(t, "open", 7)
	receiving.write(t, `{"n"`)
	idle.post(t, "nobody", 2, "")
	idle.write(t, "{}")
	idle.read(t).refused(t, 404)

	stopped := make(chan error, 1)
	go func() { stopped <- f.stop() }()
	waitFor(t, "connections are refused", func() bool {
		c, err := net.Dial("tcp", f.Addr())
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	idle.closed(t)
	select {
	case err := <-stopped:
		t.Fatalf("stopped with requests unanswered: %v", err)
	default:
	}
	close(g.opened)
	(<-publishing).accepted(t)
	receiving.write(t, `:2}`)
	receiving.read(t).accepted(t)
	receiving.closed(t)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if n := b.stored(t); n != 2 {
		t.Errorf("%d stored, want 2", n)
	}
}

// A request that cannot be finished does not keep the process alive for ever, and the error says what hung.
func TestShutdownEnds(t *testing.T) {
	t.Parallel()
	came, opened := make(chan struct{}), make(chan struct{})
	in, err := New(withListen("127.0.0.1:0"), testSources(), fake{publish: func(context.Context, *bus.Delivery) error {
		close(came)
		<-opened
		return nil
	}}, zap.NewNop(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	in.server.WriteTimeout = 100 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- in.Run(ctx) }()
	c := dial(t, &fixture{Ingress: in})
	c.post(t, "open", 2, "")
	c.write(t, "{}")
	<-came
	cancel()
	if err := <-ran; err == nil || !strings.Contains(err.Error(), "still being answered") {
		t.Errorf("Run: %v", err)
	}
	c.closed(t)
	close(opened)
}

// A listener that fails ends Run: nothing lingers half alive.
func TestRunEndsWhenItCannotListenAnyMore(t *testing.T) {
	t.Parallel()
	in, err := New(withListen("127.0.0.1:0"), testSources(), fake{}, zap.NewNop(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- in.Run(t.Context()) }()
	if err := in.listener.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ran; err == nil {
		t.Error("Run returned without an error")
	}
}

func withListen(addr string) Config {
	c := DefaultConfig()
	c.Listen = addr
	return c
}
