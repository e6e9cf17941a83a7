package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// patience is how long one request for a first message stays open at the server.
const patience = 5 * time.Second

// blink is how long the messages that are known to be there may take to come. Another worker may have got them, and a call
// is late by what is waited in vain.
const blink = 5 * time.Millisecond

// batchBytes bounds what comes after a batch's first message. The server cuts off a client for which it must hold too much.
const batchBytes = 8 << 20

// Inbox is one place that a consumer's messages come from: its stream, or what was scheduled or handed back for it.
type Inbox struct {
	bus      *Bus
	consumer Consumer
	from     jetstream.Consumer
}

// Open returns c's two inboxes, making the durable consumers that do not exist yet. It waits for the streams, which
// Prepare or Run make.
func (b *Bus) Open(ctx context.Context, c Consumer) (own, again *Inbox, err error) {
	select {
	case <-b.prepared:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	var o, a jetstream.Consumer
	if err := b.persist(ctx, "consumer "+c.Name, func(ctx context.Context) (err error) {
		o, a, err = b.openConsumer(ctx, c)
		return err
	}); err != nil {
		return nil, nil, err
	}
	return &Inbox{bus: b, consumer: c, from: o}, &Inbox{bus: b, consumer: c, from: a}, nil
}

// Fetch waits for a message and returns it with those that are there too or follow within linger, about n of them, and
// fewer when they are large: an envelope is not divided. It returns none when ctx ends or nothing came for a few seconds. An error that ErrGone is
// not part of passes: the broker is away for now.
func (in *Inbox) Fetch(ctx context.Context, n int, linger time.Duration) ([]*Message, error) {
	pctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	batch, err := in.from.Fetch(1, jetstream.FetchContext(pctx))
	msgs, err := in.collect(nil, batch, err)
	if err != nil || len(msgs) == 0 {
		return msgs, err
	}
	if linger == 0 {
		if p := msgs[0].pending; p >= 0 {
			n = min(n, len(msgs)+p)
		}
		linger = blink
	}
	if n -= len(msgs); n <= 0 {
		return msgs, nil
	}
	wait := jetstream.FetchMaxWait(linger)
	if linger > time.Second {
		// Shutdown need not wait for it. The price: what is on its way just then comes again only after the AckWait.
		lctx, cancel := context.WithTimeout(ctx, linger)
		defer cancel()
		wait = jetstream.FetchContext(lctx)
	}
	batch, err = in.from.Fetch(n, wait, jetstream.FetchMaxBytes(batchBytes))
	return in.collect(msgs, batch, err)
}

// ErrGone says that no waiting brings the messages: the stream or the consumer was deleted, or the connection closed.
var ErrGone = errors.New("the stream, the consumer or the connection is gone for good")

func (in *Inbox) collect(msgs []*Message, batch jetstream.MessageBatch, err error) ([]*Message, error) {
	if err != nil {
		return msgs, in.fetchError(err)
	}
	for raw := range batch.Messages() {
		more, err := in.bus.newMessages(in.consumer.Name, raw)
		if err != nil {
			return msgs, fmt.Errorf("consumer %s: %w", in.consumer.Name, err)
		}
		msgs = append(msgs, more...)
	}
	return msgs, in.fetchError(batch.Error())
}

func (in *Inbox) fetchError(err error) error {
	if err == nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.Is(err, nats.ErrTimeout) ||
		errors.Is(err, jetstream.ErrBatchCompleted) { // which a new leader says of what the old one has sent
		return nil
	}
	if !isGone(err) && !in.bus.nc.IsClosed() {
		// A consumer that was deleted between two fetches does not answer, just as a broker in an election.
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, ierr := in.from.Info(ctx); !isGone(ierr) {
			return fmt.Errorf("consumer %s: %w", in.consumer.Name, err)
		}
	}
	return fmt.Errorf("consumer %s: %w: %w", in.consumer.Name, ErrGone, err)
}

func isGone(err error) bool {
	return errors.Is(err, jetstream.ErrConsumerDeleted) || errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound)
}

// DeleteConsumer deletes c and its place in the stream: opened again, it starts from the stream's first message.
func (b *Bus) DeleteConsumer(ctx context.Context, c Consumer) error {
	return errors.Join(
		b.js.DeleteConsumer(ctx, b.prefix+c.stream, c.Name),
		b.js.DeleteConsumer(ctx, b.prefix+redrive, c.Name),
	)
}
