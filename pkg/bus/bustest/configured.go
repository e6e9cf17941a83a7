package bustest

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// StartConfigured starts a single server with JetStream as a configuration file says, on the loopback, until the test ends.
// It listens on any port where port is 0, and its data is of this test alone unless dir is given.
func StartConfigured(t testing.TB, file, dir string, port int) *server.Server {
	t.Helper()
	opts, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if dir == "" {
		dir = t.TempDir()
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	opts.Host, opts.Port, opts.JetStream, opts.StoreDir = "127.0.0.1", port, true, dir
	opts.NoSigs, opts.NoLog, opts.DisableJetStreamBanner = true, true, true
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatal("the server does not start")
	}
	return s
}
