package onhook

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/pkg/service"
	"github.com/onhook/onhook/pkg/store"
	"github.com/onhook/onhook/services/storage"
)

// opsConfig is section ops of onhook.yaml.
type opsConfig struct {
	Listen    string         `yaml:"listen"`     // host:port
	Token     config.Secrets `yaml:"token"`      // of those who may ask, newest first
	TokenFile string         `yaml:"token_file"` // the same, one per line
}

func defaultOpsConfig() opsConfig { return opsConfig{Listen: "127.0.0.1:8090"} }

// bearer is what an Authorization header can carry (RFC 6750).
var bearer = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`)

var errBearer = errors.New("a token stands in a header: use letters, digits and -._~+/ only, as `openssl rand -hex 32` does")

// Validate reads the token file and says what is wrong with c. A configuration without a token is right: only
// `onhook ops` wants one.
func (c *opsConfig) Validate() error {
	var errs []error
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		errs = append(errs, config.At(errors.New("give host:port, such as 127.0.0.1:8090"), "listen"))
	}
	key := "token"
	if c.TokenFile != "" {
		key = "token_file"
	}
	token, err := c.Token.OrFile(c.TokenFile)
	if err == nil {
		c.Token, c.TokenFile = token, "" // read: a second Validate must not take it for a second source of tokens
		if slices.ContainsFunc(token, func(t config.Secret) bool { return !bearer.MatchString(t.Reveal()) }) {
			err = errBearer
		}
	}
	return errors.Join(append(errs, config.At(err, key))...)
}

type opsCmd struct {
	Config string `help:"Read this file: its sections ops, nats and storage." default:"onhook.yaml" placeholder:"FILE"`
	Listen string `help:"Serve the operator's API on this address, whatever the configuration says." placeholder:"HOST:PORT"`
	Admin  string `help:"Serve health and metrics on this address, whatever the configuration says." placeholder:"HOST:PORT"`
	Ready  bool   `help:"Start nothing; ask the one that runs with this configuration whether it is ready, and exit with 0 or 1."`
}

// Run serves the operator's API until it is told to stop.
func (c *opsCmd) Run(ctx context.Context, t terminal) error {
	p, err := service.NewProcess(service.Options{Config: c.Config, Admin: c.Admin, Ready: c.Ready}, t.err)
	if err != nil {
		return err
	}
	cfg, nats, sto := defaultOpsConfig(), bus.DefaultConfig(), storage.DefaultConfig()
	if err := errors.Join(p.Config.Section("ops", &cfg), p.Config.Section("nats", &nats), p.Config.Section("storage", &sto)); err != nil {
		return err
	}
	if c.Listen != "" {
		cfg.Listen = c.Listen
	}
	switch {
	case len(cfg.Token) == 0:
		return &service.UsageError{Err: fmt.Errorf("%s has neither ops.token nor ops.token_file; without a token anybody could read the calls", c.Config)}
	case nats.URL == "" || sto.DSN == "":
		return &service.UsageError{Err: fmt.Errorf("%s names no nats.url or no storage.dsn: ops is for services that run apart; `onhook run` answers the commands itself, on its admin listener", c.Config)}
	}
	db, err := store.Open(ctx, sto.DSN.Reveal())
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // it only reads
	b, err := bus.New(nats, "ops", p.Log)
	if err != nil {
		return err
	}
	defer b.Close()
	o, err := newOps(cfg, b, db, p.Config.Names("crm"), p.Log) // without the sinks' secrets
	if err != nil {
		return err
	}
	p.Admin.AddCheck(service.Check{Name: "broker", Probe: b.Ready})
	p.Admin.AddCheck(service.Check{Name: "database", Probe: db.Ping})
	return p.Run(ctx, service.Part{Name: "broker", Run: b.Run}, service.Part{Name: "ops", Run: o.run})
}

// ops serves the operator's API to those who have a token.
type ops struct {
	log      *zap.Logger
	listener net.Listener
	server   *http.Server
}

// newOps binds the listener.
func newOps(cfg opsConfig, b *bus.Bus, db store.Store, sinks []string, log *zap.Logger) (*ops, error) {
	o := &ops{log: log.Named("ops")}
	errorLog, err := zap.NewStdLogAt(o.log, zap.WarnLevel)
	if err != nil {
		return nil, err
	}
	o.server = &http.Server{
		Handler:           o.logged(withToken(cfg.Token, newAPI(b, db, sinks, log))),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          errorLog,
	}
	if o.listener, err = net.Listen("tcp", cfg.Listen); err != nil {
		return nil, fmt.Errorf("cannot listen for operators on %s; ops.listen or --listen changes the address: %w", cfg.Listen, err)
	}
	return o, nil
}

func (o *ops) addr() string { return o.listener.Addr().String() }

// run serves until ctx ends, then lets requests finish for up to five seconds.
func (o *ops) run(ctx context.Context) error {
	o.log.Info("ops listening", zap.String("addr", o.addr()))
	served := make(chan error, 1)
	go func() { served <- o.server.Serve(o.listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("ops listener on %s: %w", o.addr(), err)
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := o.server.Shutdown(last)
	if err != nil {
		err = errors.Join(err, o.server.Close())
	}
	if serr := <-served; !errors.Is(serr, http.ErrServerClosed) {
		err = errors.Join(err, serr)
	}
	return err
}

// withToken lets through what carries one of the tokens. A web page in the operator's browser has none to send, whatever
// its origin or the name it gave this host, so neither needs to be looked at here as on the admin listener.
func withToken(tokens config.Secrets, next http.Handler) http.Handler {
	var hashes [][sha256.Size]byte // which make tokens of any length comparable in constant time
	for _, t := range tokens {
		hashes = append(hashes, sha256.Sum256([]byte(t.Reveal())))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		got, ok := sha256.Sum256([]byte(token)), 0
		for _, want := range hashes {
			ok |= subtle.ConstantTimeCompare(got[:], want[:])
		}
		if ok != 1 || !strings.EqualFold(scheme, "Bearer") {
			w.Header().Set("WWW-Authenticate", "Bearer")
			_ = writeAnswer(w, http.StatusUnauthorized, unauthorized) // it is JSON
			return
		}
		next.ServeHTTP(w, r)
	})
}

var unauthorized = &apiError{http.StatusText(http.StatusUnauthorized), http.StatusUnauthorized,
	"the token is wrong or missing; the commands take it from " + tokenEnv + " or --token, and it is one of ops.token"}

// logged writes a line for each request: a listener that others can reach is to tell who did what. The query stays out
// of it, as it can hold a phone number.
func (o *ops) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		s := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(s, r)
		o.log.Info("request", zap.String("method", r.Method), zap.String("path", r.URL.Path), zap.Int("status", s.status),
			zap.String("remote", r.RemoteAddr), zap.Duration("took", time.Since(began)))
	})
}

// statusWriter remembers the status that was written.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader writes status.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}
