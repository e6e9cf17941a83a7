// Package natsembed runs a NATS server inside this process. It alone imports nats-server.
package natsembed

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/zap"
)

// MaxPayload is the largest message in bytes that the server takes.
const MaxPayload = 8 << 20

// Config says where the server keeps its data and whether others can reach it.
type Config struct {
	Dir    string // the streams live below it
	Listen string // host:port for other clients; empty: no port is opened

	// Relaxed leaves it to the server when to sync: what was acknowledged in the last two minutes can be lost with the power.
	Relaxed bool
}

// Server is a running NATS server with JetStream. Unless it is relaxed, every write is on disk before it is acknowledged.
type Server struct {
	*server.Server
	dir    string
	failed chan string // holds what the server could not write, once it could not
}

// Start starts a server and waits until it takes connections.
func Start(cfg Config, log *zap.Logger) (*Server, error) {
	opts := &server.Options{
		ServerName:             "onhook",
		JetStream:              true,
		StoreDir:               cfg.Dir,
		SyncAlways:             !cfg.Relaxed,
		MaxPayload:             MaxPayload,
		DontListen:             cfg.Listen == "",
		NoSigs:                 true,
		JetStreamMaxStore:      1 << 50, // as much as the disk has; see Run for a full one
		DisableJetStreamBanner: true,
	}
	if cfg.Listen != "" {
		host, port, err := net.SplitHostPort(cfg.Listen)
		if err != nil {
			return nil, fmt.Errorf("nats.listen %q is not host:port: %w", cfg.Listen, err)
		}
		opts.Host = host
		if opts.Port, err = strconv.Atoi(port); err != nil {
			return nil, fmt.Errorf("nats.listen %q has no port number", cfg.Listen)
		}
		if opts.Port == 0 {
			opts.Port = server.RANDOM_PORT
		}
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("cannot set up the embedded NATS server in %s: %w", cfg.Dir, err)
	}
	failed := make(chan string, 1)
	s.SetLoggerV2(logger{log.Named("nats").Sugar(), failed}, false, false, false)
	go s.Start()
	if !s.ReadyForConnections(time.Minute) {
		s.Shutdown()
		return nil, fmt.Errorf("the embedded NATS server in %s did not start within a minute; its log lines above say why", cfg.Dir)
	}
	return &Server{Server: s, dir: cfg.Dir, failed: failed}, nil
}

// Run returns when ctx ends, or with an error when a write to disk has failed: the server then refuses every further
// one, even after the disk has room again, until it is started anew.
func (s *Server) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case what := <-s.failed:
		return fmt.Errorf("the embedded NATS server cannot write to %s: %s; see that the disk has room and can be written to, then start again", s.dir, what)
	}
}

// Stop closes every connection and writes what is still to be written.
func (s *Server) Stop() {
	s.Shutdown()
	s.WaitForShutdown()
}

// logger passes the server's own lines on, its notices as debug: they are about the broker, not about calls. What the
// server calls fatal is an error here: the process is not the server's to end.
type logger struct {
	*zap.SugaredLogger
	failed chan<- string
}

// Errorf passes an error on. The one after which nothing is written any more has no other sign than its wording; a
// test fills a disk to see that it still reads so.
func (l logger) Errorf(format string, v ...any) {
	l.SugaredLogger.Errorf(format, v...)
	if _, what, ok := strings.Cut(fmt.Sprintf(format, v...), "Critical write error: "); ok {
		select {
		case l.failed <- what:
		default: // said already
		}
	}
}

func (l logger) Noticef(format string, v ...any) { l.Debugf(format, v...) }
func (l logger) Fatalf(format string, v ...any)  { l.Errorf(format, v...) }
func (l logger) Tracef(format string, v ...any)  { l.Debugf(format, v...) }
