// Package natsembed runs a NATS server inside this process. It alone imports nats-server.
package natsembed

import (
	"fmt"
	"net"
	"strconv"
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
type Server struct{ *server.Server }

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
		JetStreamMaxStore:      1 << 50, // as much as the disk has; a full disk refuses and is reported
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
	s.SetLoggerV2(logger{log.Named("nats").Sugar()}, false, false, false)
	go s.Start()
	if !s.ReadyForConnections(time.Minute) {
		s.Shutdown()
		return nil, fmt.Errorf("the embedded NATS server in %s did not start within a minute; its log lines above say why", cfg.Dir)
	}
	return &Server{s}, nil
}

// Stop closes every connection and writes what is still to be written.
func (s *Server) Stop() {
	s.Shutdown()
	s.WaitForShutdown()
}

// logger passes the server's own lines on, its notices as debug: they are about the broker, not about calls. What the
// server calls fatal is an error here: the process is not the server's to end.
type logger struct{ *zap.SugaredLogger }

func (l logger) Noticef(format string, v ...any) { l.Debugf(format, v...) }
func (l logger) Fatalf(format string, v ...any)  { l.Errorf(format, v...) }
func (l logger) Tracef(format string, v ...any)  { l.Debugf(format, v...) }
