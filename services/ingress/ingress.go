// Package ingress takes webhooks over HTTP and answers 200 only when the delivery is safe in the stream. It is thin:
// it looks the source up, checks the sender, publishes and answers, and never decodes a call.
package ingress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/provider"
	"github.com/onhook/onhook/pkg/tlsfile"
)

// publisher is what ingress needs of the bus.
type publisher interface {
	PublishDelivery(ctx context.Context, d *bus.Delivery) error
}

// Ingress is the webhook server.
type Ingress struct {
	cfg      Config
	sources  map[string]*source
	bus      publisher
	log      *zap.Logger
	metrics  *metrics
	inFlight *semaphore.Weighted // bytes of bodies
	maxBody  int64
	listener net.Listener
	server   *http.Server
}

// New binds cfg.Listen. The listener takes connections from then on, and answers them once Run is called.
func New(cfg Config, sources provider.Sources, b publisher, log *zap.Logger, reg prometheus.Registerer) (*Ingress, error) {
	in := &Ingress{
		cfg:      cfg,
		sources:  map[string]*source{},
		bus:      b,
		log:      log.Named("ingress"),
		inFlight: semaphore.NewWeighted(int64(cfg.MaxInFlight) + 1), // a body is too large from its first byte too many
		maxBody:  int64(cfg.MaxBody),
	}
	for name, s := range sources {
		src, err := newSource(name, s)
		if err != nil {
			return nil, err
		}
		in.sources[name] = src
	}
	var err error
	if in.metrics, err = newMetrics(reg, slices.Collect(maps.Keys(in.sources))); err != nil {
		return nil, err
	}
	errorLog, err := zap.NewStdLogAt(in.log, zap.WarnLevel) // of connections that cannot be taken
	if err != nil {
		return nil, err
	}
	in.server = &http.Server{
		Handler:           in.routes(),
		ReadHeaderTimeout: cfg.ReadTimeout,
		ReadTimeout:       cfg.ReadTimeout,
		WriteTimeout:      cfg.ReadTimeout + cfg.AckBudget + writeSlack,
		IdleTimeout:       cfg.IdleTimeout,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          errorLog,
	}
	if cfg.TLS.Given() {
		pair, err := tlsfile.Open(cfg.TLS, in.log)
		if err != nil {
			return nil, fmt.Errorf("ingress.tls: %w", err)
		}
		in.server.TLSConfig = &tls.Config{
			MinVersion:     tls.VersionTLS12,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.Current(), nil },
		}
		in.server.Protocols = &http.Protocols{} // all bounds on slow senders are those of HTTP/1.1, which every provider speaks
		in.server.Protocols.SetHTTP1(true)
	}
	if in.listener, err = net.Listen("tcp", cfg.Listen); err != nil {
		return nil, fmt.Errorf("cannot listen for webhooks on %s; ingress.listen, or --listen of onhook run, changes the address: %w", cfg.Listen, err)
	}
	return in, nil
}

// writeSlack is how long a client may take to read an answer of some 100 bytes.
const writeSlack = 5 * time.Second

func (in *Ingress) routes() http.Handler {
	e := echo.New()
	e.HTTPErrorHandler = in.refuseRoute
	for _, path := range []string{"/v1/webhooks/:source", "/v1/webhooks/:source/:token"} {
		e.POST(path, in.receive)
		e.OPTIONS(path, echo.MethodNotAllowedHandler) // which echo would answer with 204
	}
	return e
}

// Addr is the address that New bound, as host:port.
func (in *Ingress) Addr() string { return in.listener.Addr().String() }

// URL is where New listens, without a path.
func (in *Ingress) URL() string {
	if in.cfg.TLS.Given() {
		return "https://" + in.Addr()
	}
	return "http://" + in.Addr()
}

func (in *Ingress) serve() error {
	if in.cfg.TLS.Given() {
		return in.server.ServeTLS(in.listener, "", "") // the certificate comes from GetCertificate
	}
	return in.server.Serve(in.listener)
}

// Run serves until ctx ends, and then until every request that was accepted has its answer.
func (in *Ingress) Run(ctx context.Context) error {
	in.server.BaseContext = func(net.Listener) context.Context { return context.WithoutCancel(ctx) } // which has the tracer
	served := make(chan error, 1)
	go func() { served <- in.serve() }()
	select {
	case err := <-served:
		return fmt.Errorf("ingress: %w", err)
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), in.server.WriteTimeout)
	defer cancel()
	err := in.server.Shutdown(last)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests were still being answered: %w", err), in.server.Close())
	}
	if serr := <-served; !errors.Is(serr, http.ErrServerClosed) {
		err = errors.Join(err, serr)
	}
	return err
}
