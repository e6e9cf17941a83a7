package bus

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/tlsfile"
)

// New returns a bus that connects by itself, whenever the broker that cfg names is there. It does not wait for that:
// Prepare and Run do. An error is one that no waiting mends.
func New(cfg Config, name string, log *zap.Logger) (*Bus, error) {
	if cfg.URL == "" && cfg.Server == nil {
		return nil, errors.New("nats.url is empty; give the address of a NATS server, as in nats://nats:4222")
	}
	b := &Bus{log: log, prefix: cfg.Prefix, replicas: cfg.Replicas, ackWait: cfg.AckWait, durability: cfg.Durability,
		monitorURL: cfg.MonitorURL, embedded: cfg.Server != nil, prepared: make(chan struct{})}
	opts := []nats.Option{
		nats.Name("onhook-" + name),
		nats.CustomInboxPrefix("_INBOX." + name), // or whoever may read its own answers could read those to all others
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.IgnoreAuthErrorAbort(), // credentials are being rotated: the file is read again at each attempt
		nats.ReconnectBufSize(-1),   // a publish while disconnected fails at once and is tried again by its caller
		nats.PingInterval(pingEvery),
		nats.MaxPingsOutstanding(maxPings),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("broker connection lost", zap.Error(err))
			}
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { b.undialed.Store(&err) }),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			log.Info("broker connection is back", zap.String("server", nc.ConnectedUrlRedacted()))
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { log.Warn("broker", zap.Error(err)) }),
	}
	secure, err := cfg.secure(log)
	if err != nil {
		return nil, err
	}
	opts = append(opts, secure...)
	if cfg.Server != nil {
		opts = append(opts, nats.InProcessServer(cfg.Server))
	}
	if b.nc, err = nats.Connect(cfg.URL, opts...); err != nil {
		return nil, fmt.Errorf("cannot connect to NATS; check nats.url: %w", err)
	}
	if b.js, err = jetstream.New(b.nc, jetstream.WithPublishAsyncMaxPending(maxInFlight), jetstream.WithPublishAsyncTimeout(publishTimeout)); err != nil {
		b.nc.Close()
		return nil, err
	}
	b.committer = committer{publish: b.publish, prefix: b.prefix, wake: make(chan struct{}, 1)}
	run, stop := context.WithCancel(context.Background())
	b.stop = stop
	go b.committer.run(run)
	return b, nil
}

// secure is how a connection proves who it is, and learns who the server is. All files but the seed's name are read anew for
// each connection, so that they can be replaced while the process runs.
func (c *Config) secure(log *zap.Logger) (opts []nats.Option, err error) {
	if c.CredsFile != "" {
		if _, err := os.ReadFile(c.CredsFile); err != nil {
			return nil, fmt.Errorf("cannot read the credentials of NATS, which nats.creds_file names: %w", err)
		}
		opts = append(opts, nats.UserCredentials(c.CredsFile))
	}
	if c.NkeyFile != "" {
		opt, err := nats.NkeyOptionFromSeed(c.NkeyFile)
		if err != nil {
			return nil, fmt.Errorf("cannot use the seed in %s, which nats.nkey_file names; it should be that of a user, as `nk -gen user` prints it: %w", c.NkeyFile, err)
		}
		opts = append(opts, opt)
	}
	var cert nats.TLSCertHandler
	var roots nats.RootCAsHandler
	if c.TLS.Given() {
		pair, err := tlsfile.Open(c.TLS.Config, log)
		if err != nil {
			return nil, fmt.Errorf("nats.tls: %w", err)
		}
		cert = func() (tls.Certificate, error) { return *pair.Current(), nil }
	}
	if c.TLS.CAFile != "" {
		roots = func() (*x509.CertPool, error) { return tlsfile.Roots(c.TLS.CAFile) }
	}
	if cert != nil || roots != nil {
		opts = append(opts, nats.ClientTLSConfig(cert, roots))
	}
	return opts, nil
}

// Connect is New and Prepare.
func Connect(ctx context.Context, cfg Config, name string, log *zap.Logger) (*Bus, error) {
	b, err := New(cfg, name, log)
	if err != nil {
		return nil, err
	}
	if err := b.Prepare(ctx); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// Prepare waits until the broker answers and every stream exists, creating those that do not. A stream that is there
// already is left as it is. It returns an error when ctx ends, or for what no waiting mends.
func (b *Bus) Prepare(ctx context.Context) error {
	if err := b.persist(ctx, "the broker and its streams", b.createStreams); err != nil {
		return err
	}
	b.once.Do(func() { close(b.prepared) })
	return nil
}

// Run prepares the streams and works until ctx ends.
func (b *Bus) Run(ctx context.Context) error {
	if err := b.Prepare(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func (b *Bus) isPrepared() bool {
	select {
	case <-b.prepared:
		return true
	default:
		return false
	}
}

func (b *Bus) notPrepared() error {
	if err := b.trouble.Load(); err != nil {
		return fmt.Errorf("waiting for the broker and its streams: %w", *err)
	}
	return errors.New("waiting for the broker and its streams")
}

// disconnected says why there is no connection, as far as the client knows.
func (b *Bus) disconnected() error {
	err := b.nc.LastError()
	if last := b.undialed.Load(); err == nil && last != nil {
		err = *last
	}
	if err == nil {
		err = nats.ErrNoServers
	}
	return fmt.Errorf("not connected to NATS (%s); see that it runs, and that nats.url, its credentials and nats.tls are right: %w", b.nc.Status(), err)
}

// The pauses of persist, and how often it says that it still waits.
const (
	pauseFirst = 100 * time.Millisecond
	pauseMost  = 2 * time.Second
	sayEvery   = 5 * time.Second
)

// persist calls try until it succeeds, or fails for good, or ctx ends. Meanwhile the log says what it waits for.
func (b *Bus) persist(ctx context.Context, what string, try func(context.Context) error) error {
	began, said := time.Now(), time.Time{}
	for pause := pauseFirst; ; pause = min(2*pause, pauseMost) {
		err := b.attempt(ctx, 2*time.Second+4*pause, try) // longer each time, should it be slow
		if err == nil {
			if !said.IsZero() {
				b.log.Info("waited for "+what, zap.Duration("took", time.Since(began)))
			}
			return nil
		}
		if isFinal(err) {
			return err
		}
		b.trouble.Store(&err)
		if ctx.Err() == nil && time.Since(said) >= sayEvery {
			said = time.Now()
			b.log.Warn("waiting for "+what, zap.Error(err), zap.Duration("for", time.Since(began)))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w while waiting for %s: %w", ctx.Err(), what, err)
		case <-time.After(pause):
		}
	}
}

// attempt bounds one try: during an election, a request may have no answer at all.
func (b *Bus) attempt(ctx context.Context, most time.Duration, try func(context.Context) error) error {
	if b.nc.IsClosed() {
		return nats.ErrConnectionClosed
	}
	if !b.nc.IsConnected() {
		return b.disconnected()
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	return try(ctx)
}

// isFinal reports that waiting does not mend err: the credentials or the configuration are at fault. An election, a
// node that is still to come and a disk that is full are waited for.
func isFinal(err error) bool {
	for _, final := range []error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired, nats.ErrPermissionViolation, nats.ErrConnectionClosed} {
		if errors.Is(err, final) {
			return true
		}
	}
	e, ok := errors.AsType[*jetstream.APIError](err)
	if !ok {
		return false // no answer
	}
	switch e.ErrorCode {
	case 10005, 10202: // no suitable peers, a member joins: more nodes may come
		return false
	case 10035, 10036, 10039, 10052, 10074: // no account, not in a cluster, no JetStream for the account, invalid, replicas without a cluster
		return true
	}
	return e.Code < 500 && e.Code != 429
}
