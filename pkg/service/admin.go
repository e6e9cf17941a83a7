package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
)

// AdminConfig is the section admin.
type AdminConfig struct {
	Listen string `yaml:"listen"` // host:port; the listener has no authentication, so keep it on the loopback
}

// DefaultAdminConfig listens where the operator's commands look.
func DefaultAdminConfig() AdminConfig { return AdminConfig{Listen: "127.0.0.1:8081"} }

// Validate checks the form of the address.
func (c *AdminConfig) Validate() error {
	if err := checkAddr(c.Listen); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	return nil
}

// checkAddr checks the form of an address to listen on.
func checkAddr(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = net.LookupPort("tcp", port) // of a number, its range; net.Listen takes names too
	}
	if err != nil {
		return errors.New("want host:port, such as 127.0.0.1:8081")
	}
	return nil
}

// Admin serves /healthz, /readyz and /metrics, and what else is mounted with Handle.
type Admin struct {
	listener net.Listener
	mux      *http.ServeMux
	server   *http.Server
	log      *zap.Logger
	checks   checks
	stopping atomic.Bool
}

// NewAdmin binds the listener; until Run, connections wait. It registers the Go and process collectors,
// onhook_build_info and onhook_check_ok with reg, unless they are there already.
func NewAdmin(addr string, reg *prometheus.Registry, log *zap.Logger) (*Admin, error) {
	if err := registerProcess(reg); err != nil {
		return nil, fmt.Errorf("admin metrics: %w", err)
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("admin listener: cannot listen on %s: %w; --admin changes the address", addr, withoutAddr(err))
	}
	a := &Admin{listener: listener, mux: http.NewServeMux(), log: log}
	errorLog, err := zap.NewStdLogAt(log, zap.WarnLevel)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("admin listener: %w", err), listener.Close())
	}
	// A web page in the operator's browser must not reach the operator's commands: not by rebinding a name of its own
	// to the loopback (the Host tells), and not by posting to us from its own site (Origin and Sec-Fetch-Site tell).
	handler := http.NewCrossOriginProtection().Handler(a.mux)
	if isLoopback(listener.Addr()) {
		handler = onlyLoopbackHosts(handler)
	}
	a.server = &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          errorLog,
	}
	if err := register(reg, checkMetric{&a.checks}); err != nil {
		return nil, errors.Join(fmt.Errorf("admin metrics: %w", err), listener.Close())
	}
	a.mux.HandleFunc("GET /healthz", a.healthz)
	a.mux.HandleFunc("GET /readyz", a.readyz)
	a.mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{ErrorLog: errorLog}))
	return a, nil
}

// Addr is the address that the listener is bound to; it tells the port where :0 was asked for.
func (a *Admin) Addr() string { return a.listener.Addr().String() }

// Handle mounts a handler, with a pattern of http.ServeMux; it may be called while the listener is served.
func (a *Admin) Handle(pattern string, h http.Handler) { a.mux.Handle(pattern, h) }

// AddCheck adds a condition of readiness.
func (a *Admin) AddCheck(c Check) { a.checks.add(c) }

// Stopping makes the process not ready for good. It comes before anything is stopped, so that traffic can go elsewhere.
func (a *Admin) Stopping() { a.stopping.Store(true) }

// Run serves until ctx ends, then lets requests finish for up to five seconds.
func (a *Admin) Run(ctx context.Context) error {
	a.log.Info("admin listening", zap.String("addr", a.Addr()))
	stopped := make(chan error, 1)
	release := context.AfterFunc(ctx, func() {
		a.Stopping()
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err := a.server.Shutdown(limit)
		if err != nil {
			err = errors.Join(err, a.server.Close())
		}
		stopped <- err
	})
	if err := a.server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
		release()
		return fmt.Errorf("admin listener on %s: %w", a.Addr(), err)
	}
	return <-stopped // Serve returns when Shutdown begins; we, when it ends
}

func registerProcess(reg *prometheus.Registry) error {
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "onhook_build_info",
		Help:        "Always 1; the labels say what runs here.",
		ConstLabels: prometheus.Labels{"version": Version(), "revision": Revision(), "go_version": runtime.Version()},
	})
	build.Set(1)
	return register(reg, build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}

// register registers what is not there already.
func register(reg *prometheus.Registry, cs ...prometheus.Collector) error {
	for _, c := range cs {
		err := reg.Register(c)
		if _, there := errors.AsType[prometheus.AlreadyRegisteredError](err); err != nil && !there {
			return err
		}
	}
	return nil
}

// withoutAddr drops "listen tcp <address>" from an error whose message names the address already.
func withoutAddr(err error) error {
	if oe, ok := errors.AsType[*net.OpError](err); ok {
		return oe.Err
	}
	return err
}
