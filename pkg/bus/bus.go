// Package bus is onhook's streams: it publishes deliveries and calls, and hands them to consumers. Its callers never
// see a broker type. Every stream, subject and consumer stands in topology.go.
package bus

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/pkg/tlsfile"
)

// headroom is what a message may grow by after its body was accepted: our headers, and those that a worker adds when
// it schedules or buries the message. Without it a delivery just below the limit could be taken but never buried.
const headroom = 64 << 10

// maxInFlight is how many calls may wait for their PubAcks at once: more than all of a worker's loops can hold, as the
// client would stall each further one.
const maxInFlight = 32768

// publishTimeout is how long a call may wait for its PubAck.
const publishTimeout = 20 * time.Second

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
	NkeyFile  string `yaml:"nkey_file"`  // the seed of a NATS user's key
	TLS       TLS    `yaml:"tls"`
	Replicas  int    `yaml:"replicas"` // of each stream: 1, or 3 in a cluster
	Prefix    string `yaml:"prefix"`   // put before every stream and subject, so that installations can share a server

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

// TLS is key tls of section nats: given, no connection is made without it.
type TLS struct {
	CAFile         string           `yaml:"ca_file"` // of the authorities that the servers' certificates are from; the system's if not given
	tlsfile.Config `yaml:",inline"` // a client certificate, for servers that want one
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
	if c.TLS.CAFile != "" {
		_, err := tlsfile.Roots(c.TLS.CAFile)
		errs = append(errs, config.At(err, "tls", "ca_file"))
	}
	errs = append(errs, config.At(c.TLS.Validate(), "tls"))
	if c.CredsFile != "" && c.NkeyFile != "" {
		bad("nkey_file", "a connection has one identity; give nkey_file or creds_file, not both")
	}
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
	fresh    atomic.Uint64 // the first sequence of CALLS that was not there when this process first saw the stream; 0 until then

	durability string
	monitorURL string
	embedded   bool

	prepared chan struct{}         // closed once every stream exists
	once     sync.Once             // closes it
	trouble  atomic.Pointer[error] // why Prepare or Open still waits
	undialed atomic.Pointer[error] // why the last attempt to connect failed

	failure   atomic.Pointer[failure] // of the last delivery, unless that was stored
	committer committer
	stop      context.CancelFunc // of the committer
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
	if !b.isPrepared() {
		return b.notPrepared()
	}
	if !b.nc.IsConnected() {
		return b.disconnected()
	}
	if f := b.failure.Load(); f != nil && time.Since(f.at) < remembered {
		return fmt.Errorf("the last delivery could not be stored: %w", f.err)
	}
	for _, s := range streams {
		name := b.streamName(s.name)
		st, err := b.js.Stream(ctx, name)
		if err != nil {
			return fmt.Errorf("stream %s: %w", name, err)
		}
		i := st.CachedInfo()
		if err := quorate(i); err != nil {
			return err
		}
		if s.name == webhooks && full(i) { // another one being full delays calls, and loses none
			return fmt.Errorf("stream %s is full (%d messages, %d bytes); raise its limits or wait for old messages to age out", name, i.State.Msgs, i.State.Bytes)
		}
	}
	return nil
}

// quorate says why a stream can store nothing, although somebody answers for it, or nil. A leader that has lost the
// others answers for some ten seconds as if nothing were wrong, and after that as one server among others.
func quorate(i *jetstream.StreamInfo) error {
	if i.Cluster == nil {
		return nil // a single server
	}
	if i.Cluster.Leader == "" {
		return fmt.Errorf("stream %s has no leader; an election takes seconds, or too few of its servers are there", i.Config.Name)
	}
	there := 1 // the leader, which is not among the replicas
	for _, r := range i.Cluster.Replicas {
		if !r.Offline {
			there++
		}
	}
	if all := len(i.Cluster.Replicas) + 1; there <= all/2 {
		return fmt.Errorf("stream %s has %d of its %d servers, too few to store anything; start the others", i.Config.Name, there, all)
	}
	return nil
}

func full(i *jetstream.StreamInfo) bool {
	c, s := i.Config, i.State
	return c.MaxMsgs > 0 && s.Msgs >= uint64(c.MaxMsgs) || c.MaxBytes > 0 && s.Bytes >= uint64(c.MaxBytes)/100*99
}

// AckWait is how long a message may be held without a sign of life.
func (b *Bus) AckWait() time.Duration { return b.ackWait }
