//go:build linux

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"
)

// docker starts servers in containers.
type docker struct {
	t      *testing.T // at whose end they end
	client *testcontainers.DockerClient
}

// server is a server in a container: while it is down it keeps its ports and its data.
type server struct {
	name string
	*testcontainers.DockerContainer
	client *testcontainers.DockerClient
	net    string            // the id of its network, if it has one of its own
	host   string            // where its ports are
	ports  map[string]string // on the host, by the port inside
	cut    bool
	paused bool
}

// newDocker fails where no Docker answers.
func newDocker(t *testing.T) (d docker, err error) {
	defer func() {
		if r := recover(); r != nil { // the library panics where it finds no Docker host at all
			err = fmt.Errorf("needs Docker: %v", r)
		}
	}()
	c, err := testcontainers.NewDockerClientWithOpts(context.Background())
	if err == nil {
		_, err = c.Ping(context.Background(), client.PingOptions{})
	}
	if err != nil {
		return d, fmt.Errorf("needs Docker: %w", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return docker{t, c}, nil
}

// start runs the image that variable names and waits for it as ready says.
func (d docker) start(name, variable, image string, ports []string, ready wait.Strategy, opts ...testcontainers.ContainerCustomizer) (*server, error) {
	if given := os.Getenv(variable); given != "" {
		image = given
	}
	s := &server{name: name, client: d.client}
	var err error
	for range 3 { // a port that was free may be taken by now
		s.ports = map[string]string{}
		// Not ports of Docker's choice: they would be others after a restart.
		bound := network.PortMap{}
		for _, inside := range ports {
			_, free, _ := net.SplitHostPort(freeAddr(d.t))
			s.ports[inside] = free
			bound[network.MustParsePort(inside+"/tcp")] = []network.PortBinding{{HostIP: netip.IPv4Unspecified(), HostPort: free}}
		}
		all := append([]testcontainers.ContainerCustomizer{
			testcontainers.WithExposedPorts(ports...),
			testcontainers.WithHostConfigModifier(func(h *container.HostConfig) { h.PortBindings = bound }),
			testcontainers.WithWaitStrategyAndDeadline(patience, ready),
		}, opts...)
		if s.DockerContainer, err = testcontainers.Run(context.Background(), image, all...); err == nil {
			break
		}
		err = errors.Join(err, testcontainers.TerminateContainer(s.DockerContainer))
	}
	if err != nil {
		return nil, fmt.Errorf("needs a container of %s (set %s to use another image): %w", image, variable, err)
	}
	testcontainers.CleanupContainer(d.t, s.DockerContainer)
	s.host, err = s.Host(context.Background())
	return s, err
}

// addr is where a port of the server is reached.
func (s *server) addr(inside string) string { return net.JoinHostPort(s.host, s.ports[inside]) }

// end sends a signal and waits until the server has ended of it.
func (s *server) end(t *testing.T, signal string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := s.client.ContainerKill(ctx, s.ID, client.ContainerKillOptions{Signal: signal}); err != nil {
		t.Fatalf("SIG%s to %s: %v", signal, s.name, err)
	}
	gone := s.client.ContainerWait(ctx, s.ID, client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
	select {
	case <-gone.Result:
	case err := <-gone.Error:
		t.Fatalf("%s does not end of SIG%s: %v", s.name, signal, err)
	}
}

// begin starts the server again. It does not wait until it can work.
func (s *server) begin(t *testing.T) {
	t.Helper()
	if _, err := s.client.ContainerStart(context.Background(), s.ID, client.ContainerStartOptions{}); err != nil {
		t.Fatalf("start %s: %v", s.name, err)
	}
}

// leave cuts the server off from its network, and so from its ports on the host.
func (s *server) leave(t *testing.T) {
	t.Helper()
	s.cut = true
	if _, err := s.client.NetworkDisconnect(context.Background(), s.net, client.NetworkDisconnectOptions{Container: s.ID}); err != nil {
		t.Fatalf("cut off %s: %v", s.name, err)
	}
}

// join ends what leave began.
func (s *server) join(t *testing.T) {
	t.Helper()
	if _, err := s.client.NetworkConnect(context.Background(), s.net, client.NetworkConnectOptions{
		Container: s.ID, EndpointConfig: &network.EndpointSettings{Aliases: []string{s.name}},
	}); err != nil {
		t.Fatalf("connect %s: %v", s.name, err)
	}
	s.cut = false
}

// pause keeps the server from doing anything: its connections stay, and nobody answers.
func (s *server) pause(t *testing.T) {
	t.Helper()
	s.paused = true
	if _, err := s.client.ContainerPause(context.Background(), s.ID, client.ContainerPauseOptions{}); err != nil {
		t.Fatalf("pause %s: %v", s.name, err)
	}
}

// resume ends what pause began.
func (s *server) resume(t *testing.T) {
	t.Helper()
	if _, err := s.client.ContainerUnpause(context.Background(), s.ID, client.ContainerUnpauseOptions{}); err != nil {
		t.Fatalf("resume %s: %v", s.name, err)
	}
	s.paused = false
}

// restore undoes what a fault has left behind.
func (s *server) restore(t *testing.T) {
	t.Helper()
	if s.paused {
		s.resume(t)
	}
	if s.cut {
		s.join(t)
	}
	state, err := s.State(context.Background())
	if err != nil {
		t.Fatalf("%s: %v", s.name, err)
	}
	if !state.Running {
		s.begin(t)
	}
}

// show logs the last lines of the server when the test has failed.
func (s *server) show(t *testing.T) {
	if !t.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r, err := s.Logs(ctx)
	if err != nil {
		t.Logf("the log of %s: %v", s.name, err)
		return
	}
	defer r.Close()
	b, _ := io.ReadAll(r)
	t.Logf("the last of %s:\n%s", s.name, b[max(0, len(b)-3000):])
}
