package bus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// committer publishes deliveries in groups. While one publish is being made durable, the deliveries that arrive wait
// together and go out next as one message, so that one fsync serves all of them; one that waits alone goes out at once
// as a plain message. One publish is in flight, and no timer delays any.
//
//	PublishDelivery ─┐                 ┌─ alone ────► webhooks.<provider>.<source>
//	PublishDelivery ─┼─► waiting ─► run┤
//	PublishDelivery ─┘                 └─ several ──► webhooks.many.<n>, an envelope
type committer struct {
	publish func(ctx context.Context, m *nats.Msg, id string) error
	prefix  string // of subjects

	mu      sync.Mutex
	waiting []*waiting
	busy    bool          // a publish is in flight
	wake    chan struct{} // holds a token while waiting is not empty and run sleeps
}

// waiting is a delivery whose publisher waits for the answer.
type waiting struct {
	ctx    context.Context
	d      *Delivery
	record []byte     // d in an envelope's form; nil where it may go out alone
	done   chan error // with room for the answer: its reader may have left
}

// commit hands d to the next group and returns when that is stored, or ctx ends.
func (c *committer) commit(ctx context.Context, d *Delivery) error {
	w := &waiting{ctx: ctx, d: d, done: make(chan error, 1)}
	c.mu.Lock()
	busy := c.busy
	c.mu.Unlock()
	if busy {
		w.record = AppendRecord(nil, d) // here, where there are many of us, and not in run, which is one
	}
	c.mu.Lock()
	c.waiting = append(c.waiting, w)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default: // run is awake, or will be
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run publishes group after group until ctx ends.
func (c *committer) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		}
		for group := c.next(); len(group) > 0; group = c.next() {
			m, id := c.message(group)
			err := c.publish(ctx, m, id)
			for _, w := range group {
				w.done <- err
			}
		}
	}
}

// next takes the deliveries of the next message, leaving out those whose publishers have left.
func (c *committer) next() []*waiting {
	c.mu.Lock()
	defer c.mu.Unlock()
	var group []*waiting
	size, taken := 0, 0
	for _, w := range c.waiting {
		grown := size + len(w.d.Body)
		if w.record != nil {
			grown = size + len(w.record)
		}
		if len(group) == maxDeliveries || len(group) > 0 && grown > maxEnvelope {
			break
		}
		taken++
		if w.ctx.Err() == nil {
			group, size = append(group, w), grown
		}
	}
	clear(c.waiting[:taken]) // or the bodies would live as long as the slice does
	c.waiting = c.waiting[taken:]
	c.busy = len(group) > 0
	return group
}

// message is the group as one message, and its id.
func (c *committer) message(group []*waiting) (*nats.Msg, string) {
	if first := group[0].d; len(group) == 1 {
		return c.plain(first), first.ID
	}
	var data []byte
	ids := make([]string, len(group))
	for i, w := range group {
		ids[i] = w.d.ID
		if w.record == nil {
			data = AppendRecord(data, w.d)
		} else {
			data = append(data, w.record...)
		}
	}
	return c.envelope(data, ids)
}

// plain is a delivery that goes alone.
func (c *committer) plain(d *Delivery) *nats.Msg {
	m := nats.NewMsg(c.prefix + deliverySubject(d.Provider, d.Source))
	m.Data = d.Body
	m.Header = d.header()
	return m
}

// envelope is the message around the records of several deliveries, and its id. The id is that of all the deliveries
// together: a delivery that is tried again in other company must not pass for the group that was stored before, or the
// company would be lost.
func (c *committer) envelope(records []byte, ids []string) (*nats.Msg, string) {
	m := nats.NewMsg(c.prefix + envelopeSubject(len(ids)))
	m.Data = records
	m.Header = nats.Header{
		headerID:          {ids[0]},
		headerSource:      {"/onhook"},
		headerType:        {typeEnvelope},
		headerSpecVersion: {specVersion},
		headerEnvelope:    {envelopeVersion},
		headerDeliveries:  {strconv.Itoa(len(ids))},
	}
	sum := sha256.Sum256([]byte(strings.Join(ids, "\n") + "\n"))
	return m, hex.EncodeToString(sum[:])
}
