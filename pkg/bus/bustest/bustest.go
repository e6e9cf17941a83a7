// Package bustest starts a real broker in the test's own process.
package bustest

import (
	"testing"

	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/natsembed"
)

// Server is a broker that a test can stop and start again over the same data.
type Server struct {
	*natsembed.Server
	cfg natsembed.Config
}

// StartServer starts a broker that ends with the test.
func StartServer(t testing.TB) *Server {
	t.Helper()
	return StartServerIn(t, t.TempDir())
}

// StartServerIn starts a broker whose data is in dir.
func StartServerIn(t testing.TB, dir string) *Server {
	t.Helper()
	s := &Server{cfg: natsembed.Config{Dir: dir, Listen: "127.0.0.1:0"}}
	s.Start(t)
	t.Cleanup(func() { s.Stop() }) // whichever server runs by then
	return s
}

// Start starts the broker again after Stop.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	srv, err := natsembed.Start(s.cfg, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	s.Server = srv
	s.cfg.Listen = srv.Addr().String() // the same port after a restart
}

// Connect connects to the broker until the test ends. The connection outlives a restart of the broker.
func (s *Server) Connect(t testing.TB) *bus.Bus {
	t.Helper()
	return s.ConnectWith(t, func(*bus.Config) {})
}

// ConnectWith connects like Connect, with settings of the test's own.
func (s *Server) ConnectWith(t testing.TB, set func(*bus.Config)) *bus.Bus {
	t.Helper()
	cfg := bus.DefaultConfig()
	cfg.URL = s.ClientURL()
	set(&cfg)
	b, err := bus.Connect(t.Context(), cfg, "test", zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// Start starts a broker and connects to it.
func Start(t testing.TB) *bus.Bus {
	t.Helper()
	return StartServer(t).Connect(t)
}

// StartInProcess starts a broker that opens no port, as `onhook run` does, and connects to it.
func StartInProcess(t testing.TB) *bus.Bus {
	t.Helper()
	srv, err := natsembed.Start(natsembed.Config{Dir: t.TempDir()}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Stop)
	cfg := bus.DefaultConfig()
	cfg.Server = srv
	b, err := bus.Connect(t.Context(), cfg, "test", zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}
