// Package pgtest runs a real PostgreSQL server in a container for tests.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"
)

const (
	imageVariable = "ONHOOK_TEST_POSTGRES_IMAGE"
	defaultImage  = "postgres:17"
	password      = "pgtest"
	patience      = time.Minute // for the server to answer
)

// Server is a PostgreSQL server of its own, which keeps its port and its data while it is stopped.
type Server struct {
	container testcontainers.Container
	address   string
}

// Start runs a server until tb ends. Without Docker, or where it cannot get the image, it skips tb and says why; with
// ONHOOK_REQUIRE_DOCKER=1 it fails it.
func Start(tb testing.TB) *Server {
	tb.Helper()
	unable := tb.Skipf
	if os.Getenv("ONHOOK_REQUIRE_DOCKER") == "1" {
		unable = tb.Fatalf
	}
	if err := docker(); err != nil {
		unable("needs Docker: %v", err)
	}
	image := os.Getenv(imageVariable)
	if image == "" {
		image = defaultImage
	}
	var s *Server
	var err error
	for range 3 { // the port that was free may be taken by now
		if s, err = start(tb, image); err == nil {
			break
		}
	}
	if err != nil {
		unable("needs a container of %s (set %s to use another image): %v", image, imageVariable, err)
	}
	s.await(tb)
	return s
}

func start(tb testing.TB, image string) (*Server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	inside := network.MustParsePort("5432/tcp")
	ctr, err := testcontainers.Run(context.Background(), image,
		testcontainers.WithEnv(map[string]string{"POSTGRES_PASSWORD": password}),
		testcontainers.WithCmd("postgres", "-c", "max_connections=300"),
		testcontainers.WithExposedPorts(inside.String()),
		testcontainers.WithHostConfigModifier(func(h *container.HostConfig) {
			// Not a port of Docker's choice: it would be another after a restart.
			h.PortBindings = network.PortMap{inside: {{HostIP: netip.IPv4Unspecified(), HostPort: port}}}
		}),
		testcontainers.WithWaitStrategyAndDeadline(patience, wait.ForListeningPort(inside.String())),
	)
	if err != nil {
		return nil, errors.Join(err, testcontainers.TerminateContainer(ctr))
	}
	testcontainers.CleanupContainer(tb, ctr)
	host, err := ctr.Host(context.Background())
	if err != nil {
		return nil, err
	}
	return &Server{container: ctr, address: net.JoinHostPort(host, port)}, nil
}

// Database makes an empty database, dropped when tb ends, and returns its DSN.
func (s *Server) Database(tb testing.TB) string {
	tb.Helper()
	name := "test_" + uuid.NewString()[:8]
	s.exec(tb, "CREATE DATABASE "+name)
	tb.Cleanup(func() { s.exec(tb, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	return s.dsn(name)
}

// Stop stops the server as a crash would. It does not wait for clients.
func (s *Server) Stop(tb testing.TB) {
	tb.Helper()
	now := time.Duration(0)
	if err := s.container.Stop(context.Background(), &now); err != nil {
		tb.Fatalf("stop PostgreSQL: %v", err)
	}
}

// Restart starts the server after Stop, on the same port and data, and waits until it answers.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	if err := s.container.Start(context.Background()); err != nil {
		tb.Fatalf("restart PostgreSQL: %v", err)
	}
	s.await(tb)
}

// exec runs one statement as the superuser, outside of any test's database.
func (s *Server) exec(tb testing.TB, sql string) {
	tb.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, s.dsn("postgres"))
	if err != nil {
		tb.Fatalf("connect to PostgreSQL: %v", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
}

func (s *Server) dsn(database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword("postgres", password), Host: s.address, Path: database, RawQuery: "sslmode=disable"}
	return u.String()
}

// await waits until the server answers a query: an open port is not enough.
func (s *Server) await(tb testing.TB) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := s.ping(ctx)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			tb.Fatalf("PostgreSQL does not answer after %s: %v", patience, err)
		}
	}
}

func (s *Server) ping(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.dsn("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return conn.Ping(ctx)
}

// docker says why containers cannot be run, or nil.
func docker() (err error) {
	defer func() {
		if r := recover(); r != nil { // the library panics where it finds no Docker host at all
			err = fmt.Errorf("%v", r)
		}
	}()
	p, err := testcontainers.NewDockerProvider()
	if err != nil {
		return err
	}
	defer p.Close()
	return p.Health(context.Background())
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}
