package bus_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/bus/bustest"
)

// away is a configuration whose broker does not run, and what starts it.
func away(t *testing.T) (bus.Config, *bustest.Server) {
	t.Helper()
	srv := bustest.StartServer(t)
	cfg := bus.DefaultConfig()
	cfg.URL = srv.ClientURL()
	srv.Stop()
	return cfg, srv
}

// A process that started during an outage ended at once.
func TestABrokerThatIsAwayAtTheStartIsWaitedFor(t *testing.T) {
	t.Parallel()
	cfg, srv := away(t)
	core, logs := observer.New(zapcore.WarnLevel)
	b, err := bus.New(cfg, "test", zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	opened := make(chan error, 1)
	go func() { _, _, err := b.Open(t.Context(), bus.Decoder); opened <- err }()
	running, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- b.Run(running) }()
	stored := make(chan error, 1)
	go func() { stored <- b.PublishDelivery(t.Context(), newDelivery("{}")) }()
	waitFor(t, func() bool { return logs.FilterMessage("waiting for the broker and its streams").Len() > 0 })
	for name, check := range map[string]func(context.Context) error{"ready": b.Ready, "sound": b.Sound} {
		if err := check(t.Context()); err == nil || !strings.Contains(err.Error(), "not connected to NATS") {
			t.Errorf("%s: %v", name, err)
		}
	}
	srv.Start(t)
	for what, done := range map[string]chan error{"the consumer": opened, "the delivery": stored} {
		if err := <-done; err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	waitFor(t, func() bool { return b.Ready(t.Context()) == nil })
	fetch(t, b, bus.Decoder, false, 1)
	stop()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

func TestWaitingForTheBrokerEndsWithTheContext(t *testing.T) {
	t.Parallel()
	cfg, _ := away(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { _, err := bus.Connect(ctx, cfg, "test", zap.NewNop()); done <- err }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// What no waiting mends ends the process, and says what is wrong.
func TestWhatNoWaitingMendsIsAnErrorAtOnce(t *testing.T) {
	t.Parallel()
	single, guarded := bustest.StartServer(t).ClientURL(), bustest.StartGuarded(t, "onhook", "right")
	for name, tt := range map[string]struct {
		set  func(c *bus.Config)
		says string
	}{
		"no address":            {func(c *bus.Config) { c.URL = "" }, "nats.url is empty"},
		"three replicas of one": {func(c *bus.Config) { c.URL, c.Replicas = single, 3 }, "3 servers for its replicas"},
		"no credentials":        {func(c *bus.Config) { c.URL = guarded }, "authorization violation"},
		"wrong password":        {func(c *bus.Config) { c.URL = strings.Replace(guarded, "//", "//onhook:wr0ng@", 1) }, "authorization violation"},
		"no credentials file":   {func(c *bus.Config) { c.URL, c.CredsFile = single, filepath.Join(t.TempDir(), "creds") }, "nats.creds_file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := bus.DefaultConfig()
			tt.set(&cfg)
			b, err := bus.Connect(t.Context(), cfg, "test", zap.NewNop())
			if err == nil {
				b.Close()
				t.Fatal("connected")
			}
			if !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(tt.says)) || strings.Contains(err.Error(), "wr0ng") {
				t.Error(err)
			}
		})
	}
}

// A server that takes the connection and never answers is one that is away.
func TestASilentServerIsWaitedFor(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := bus.DefaultConfig()
	cfg.URL = "nats://" + l.Addr().String()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	if _, err := bus.Connect(ctx, cfg, "test", zap.NewNop()); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// newBus is a bus whose streams nobody prepares.
func newBus(t *testing.T, cfg bus.Config) *bus.Bus {
	t.Helper()
	b, err := bus.New(cfg, "test", zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}
