package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// The streams. Their subjects are their names in lower case, then:
//
//	WEBHOOKS  webhooks.<provider>.<source>                     deliveries as sent: the source of truth
//	          webhooks.many.<n>                                n of them in an envelope, from several sources
//	CALLS     calls.<event>.<provider>.<source>.<call id>      one call per subject: the stream is the dedupe
//	REDRIVE   redrive.<consumer>.now                           for one worker, to be handled now
//	          redrive.<consumer>.at.<id>                       for one worker, scheduled for later
//	DEAD      dead.<consumer>                                  given up by a worker
//	OUTCOMES  outcomes.<sink>                                  what became of a call at a CRM sink
//	OUTAGES   outages.<consumer>                               why a worker waits, while it does
//
// and two object stores, for bodies that no message can hold; see bodies.go.
const (
	webhooks = "WEBHOOKS"
	calls    = "CALLS"
	redrive  = "REDRIVE"
	dead     = "DEAD"
	outcomes = "OUTCOMES"
	outages  = "OUTAGES"
)

// What the server and its client library call an object store's stream and subjects.
const (
	objectStream   = "OBJ_"
	objectSubjects = "$O."
)

const day = 24 * time.Hour

type stream struct {
	name    string
	subject string
	config  jetstream.StreamConfig
}

// streams is every stream. Nothing here may discard old messages for want of room: a full stream must refuse, so that
// the sender hears of it.
var streams = []stream{
	{webhooks, "webhooks.>", jetstream.StreamConfig{
		Description: "deliveries as sent, until decoded and for 14 days after",
		MaxAge:      14 * day,
		Discard:     jetstream.DiscardNew,
	}},
	{calls, "calls.>", jetstream.StreamConfig{
		Description:          "canonical calls, one per subject",
		MaxAge:               30 * day,
		MaxMsgsPerSubject:    1,
		Discard:              jetstream.DiscardNew,
		DiscardNewPerSubject: true,
		AllowDirect:          true,
		AllowAtomicPublish:   true, // a few syncs for many calls
	}},
	{redrive, "redrive.>", jetstream.StreamConfig{
		Description:       "messages for one worker each: to be tried again at a time, or handed back by a person",
		Retention:         jetstream.WorkQueuePolicy,
		AllowMsgSchedules: true, // which makes the server allow roll-ups; forbids DiscardNew; without a limit nothing is discarded
		AllowRollup:       true,
	}},
	{dead, "dead.>", jetstream.StreamConfig{
		Description: "messages that a worker gave up on, with the reason",
		MaxAge:      90 * day,
		Discard:     jetstream.DiscardNew,
	}},
	{outcomes, "outcomes.>", jetstream.StreamConfig{
		Description: "what became of each call at each CRM sink",
		MaxAge:      30 * day,
		Discard:     jetstream.DiscardNew,
	}},
	{outages, "outages.>", jetstream.StreamConfig{
		Description:       "why a worker waits; the last word of each, renewed at every look at its sink",
		MaxAge:            3 * time.Hour,
		MaxMsgsPerSubject: 1,
	}},
	{objectStream + bodies, objectSubjects + bodies + ".>", jetstream.StreamConfig{
		Description: "bodies of deliveries in WEBHOOKS that no message can hold",
		MaxAge:      15 * day,
		Discard:     jetstream.DiscardNew,
		AllowRollup: true,
		AllowDirect: true,
	}},
	{objectStream + deadBodies, objectSubjects + deadBodies + ".>", jetstream.StreamConfig{
		Description: "bodies of dead deliveries that no message can hold",
		MaxAge:      91 * day,
		Discard:     jetstream.DiscardNew,
		AllowRollup: true,
		AllowDirect: true,
	}},
}

// streamName is the installation's name for a stream of the table, or for its subjects.
func (b *Bus) streamName(name string) string {
	for _, first := range []string{objectStream, objectSubjects} {
		if rest, ok := strings.CutPrefix(name, first); ok {
			return first + b.prefix + rest
		}
	}
	return b.prefix + name
}

// Consumer names one worker's place in a stream.
type Consumer struct {
	Name   string
	stream string
	filter string
	start  Start
}

// The consumers of the pipeline.
var (
	Decoder  = Consumer{Name: "decoder", stream: webhooks, filter: "webhooks.>"}
	Storage  = Consumer{Name: "storage", stream: calls, filter: "calls.>"}
	Outcomes = Consumer{Name: "outcomes", stream: outcomes, filter: "outcomes.>"} // of the storage sink
)

// Consumers is every consumer that an installation has, in the order of the pipeline. CRM sinks have one each beside them.
var Consumers = []Consumer{Decoder, Storage, Outcomes}

// streamConfig is the stream as it should be.
func (b *Bus) streamConfig(s stream) jetstream.StreamConfig {
	cfg := s.config
	cfg.Name = b.streamName(s.name)
	cfg.Subjects = []string{b.streamName(s.subject)}
	cfg.Storage = jetstream.FileStorage
	cfg.Replicas = b.replicas
	cfg.Duplicates = duplicateWindow
	return cfg
}

// duplicateWindow is how long a stream knows a message by its id: a publish without an answer is repeated within it.
const duplicateWindow = 2 * time.Minute

// createStreams creates the streams that are not there. One that is may have an operator's own limits.
func (b *Bus) createStreams(ctx context.Context) error {
	for _, s := range streams {
		cfg := b.streamConfig(s)
		st, err := b.js.Stream(ctx, cfg.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			st, err = b.js.CreateStream(ctx, cfg)
			if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
				err = fmt.Errorf("another process is creating it: %s", err) //nolint:errorlint // passes, as this one's kind would not
			}
			if err != nil {
				return fmt.Errorf("cannot create stream %s (it needs NATS 2.15 or newer with JetStream, and %d servers for its replicas; "+
					"`onhook migrate` creates it where this process may not): %w", cfg.Name, cfg.Replicas, err)
			}
		}
		if err != nil {
			return fmt.Errorf("stream %s: %w", cfg.Name, err)
		}
		if s.name == calls {
			b.fresh.CompareAndSwap(0, st.CachedInfo().State.LastSeq+1)
		}
		if err := quorate(st.CachedInfo()); err != nil {
			return err
		}
	}
	return nil
}

// openConsumer returns the durable consumer's two places: in its own stream, and in REDRIVE.
func (b *Bus) openConsumer(ctx context.Context, c Consumer) (own, again jetstream.Consumer, err error) {
	if own, err = b.openDurable(ctx, c.stream, c.Name, c.filter, c.start); err != nil {
		return nil, nil, err
	}
	if again, err = b.openDurable(ctx, redrive, c.Name, redriveSubject(c.Name), Start{}); err != nil {
		return nil, nil, err
	}
	return own, again, nil
}

// openDurable returns a durable consumer, and makes it first where it is not there, or not as it should be.
func (b *Bus) openDurable(ctx context.Context, stream, name, filter string, start Start) (jetstream.Consumer, error) {
	cfg := jetstream.ConsumerConfig{
		Durable:       name,
		FilterSubject: b.prefix + filter,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       b.ackWait, // by it workers know how often to show that they live
		MaxDeliver:    -1,        // attempts are counted by the worker
		MaxAckPending: 16384,
	}
	there, err := b.js.Consumer(ctx, b.prefix+stream, name)
	switch {
	case err == nil:
		is := there.CachedInfo().Config
		if is.FilterSubject == cfg.FilterSubject && is.AckPolicy == cfg.AckPolicy && is.AckWait == cfg.AckWait && is.MaxDeliver == cfg.MaxDeliver && is.MaxAckPending == cfg.MaxAckPending {
			return there, nil
		}
		cfg.DeliverPolicy, cfg.OptStartTime, cfg.OptStartSeq = is.DeliverPolicy, is.OptStartTime, is.OptStartSeq // cannot be changed
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		start.apply(&cfg, b.fresh.Load())
	default:
		return nil, fmt.Errorf("cannot look for consumer %s of stream %s: %w", name, b.prefix+stream, err)
	}
	c, err := b.js.CreateOrUpdateConsumer(ctx, b.prefix+stream, cfg)
	if err != nil && there == nil { // another process may have made it meanwhile, which saw the stream at another time
		if c, rerr := b.js.Consumer(ctx, b.prefix+stream, name); rerr == nil {
			return c, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make consumer %s of stream %s (`onhook migrate` does where this process may not): %w", name, b.prefix+stream, err)
	}
	return c, nil
}

func redriveSubject(consumer string) string          { return "redrive." + consumer + ".now" }
func scheduleSubject(consumer, id string) string     { return "redrive." + consumer + ".at." + id }
func redriveSubjects(consumer string) string         { return "redrive." + consumer + ".>" }
func deadSubject(consumer string) string             { return "dead." + consumer }
func outcomeSubject(sink string) string              { return "outcomes." + sink }
func outageSubject(consumer string) string           { return "outages." + consumer }
func deliverySubject(provider, source string) string { return "webhooks." + provider + "." + source }

// envelopeSubjects is every envelope's.
const envelopeSubjects = "webhooks.many.*"

// envelopeSubject is where envelopes of n deliveries go: they mix sources, and the server counts messages by subject.
func envelopeSubject(n int) string { return "webhooks.many." + strconv.Itoa(n) }
