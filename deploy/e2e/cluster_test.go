//go:build linux

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/testcontainers/testcontainers-go"
	tcnetwork "github.com/testcontainers/testcontainers-go/network"
	"github.com/testcontainers/testcontainers-go/wait"
)

// The ports of a NATS server.
const (
	clientPort  = "4222"
	monitorPort = "8222"
)

// cluster is three NATS servers, set up as those of deploy/compose, and a database that nothing is done to.
type cluster struct {
	nodes    []*server
	database *postgres
}

// startCluster starts a cluster that ends with t.
func startCluster(t *testing.T) (*cluster, error) {
	d, err := newDocker(t)
	if err != nil {
		return nil, err
	}
	nw, err := tcnetwork.New(context.Background())
	testcontainers.CleanupNetwork(t, nw)
	if err != nil {
		return nil, fmt.Errorf("needs a network of Docker: %w", err)
	}
	c := &cluster{}
	for i := range 3 {
		name := fmt.Sprintf("nats-%d", i+1)
		// To its clients a node does not say where the others are: on a network that they are not on.
		conf := fmt.Sprintf(`server_name: %s
listen: "0.0.0.0:%s"
http: "0.0.0.0:%s"
max_payload: 8MB
jetstream { store_dir: /data, sync_interval: always }
cluster { name: onhook, listen: "0.0.0.0:6222", no_advertise: true, routes: [nats://nats-1:6222, nats://nats-2:6222, nats://nats-3:6222] }
`, name, clientPort, monitorPort)
		n, err := d.start(name, "ONHOOK_TEST_NATS_IMAGE", "nats:2.15", []string{clientPort, monitorPort}, wait.ForLog("Server is ready"),
			tcnetwork.WithNetwork([]string{name}, nw),
			testcontainers.WithFiles(testcontainers.ContainerFile{Reader: strings.NewReader(conf), ContainerFilePath: "/nats.conf", FileMode: 0o644}),
			testcontainers.WithCmd("--config", "/nats.conf"),
		)
		if err != nil {
			return nil, err
		}
		n.net = nw.ID
		c.nodes = append(c.nodes, n)
	}
	c.database, err = startPostgres(t)
	return c, err
}

// takeCluster is the suite's cluster, healthy and empty.
func takeCluster(t *testing.T, s *suite, r *result) *cluster {
	t.Helper()
	if sh := s.shared; sh.cluster == nil && sh.unable == nil {
		sh.cluster, sh.unable = startCluster(sh.t)
	}
	s.shared.require(t, r)
	c := s.shared.cluster
	t.Cleanup(func() {
		for _, n := range c.nodes {
			n.show(t)
		}
	})
	for _, n := range c.nodes {
		n.restore(t)
	}
	c.awaitHealthy(t)
	c.clear(t)
	return c
}

// apart starts two of each service over the cluster.
func (c *cluster) apart(t *testing.T, s *suite, eachIngress func(i int) sections) *installation {
	t.Helper()
	return apart(t, s, layout{
		nats: c.url(), dsn: c.database.create(t), ingress: 2, decoders: 2, storage: 2, eachIngress: eachIngress,
		more: sections{"nats": {"replicas": len(c.nodes), "durability": "replicated"}},
	})
}

// url is all nodes' for a client.
func (c *cluster) url() string {
	var all []string
	for _, n := range c.nodes {
		all = append(all, "nats://"+n.addr(clientPort))
	}
	return strings.Join(all, ",")
}

// clear deletes every stream.
func (c *cluster) clear(t *testing.T) {
	t.Helper()
	nc, err := nats.Connect(c.url())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	await(t, "a cluster without streams", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		names := js.StreamNames(ctx)
		left := 0
		for name := range names.Name() {
			left++
			_ = js.DeleteStream(ctx, name) // which is seen the next time
		}
		return names.Err() == nil && left == 0
	})
}

// healthy reports whether a node can work and has caught up with the others.
func healthy(n *server) bool { return get("http://"+n.addr(monitorPort)+"/healthz") == http.StatusOK }

// awaitHealthy waits until every node is: what is done to one before that, is done to two.
func (c *cluster) awaitHealthy(t *testing.T) {
	t.Helper()
	for _, n := range c.nodes {
		await(t, n.name+" to be healthy", func() bool { return healthy(n) })
	}
}

// leader is the node that leads a stream.
func (c *cluster) leader(t *testing.T, stream string) *server {
	t.Helper()
	var leader *server
	await(t, "a leader of "+stream, func() bool {
		for _, asked := range c.nodes {
			name := leaderOf(t, asked, stream)
			for _, n := range c.nodes {
				if n.name == name {
					leader = n
					return true
				}
			}
		}
		return false
	})
	return leader
}

// leaderOf is who leads a stream as a node knows it, or empty.
func leaderOf(t *testing.T, n *server, stream string) string {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.addr(monitorPort)+"/jsz?accounts=true&streams=true", nil)
	if err != nil {
		return ""
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	var jsz struct {
		Accounts []struct {
			Streams []struct {
				Name    string
				Cluster struct{ Leader string }
			} `json:"stream_detail"`
		} `json:"account_details"`
	}
	if json.NewDecoder(resp.Body).Decode(&jsz) != nil {
		return ""
	}
	for _, a := range jsz.Accounts {
		for _, s := range a.Streams {
			if s.Name == stream {
				return s.Cluster.Leader
			}
		}
	}
	return ""
}

// spools gives each ingress a spool of its own.
func spools(t *testing.T) func(i int) sections {
	dir := t.TempDir()
	return func(i int) sections {
		return sections{"ingress": {"spool": map[string]any{"dir": filepath.Join(dir, fmt.Sprint(i))}}}
	}
}

func noSpools(*testing.T) func(i int) sections { return nil }
