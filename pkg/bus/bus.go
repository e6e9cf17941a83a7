// Package bus is onhook's streams: it publishes deliveries and calls, and hands them to consumers. Its callers never
// see a broker type. Every stream, subject and consumer stands in topology.go.
package bus

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/config"
)

// headroom is what a message may grow by after its body was accepted: our headers, and those that a worker adds when
// it schedules or buries the message. Without it a delivery just below the limit could be taken but never buried.
const headroom = 64 << 10

// maxInFlight is how many calls may wait for their PubAcks at once: more than all of a worker's loops can hold, as the
// client would stall each further one.
const maxInFlight = 32768

// A server that leaves maxPings unanswered is given up for another: after 20 s, where the client would wait for six
// minutes. It may be no less: a server that syncs every write answers a ping only when what was published before is on disk.
const (
	pingEvery = 5 * time.Second
	maxPings  = 3
)

// Config is section nats of onhook.yaml.
type Config struct {
	URL       string `yaml:"url"`        // nats://host:4222, several separated by commas
	CredsFile string `yaml:"creds_file"` // a NATS credentials file
	Replicas  int    `yaml:"replicas"`   // of each stream that is created: 1, or 3 in a cluster
	Prefix    string `yaml:"prefix"`     // put before every stream and subject, so that installations can share a server

	// AckWait is how long a worker may hold a message without a sign of life before another is given it.
	AckWait time.Duration `yaml:"ack_wait"`

	// Durability is what must be behind an ack: fsync, replicated, relaxed, or empty for either of the first two.
	Durability string `yaml:"durability"`

	// MonitorURL is the server's monitoring address, http://host:8222, by which its sync setting can be seen.
	MonitorURL string `yaml:"monitor_url"`

	// Listen is where the server that `onhook run` embeds takes other clients, as host:port. Empty: nowhere.
	Listen string `yaml:"listen"`

	// Server is an embedded server to connect to in place of URL.
	Server nats.InProcessConnProvider
}

// DefaultConfig has no address.
func DefaultConfig() Config {
	return Config{Replicas: 1, AckWait: 30 * time.Second}
}

var prefixPattern = regexp.MustCompile(`^[A-Za-z0-9_-]*$`)

// Validate says what is wrong with c.
func (c *Config) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, config.At(fmt.Errorf(format, args...), key))
	}
	if c.Replicas < 1 || c.Replicas > 5 {
		bad("replicas", "it is %d; give 1 (one server) or 3 (a cluster)", c.Replicas)
	}
	if !prefixPattern.MatchString(c.Prefix) {
		bad("prefix", "use letters, digits, - and _ only")
	}
	if c.AckWait < time.Second {
		bad("ack_wait", "it is %v; give 1s or more", c.AckWait)
	}
	errs = append(errs, c.validateDurability())
	if c.URL != "" && c.Listen != "" {
		bad("listen", "it is for the embedded server, which does not run when nats.url is set")
	}
	return errors.Join(errs...)
}

// Bus is one process's connection to the streams. It is safe for concurrent use.
type Bus struct {
	nc       *nats.Conn
	js       jetstream.JetStream
	log      *zap.Logger
	prefix   string
	replicas int
	ackWait  time.Duration

	durability string
	monitorURL string
	embedded   bool

	failure   atomic.Pointer[failure] // of the last delivery, unless that was stored
	committer committer
	stop      context.CancelFunc // of the committer
}

// Connect connects to the server that cfg names and makes sure that every stream exists. A stream that is there
// already is left as it is.
func Connect(ctx context.Context, cfg Config, name string, log *zap.Logger) (*Bus, error) {
	if cfg.URL == "" && cfg.Server == nil {
		return nil, errors.New("nats.url is empty; give the address of a NATS server, as in nats://nats:4222")
	}
	opts := []nats.Option{
		nats.Name("onhook-" + name),
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
		nats.ReconnectHandler(func(nc *nats.Conn) {
			log.Info("broker connection is back", zap.String("server", nc.ConnectedUrlRedacted()))
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { log.Warn("broker", zap.Error(err)) }),
	}
	if cfg.CredsFile != "" {
		opts = append(opts, nats.UserCredentials(cfg.CredsFile))
	}
	if cfg.Server != nil {
		opts = append(opts, nats.InProcessServer(cfg.Server))
	}
	nc, err := nats.Connect(cfg.URL, opts...)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to NATS; check nats.url and that the server runs: %w", err)
	}
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(maxInFlight), jetstream.WithPublishAsyncTimeout(20*time.Second))
	if err != nil {
		nc.Close()
		return nil, err
	}
	b := &Bus{nc: nc, js: js, log: log, prefix: cfg.Prefix, replicas: cfg.Replicas, ackWait: cfg.AckWait,
		durability: cfg.Durability, monitorURL: cfg.MonitorURL, embedded: cfg.Server != nil}
	if err := b.createStreams(ctx); err != nil {
		nc.Close()
		return nil, err
	}
	b.committer = committer{publish: b.publish, prefix: b.prefix, wake: make(chan struct{}, 1)}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	b.stop = stop
	go b.committer.run(run)
	return b, nil
}

// Close sends what is still to be sent, acknowledgements among it, and closes the connection.
func (b *Bus) Close() {
	b.stop()
	if b.nc.IsConnected() {
		_ = b.nc.FlushTimeout(2 * time.Second) // what could not be flushed is delivered again
	}
	b.nc.Close()
}

// failure is a delivery that could not be stored.
type failure struct {
	at  time.Time
	err error
}

// remembered is how long a failure keeps the process from being ready. After it traffic may try again.
const remembered = 10 * time.Second

// Ready says why deliveries cannot be published just now, or nil.
func (b *Bus) Ready(ctx context.Context) error {
	if !b.nc.IsConnected() {
		return fmt.Errorf("not connected to NATS (%s)", b.nc.Status())
	}
	if f := b.failure.Load(); f != nil && time.Since(f.at) < remembered {
		return fmt.Errorf("the last delivery could not be stored: %w", f.err)
	}
	for _, s := range streams {
		name := b.prefix + s.name
		st, err := b.js.Stream(ctx, name)
		if err != nil {
			return fmt.Errorf("stream %s: %w", name, err)
		}
		if i := st.CachedInfo(); s.name == webhooks && full(i) { // another one being full delays calls, and loses none
			return fmt.Errorf("stream %s is full (%d messages, %d bytes); raise its limits or wait for old messages to age out", name, i.State.Msgs, i.State.Bytes)
		}
	}
	return nil
}

func full(i *jetstream.StreamInfo) bool {
	c, s := i.Config, i.State
	return c.MaxMsgs > 0 && s.Msgs >= uint64(c.MaxMsgs) || c.MaxBytes > 0 && s.Bytes >= uint64(c.MaxBytes)/100*99
}

// AckWait is how long a message may be held without a sign of life.
func (b *Bus) AckWait() time.Duration { return b.ackWait }

// MaxBody is the size in bytes of the largest body that a delivery may have on this connection.
func (b *Bus) MaxBody() int64 { return b.nc.MaxPayload() - headroom }
