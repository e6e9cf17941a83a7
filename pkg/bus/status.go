package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// StreamStatus is what a stream holds just now.
type StreamStatus struct {
	Name     string `json:"name"`
	Messages uint64 `json:"messages"` // deliveries, in WEBHOOKS, however many share an envelope
	Bytes    uint64 `json:"bytes"`
	Replicas int    `json:"replicas"`

	Differences []Difference `json:"differences"` // from the table
}

// ConsumerStatus is how far behind a consumer is.
type ConsumerStatus struct {
	Name          string  `json:"name"`
	Stream        string  `json:"stream"`
	Pending       uint64  `json:"pending"`        // all that is not settled: waiting, in hand, and scheduled for later
	InHand        uint64  `json:"in_hand"`        // held by a worker
	Scheduled     uint64  `json:"scheduled"`      // of these, waiting for their time
	OldestSeconds float64 `json:"oldest_seconds"` // age of the oldest of these; 0 when there is none
	Dead          uint64  `json:"dead"`
	Outage        *Outage `json:"outage,omitempty"` // why its worker waits
}

// Streams reports on every stream.
func (b *Bus) Streams(ctx context.Context) ([]StreamStatus, error) {
	var all []StreamStatus
	for _, s := range streams {
		st, err := b.js.Stream(ctx, b.streamName(s.name))
		if err != nil {
			return nil, fmt.Errorf("stream %s: %w", b.streamName(s.name), err)
		}
		i := st.CachedInfo()
		status := StreamStatus{Name: i.Config.Name, Messages: i.State.Msgs, Bytes: i.State.Bytes, Replicas: i.Config.Replicas}
		if status.Differences, err = compare(i.Config, b.streamConfig(s)); err != nil {
			return nil, err
		}
		if s.name == webhooks {
			envelopes, err := countSubjects(ctx, st, b.prefix+envelopeSubjects)
			if err != nil {
				return nil, err
			}
			for subject, n := range envelopes {
				status.Messages += n * (deliveriesOf(subject) - 1)
			}
		}
		all = append(all, status)
	}
	return all, nil
}

// Status reports on one consumer. A consumer that was never opened has its whole stream before it, unless it starts with
// new messages.
//
// A failed message goes from the consumer's stream to REDRIVE and is acknowledged only then, so the two are read in
// that order, and REDRIVE at once: nothing is missed on its way.
func (b *Bus) Status(ctx context.Context, c Consumer) (ConsumerStatus, error) {
	s := ConsumerStatus{Name: c.Name, Stream: b.prefix + c.stream}
	own, err := b.js.Stream(ctx, b.prefix+c.stream)
	if err != nil {
		return s, fmt.Errorf("stream %s: %w", b.prefix+c.stream, err)
	}
	floor, delivered, err := b.addPending(ctx, &s, own, c)
	if err != nil {
		return s, err
	}
	if c.stream == webhooks && s.Pending > 0 {
		inHand, waiting, err := moreOfEnvelopes(ctx, own, b.prefix+envelopeSubjects, floor, delivered, s.InHand)
		if err != nil {
			return s, err
		}
		s.InHand += inHand
		s.Pending += inHand + waiting
	}
	again, err := b.js.Stream(ctx, b.prefix+redrive)
	if err != nil {
		return s, fmt.Errorf("stream %s: %w", b.prefix+redrive, err)
	}
	var redriven ConsumerStatus // its pending stands in the work queue's subjects too
	if _, _, err := b.addPending(ctx, &redriven, again, Consumer{Name: c.Name}); err != nil {
		return s, err
	}
	s.InHand += redriven.InHand
	waiting, err := countSubjects(ctx, again, b.prefix+redriveSubjects(c.Name))
	if err != nil {
		return s, err
	}
	now := waiting[b.prefix+redriveSubject(c.Name)]
	for _, n := range waiting {
		s.Pending += n
		s.Scheduled += n
	}
	s.Scheduled -= now
	at, found, err := oldest(ctx, place{own, b.prefix + c.filter, floor}, place{again, b.prefix + redriveSubjects(c.Name), 0})
	if err != nil {
		return s, err
	}
	if found {
		s.OldestSeconds = max(0, time.Since(at).Seconds()) // by two clocks
		s.Pending = max(s.Pending, 1)                      // the server counts a message only a moment after it has stored it
	}
	buried, err := b.js.Stream(ctx, b.prefix+dead)
	if err != nil {
		return s, fmt.Errorf("stream %s: %w", b.prefix+dead, err)
	}
	gone, err := countSubjects(ctx, buried, b.prefix+deadSubject(c.Name))
	if err != nil {
		return s, err
	}
	s.Dead = gone[b.prefix+deadSubject(c.Name)]
	s.Outage, _, err = b.outageOf(ctx, c)
	return s, err
}

// addPending adds what the durable consumer c of st has before it, and returns the sequences up to which all is settled, and
// up to which all was delivered.
func (b *Bus) addPending(ctx context.Context, s *ConsumerStatus, st jetstream.Stream, c Consumer) (floor, delivered uint64, err error) {
	con, err := st.Consumer(ctx, c.Name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		if c.start.new {
			last := st.CachedInfo().State.LastSeq
			return last, last, nil
		}
		s.Pending += st.CachedInfo().State.Msgs
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("consumer %s: %w", c.Name, err)
	}
	i := con.CachedInfo()
	s.InHand += uint64(i.NumAckPending)
	s.Pending += i.NumPending + uint64(i.NumAckPending)
	if i.NumPending == 0 && i.NumAckPending == 0 {
		return i.Delivered.Stream, i.Delivered.Stream, nil
	}
	return i.AckFloor.Stream, i.Delivered.Stream, nil
}

// place is where messages wait: those of a stream's subject after a sequence.
type place struct {
	stream  jetstream.Stream
	subject string
	after   uint64
}

// oldest is when the oldest message in any of the places was first stored.
func oldest(ctx context.Context, places ...place) (first time.Time, found bool, err error) {
	for _, p := range places {
		raw, err := p.stream.GetMsg(ctx, p.after+1, jetstream.WithGetMsgSubject(p.subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return first, found, err
		}
		at := raw.Time
		if o, ok := originFrom(raw.Header); ok {
			at = o.Time
		}
		if !found || at.Before(first) {
			first, found = at, true
		}
	}
	return first, found, nil
}

func countSubjects(ctx context.Context, st jetstream.Stream, subjects string) (map[string]uint64, error) {
	i, err := st.Info(ctx, jetstream.WithSubjectFilter(subjects))
	if err != nil {
		return nil, err
	}
	return i.State.Subjects, nil
}
