package bus

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/onhook/onhook/pkg/call"
)

// crmPrefix begins the name of every CRM sink's consumer.
const crmPrefix = "crm-"

// CRM is the consumer of the CRM sink that the configuration calls name. Where it does not exist yet, it starts as StartNew
// says; see From.
func CRM(name string) Consumer {
	return Consumer{Name: crmPrefix + name, stream: calls, filter: "calls.>", start: Start{new: true}}
}

// IsCRM reports whether c is the consumer of a CRM sink, and of which.
func (c Consumer) IsCRM() (sink string, ok bool) { return strings.CutPrefix(c.Name, crmPrefix) }

// From is c with another start.
func (c Consumer) From(s Start) Consumer {
	c.start = s
	return c
}

var crmName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)

// CheckCRMName says why a sink cannot have the name: it becomes a part of subjects and of a consumer's name.
func CheckCRMName(name string) error {
	if !crmName.MatchString(name) {
		return errors.New("a sink's name is of small letters, digits and -, 64 at most, and does not begin with -")
	}
	return nil
}

// Start is where in its stream a consumer begins that does not exist yet. One that exists goes on where it is. The zero
// Start is the stream's first message.
type Start struct {
	new bool
	at  time.Time
}

// The starts that are words.
const (
	startNew       = "new"
	startBeginning = "beginning"
)

// StartNew is with what was not there yet when the process that makes the consumer first saw the stream: in a process with
// ingress and decoder, no call that it takes is left out, however much later the consumer is made.
func StartNew() Start { return Start{new: true} }

// UnmarshalText reads new, beginning or an RFC 3339 time.
func (s *Start) UnmarshalText(text []byte) error {
	switch word := string(text); word {
	case startNew:
		*s = Start{new: true}
	case startBeginning:
		*s = Start{}
	default:
		at, err := time.Parse(time.RFC3339, word)
		if err != nil {
			return errors.New("want new, beginning, or a time such as 2026-01-31T15:04:05Z")
		}
		*s = Start{at: at}
	}
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (s Start) MarshalText() ([]byte, error) {
	switch {
	case s.new:
		return []byte(startNew), nil
	case s.at.IsZero():
		return []byte(startBeginning), nil
	default:
		return s.at.AppendFormat(nil, time.RFC3339), nil
	}
}

// apply makes a new consumer begin at s. What is new begins with the sequence fresh.
func (s Start) apply(cfg *jetstream.ConsumerConfig, fresh uint64) {
	switch {
	case s.new:
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, fresh
	case !s.at.IsZero():
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &s.at
	}
}

// Orphans are the CRM sinks that have a consumer but are not among the configured, in alphabetical order. Calls wait for
// them, and will until RemoveCRM.
func (b *Bus) Orphans(ctx context.Context, configured []string) ([]string, error) {
	orphans := []string{}
	for _, stream := range []string{calls, redrive} {
		st, err := b.js.Stream(ctx, b.prefix+stream)
		if err != nil {
			return nil, fmt.Errorf("stream %s: %w", b.prefix+stream, err)
		}
		names := st.ConsumerNames(ctx)
		for name := range names.Name() {
			if sink, ok := strings.CutPrefix(name, crmPrefix); ok && !slices.Contains(configured, sink) {
				orphans = append(orphans, sink)
			}
		}
		if err := names.Err(); err != nil {
			return nil, fmt.Errorf("consumers of %s: %w", b.prefix+stream, err)
		}
	}
	slices.Sort(orphans)
	return slices.Compact(orphans), nil
}

// ErrNoConsumer says that a sink has no consumer.
var ErrNoConsumer = errors.New("there is no such consumer")

// ErrInUse says that a worker is fetching from a consumer.
var ErrInUse = errors.New("a worker is running over it; stop that first")

// ErrMaybeInUse says that a worker may run over a consumer that does not fetch just now: it holds messages, or has said
// lately that it waits for its sink. One that was killed leaves the same behind.
var ErrMaybeInUse = errors.New("a worker seems to hold calls of it, or to wait for its sink; stop it, and where none runs any more use --force")

// RemoveCRM deletes the consumer of a CRM sink, with its place among the calls and what waits for another attempt. Its
// dead messages stay. It returns how many calls were not settled. It fails with ErrInUse where a worker runs over it, and
// unless forced with ErrMaybeInUse where one may.
func (b *Bus) RemoveCRM(ctx context.Context, name string, force bool) (unsettled uint64, err error) {
	c := CRM(name)
	s, err := b.Status(ctx, c)
	if err != nil {
		return 0, err
	}
	again, err := b.js.Stream(ctx, b.prefix+redrive)
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", b.prefix+redrive, err)
	}
	if err := b.inUse(ctx, c, force); err != nil {
		return 0, fmt.Errorf("consumer %s: %w", c.Name, err)
	}
	found := false
	for _, stream := range []string{calls, redrive} {
		switch err := b.js.DeleteConsumer(ctx, b.prefix+stream, c.Name); {
		case err == nil:
			found = true
		case !errors.Is(err, jetstream.ErrConsumerNotFound):
			return 0, fmt.Errorf("cannot delete consumer %s of stream %s: %w", c.Name, b.prefix+stream, err)
		}
	}
	if !found {
		return 0, fmt.Errorf("%w: %s", ErrNoConsumer, c.Name)
	}
	if err := again.Purge(ctx, jetstream.WithPurgeSubject(b.prefix+redriveSubjects(c.Name))); err != nil {
		return 0, fmt.Errorf("cannot delete what waits in %s for %s: %w", b.prefix+redrive, c.Name, err)
	}
	return s.Pending, b.SetOutage(ctx, c, nil)
}

// inUse says why c must not be deleted: with force, only what is certain.
func (b *Bus) inUse(ctx context.Context, c Consumer, force bool) error {
	held := 0
	for _, stream := range []string{calls, redrive} {
		there, err := b.js.Consumer(ctx, b.prefix+stream, c.Name)
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		info := there.CachedInfo()
		if info.NumWaiting > 0 {
			return ErrInUse
		}
		held += info.NumAckPending
	}
	if force {
		return nil
	}
	_, said, err := b.outageOf(ctx, c)
	if err != nil {
		return err
	}
	if held > 0 || time.Since(said) < 3*OutageRenewal {
		return ErrMaybeInUse
	}
	return nil
}

// CallPublished is when a call went into the stream, if it is still there.
func (b *Bus) CallPublished(ctx context.Context, c *call.Call) (at time.Time, found bool, err error) {
	st, err := b.js.Stream(ctx, b.prefix+calls)
	if err != nil {
		return at, false, fmt.Errorf("stream %s: %w", b.prefix+calls, err)
	}
	raw, err := st.GetLastMsgForSubject(ctx, b.prefix+callSubject(c))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return at, false, nil
	}
	if err != nil {
		return at, false, err
	}
	return raw.Time, true, nil
}
