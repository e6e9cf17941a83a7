package bus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// committer publishes deliveries in groups. While one publish is being made durable, the deliveries that arrive wait
// together and go out next as one message, so that one fsync serves all of them; one that waits alone goes out at once
// as a plain message. One publish is in flight, and no timer delays any.
//
// More than the broker stores is refused as it arrives: what would wait for longer than its sender does is not only lost
// to that sender, but keeps the broker from what could still be answered in time.
//
//	PublishDelivery ─┐                 ┌─ alone ────► webhooks.<provider>.<source>
//	PublishDelivery ─┼─► waiting ─► run┤
//	PublishDelivery ─┘                 └─ several ──► webhooks.many.<n>, an envelope
type committer struct {
	publish func(ctx context.Context, m *nats.Msg, id string) error
	prefix  string // of subjects

	mu      sync.Mutex
	waiting []*waiting
	bytes   int           // of all that wait
	usual   time.Duration // from one message to the next of late, of those that succeed: an election says nothing of the time after it
	failing bool          // the last publish failed: what waits then waits for the broker to be back
	busy    bool          // a publish is in flight
	wake    chan struct{} // holds a token while waiting is not empty and run sleeps

	records []byte    // memory of the last envelope, for the next: the client copies what it publishes
	spare   sync.Pool // of *waiting, each with its channel and the memory of its record
}

// spareRecord bounds the memory of a record that is kept for the next.
const spareRecord = 64 << 10

// ErrOverload says that a delivery is refused because those before it take all the time that it has.
var ErrOverload = errors.New("more deliveries arrive than the broker can store in time")

// waiting is a delivery whose publisher waits for the answer.
type waiting struct {
	ctx    context.Context
	d      *Delivery
	since  time.Time
	until  time.Time  // when the publisher leaves; zero: it does not
	record []byte     // d in an envelope's form; empty where it may go out alone
	done   chan error // with room for the answer: its reader may have left
}

// commit hands d to the next group and returns when that is stored, or ctx ends.
func (c *committer) commit(ctx context.Context, d *Delivery) error {
	w := c.newWaiting(ctx, d)
	c.mu.Lock()
	busy, wait := c.busy, c.wait(w.since)
	c.mu.Unlock()
	if w.gone(w.since.Add(2 * wait)) {
		return ErrOverload
	}
	if busy {
		w.record = AppendRecord(w.record, d) // here, where there are many of us, and not in run, which is one
	}
	c.mu.Lock()
	c.waiting = append(c.waiting, w)
	c.bytes += w.size()
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default: // run is awake, or will be
	}
	select {
	case err := <-w.done:
		c.keep(w)
		return err
	case <-ctx.Done(): // w is not ours to keep: run may be reading it
		return ctx.Err()
	}
}

func (c *committer) newWaiting(ctx context.Context, d *Delivery) *waiting {
	w, ok := c.spare.Get().(*waiting)
	if !ok {
		w = &waiting{done: make(chan error, 1)}
	}
	w.ctx, w.d, w.since = ctx, d, time.Now()
	w.until, _ = ctx.Deadline()
	return w
}

// keep takes back a w that was answered, which run does not touch any more.
func (c *committer) keep(w *waiting) {
	if cap(w.record) > spareRecord {
		w.record = nil
	}
	w.ctx, w.d, w.record = nil, nil, w.record[:0]
	c.spare.Put(w)
}

// run publishes group after group until ctx ends.
func (c *committer) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		}
		began := time.Now()
		for group := c.next(); len(group) > 0; group = c.next() {
			m, id := c.message(group)
			err := c.publish(ctx, m, id)
			now := time.Now()
			c.learn(now.Sub(began), err)
			began = now
			for _, w := range group {
				w.done <- err
			}
		}
	}
}

// wait is about how long a delivery that came now would take to be stored, and not less than the oldest has waited. It is 0
// for one that is alone: something must be tried, or it would never be seen that the broker is fast again. The caller
// holds mu.
func (c *committer) wait(now time.Time) time.Duration {
	if !c.busy && len(c.waiting) == 0 {
		return 0
	}
	groups := 2 + max(len(c.waiting)/maxDeliveries, c.bytes/maxEnvelope) // the one in flight, and its own
	wait := time.Duration(groups) * c.usual
	if len(c.waiting) > 0 && !c.failing {
		wait = max(wait, now.Sub(c.waiting[0].since))
	}
	return wait
}

// learn takes over what became of a publish, and how long it took since the one before.
func (c *committer) learn(took time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failing = err != nil; !c.failing {
		c.usual += (took - c.usual) / 4
	}
}

// gone reports that the publisher will have left at t.
func (w *waiting) gone(t time.Time) bool { return !w.until.IsZero() && t.After(w.until) }

// size is what w adds to a message, in bytes.
func (w *waiting) size() int {
	if len(w.record) > 0 {
		return len(w.record)
	}
	return len(w.d.Body)
}

// next takes the deliveries of the next message, leaving out those whose publishers have left or will have by the time
// that it is stored.
func (c *committer) next() []*waiting {
	c.mu.Lock()
	defer c.mu.Unlock()
	var group []*waiting
	size, taken := 0, 0
	stored := time.Now().Add(c.usual)
	for _, w := range c.waiting {
		grown := size + w.size()
		if len(group) == maxDeliveries || len(group) > 0 && grown > maxEnvelope {
			break
		}
		taken++
		c.bytes -= w.size()
		if w.ctx.Err() == nil && (len(group) == 0 || !w.gone(stored)) {
			group, size = append(group, w), grown
		} else {
			w.done <- ErrOverload
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
	size := 0
	for _, w := range group {
		size += recordRoom + w.size()
	}
	data := slices.Grow(c.records[:0], size)
	ids := make([]string, len(group))
	for i, w := range group {
		ids[i] = w.d.ID
		if len(w.record) == 0 {
			data = AppendRecord(data, w.d)
		} else {
			data = append(data, w.record...)
		}
	}
	if cap(data) <= 2*maxEnvelope {
		c.records = data
	}
	m, id := c.envelope(data, ids)
	addTraces(m.Header, group)
	return m, id
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
