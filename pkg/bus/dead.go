package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Dead is a message that a worker gave up on.
type Dead struct {
	Seq      uint64    `json:"seq"`
	Consumer string    `json:"consumer"`
	Reason   string    `json:"reason"`
	Error    string    `json:"error"`
	Attempts int       `json:"attempts"`
	Origin   string    `json:"origin"` // STREAM/sequence
	Provider string    `json:"provider,omitempty"`
	Source   string    `json:"source,omitempty"`
	Size     int       `json:"size"` // bytes
	Time     time.Time `json:"time"`
	Body     []byte    `json:"-"`
}

// ErrNotFound says that there is no such dead message.
var ErrNotFound = errors.New("no such dead message")

// ListDead returns up to limit dead messages from sequence from on, oldest first, of one consumer or, with an empty
// name, of all.
func (b *Bus) ListDead(ctx context.Context, consumer string, from uint64, limit int) ([]Dead, error) {
	st, err := b.js.Stream(ctx, b.prefix+dead)
	if err != nil {
		return nil, err
	}
	found := []Dead{}
	for seq := max(from, 1); len(found) < limit; {
		raw, err := nextDead(ctx, st, b.deadSubjects(consumer), seq)
		if errors.Is(err, ErrNotFound) {
			break
		}
		if err != nil {
			return nil, err
		}
		found = append(found, b.deadFrom(raw))
		seq = raw.Sequence + 1
	}
	return found, nil
}

// GetDead returns one dead message with its body.
func (b *Bus) GetDead(ctx context.Context, seq uint64) (Dead, error) {
	raw, err := b.rawDead(ctx, seq)
	if err != nil {
		return Dead{}, err
	}
	d := b.deadFrom(raw)
	d.Body = raw.Data
	if ref, ok := bodyRefFrom(raw.Header); ok {
		d.Body, err = b.getBody(ctx, ref)
	}
	return d, err
}

// RedriveDead hands one dead message back to the worker that gave it up, its attempts counted anew.
func (b *Bus) RedriveDead(ctx context.Context, seq uint64) error {
	raw, err := b.rawDead(ctx, seq)
	if err != nil {
		return err
	}
	m := nats.NewMsg(b.prefix + redriveSubject(b.deadFrom(raw).Consumer))
	m.Data = raw.Data
	m.Header = keepHeaders(raw.Header)
	m.Header.Del(headerAttempts)
	m.Header.Del(headerReason)
	m.Header.Del(headerError)
	if err := b.publish(ctx, m, "redrive:"+strconv.FormatUint(seq, 10)); err != nil {
		return fmt.Errorf("cannot redrive %d: %w", seq, err)
	}
	return b.deleteDead(ctx, seq)
}

// DiscardDead deletes one dead message for good.
func (b *Bus) DiscardDead(ctx context.Context, seq uint64) error {
	raw, err := b.rawDead(ctx, seq)
	if err != nil {
		return err
	}
	if ref, ok := bodyRefFrom(raw.Header); ok {
		if err := b.dropBody(ctx, ref); err != nil {
			return err
		}
	}
	return b.deleteDead(ctx, seq)
}

func (b *Bus) deleteDead(ctx context.Context, seq uint64) error {
	st, err := b.js.Stream(ctx, b.prefix+dead)
	if err != nil {
		return err
	}
	// Overwritten, not only left out: somebody may have asked to be forgotten.
	if err := st.SecureDeleteMsg(ctx, seq); errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		return fmt.Errorf("%w: %d", ErrNotFound, seq)
	} else if err != nil {
		return err
	}
	return nil
}

// LastDead is the sequence of the newest dead message there was, or 0.
func (b *Bus) LastDead(ctx context.Context) (uint64, error) {
	st, err := b.js.Stream(ctx, b.prefix+dead)
	if err != nil {
		return 0, err
	}
	return st.CachedInfo().State.LastSeq, nil
}

func (b *Bus) deadSubjects(consumer string) string {
	if consumer == "" {
		consumer = ">"
	}
	return b.prefix + deadSubject(consumer)
}

func nextDead(ctx context.Context, st jetstream.Stream, subject string, seq uint64) (*jetstream.RawStreamMsg, error) {
	raw, err := st.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subject))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, ErrNotFound
	}
	return raw, err
}

func (b *Bus) rawDead(ctx context.Context, seq uint64) (*jetstream.RawStreamMsg, error) {
	st, err := b.js.Stream(ctx, b.prefix+dead)
	if err != nil {
		return nil, err
	}
	raw, err := st.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, fmt.Errorf("%w: %d", ErrNotFound, seq)
	}
	return raw, err
}

func (b *Bus) deadFrom(raw *jetstream.RawStreamMsg) Dead {
	attempts, _ := strconv.Atoi(raw.Header.Get(headerAttempts)) // written by Bury
	provider, source, _ := cutSource(raw.Header.Get(headerSource))
	size := len(raw.Data)
	if ref, ok := bodyRefFrom(raw.Header); ok {
		size = int(ref.size)
	}
	return Dead{
		Seq:      raw.Sequence,
		Consumer: raw.Subject[len(b.prefix)+len(deadSubject("")):],
		Reason:   raw.Header.Get(headerReason),
		Error:    raw.Header.Get(headerError),
		Attempts: attempts,
		Origin:   raw.Header.Get(headerOrigin),
		Provider: provider,
		Source:   source,
		Size:     size,
		Time:     raw.Time,
	}
}
