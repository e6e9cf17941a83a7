package bustest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
)

// Nodes is how many servers a cluster has.
const Nodes = 3

// TestCluster is a broker of three servers, each of which a test can stop and start again over the same data.
type TestCluster struct {
	opts [Nodes]*server.Options
	node [Nodes]*server.Server // nil: not running
}

// NewCluster is a cluster of which nothing runs yet. What runs ends with the test.
func NewCluster(t testing.TB) *TestCluster {
	t.Helper()
	c := &TestCluster{}
	ports := freePorts(t, 2*Nodes) // fixed, as a node that starts again is to be found where it was
	var routes []*url.URL
	for _, port := range ports[Nodes:] {
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", port)})
	}
	for i := range c.opts {
		c.opts[i] = &server.Options{
			ServerName:             fmt.Sprintf("node-%d", i+1),
			Host:                   "127.0.0.1",
			Port:                   ports[i],
			Cluster:                server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: ports[Nodes+i]},
			Routes:                 routes,
			JetStream:              true,
			JetStreamMaxStore:      1 << 40,
			StoreDir:               t.TempDir(),
			MaxPayload:             8 << 20,
			NoSigs:                 true,
			NoLog:                  true,
			DisableJetStreamBanner: true,
		}
	}
	t.Cleanup(func() {
		for i := range c.node {
			c.StopNode(i)
		}
	})
	return c
}

// Cluster is a cluster that is up.
func Cluster(t testing.TB) *TestCluster {
	t.Helper()
	c := NewCluster(t)
	c.StartNodes(t, 0, 1, 2)
	return c
}

// freePorts are ports that were free a moment ago.
func freePorts(t testing.TB, n int) []int {
	t.Helper()
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports
}

// StartNodes starts servers by their numbers, 0 to 2, and returns when they take connections.
func (c *TestCluster) StartNodes(t testing.TB, numbers ...int) {
	t.Helper()
	for _, i := range numbers {
		s, err := server.NewServer(c.opts[i].Clone())
		if err != nil {
			t.Fatal(err)
		}
		c.node[i] = s
		go s.Start()
	}
	for _, i := range numbers {
		if !c.node[i].ReadyForConnections(30 * time.Second) {
			t.Fatalf("node %d does not start", i+1)
		}
	}
}

// StopNode stops a server, if it runs.
func (c *TestCluster) StopNode(i int) {
	if s := c.node[i]; s != nil {
		s.Shutdown()
		s.WaitForShutdown()
		c.node[i] = nil
	}
}

// URL names all three servers, whether they run or not.
func (c *TestCluster) URL() string {
	var all []string
	for _, o := range c.opts {
		all = append(all, fmt.Sprintf("nats://127.0.0.1:%d", o.Port))
	}
	return strings.Join(all, ",")
}

// Config is for a bus of this cluster with three replicas.
func (c *TestCluster) Config() bus.Config {
	cfg := bus.DefaultConfig()
	cfg.URL, cfg.Replicas = c.URL(), Nodes
	return cfg
}

// Connect connects to the cluster until the test ends, waiting until it is there.
func (c *TestCluster) Connect(t testing.TB) *bus.Bus {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b, err := bus.Connect(ctx, c.Config(), "test", zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// JetStream is what an operator has: the streams past package bus.
func (c *TestCluster) JetStream(t testing.TB) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(c.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// Leader is the number of the server that leads a stream, or -1 during an election.
func (c *TestCluster) Leader(stream string) int {
	for i, s := range c.node {
		if s != nil && s.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, stream) {
			return i
		}
	}
	return -1
}

// StepDown has a stream's leader hand over.
func (c *TestCluster) StepDown(stream string) error {
	i := c.Leader(stream)
	if i < 0 {
		return fmt.Errorf("stream %s has no leader", stream)
	}
	return c.node[i].JetStreamStepdownStream(server.DEFAULT_GLOBAL_ACCOUNT, stream)
}

// Settled returns nil when every node runs and every replica of the streams is up to date: another node may be stopped.
func (c *TestCluster) Settled(ctx context.Context, js jetstream.JetStream) error {
	list := js.ListStreams(ctx)
	streams := 0
	for i := range list.Info() {
		streams++
		if i.Cluster == nil || i.Cluster.Leader == "" || len(i.Cluster.Replicas) != Nodes-1 {
			return fmt.Errorf("stream %s has not all its replicas", i.Config.Name)
		}
		for _, r := range i.Cluster.Replicas {
			if !r.Current || r.Offline {
				return fmt.Errorf("stream %s: %s is behind", i.Config.Name, r.Name)
			}
		}
	}
	if streams == 0 {
		return errors.Join(errors.New("no streams"), list.Err())
	}
	return list.Err()
}

// StartGuarded starts a single server that wants a password, and returns its URL without one.
func StartGuarded(t testing.TB, user, password string) string {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(),
		Username: user, Password: password, NoSigs: true, NoLog: true, DisableJetStreamBanner: true})
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatal("the server does not start")
	}
	return s.ClientURL()
}
