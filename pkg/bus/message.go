package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/pkg/trace"
)

// Headers that a message carries once a worker has scheduled or buried it.
const (
	headerAttempts   = "Onhook-Attempts"    // how many attempts have failed
	headerOrigin     = "Onhook-Origin"      // <stream>/<sequence> where it was first stored
	headerOriginTime = "Onhook-Origin-Time" // when
	headerReason     = "Onhook-Reason"      // why it is dead
	headerError      = "Onhook-Error"       // the last error
)

// Origin is where a message was first stored, however often it has been scheduled since.
type Origin struct {
	Stream string // without the installation's prefix
	Seq    uint64
	Index  int // from 1, within the envelope that the message came in; 0 when it came alone
	Time   time.Time
}

// String is the origin as STREAM/sequence, or STREAM/sequence.index.
func (o Origin) String() string {
	s := o.Stream + "/" + strconv.FormatUint(o.Seq, 10)
	if o.Index > 0 {
		s += "." + strconv.Itoa(o.Index)
	}
	return s
}

// Message is one delivery or call in the hands of one consumer. Exactly one of Ack, HandBack, Schedule and Bury ends that.
type Message struct {
	Origin Origin
	Failed int // attempts that have failed before this one

	// Trace is the traceparent for what is made of the message; empty: it is not traced. Its next copy has the one that it
	// came with, whatever this is set to meanwhile.
	Trace string

	bus      *Bus
	consumer string
	header   nats.Header
	data     []byte
	holder   holder
	id       string // stream-sequence-nanoseconds of this copy of the message: a stream that was deleted counts anew
	packed   bool   // data is an S2 block

	pending int // messages that waited behind this one when it was delivered; -1 when that is not known
}

// Names is the id that the message has among its like, and whose source it is.
func (m *Message) Names() (id, provider, source string) {
	provider, source, _ = cutSource(m.header.Get(headerSource))
	return m.header.Get(headerID), provider, source
}

// Copy tells this copy of the message from others: one that was redriven, or scheduled, comes as another.
func (m *Message) Copy() string { return m.id }

// holder is what the broker wants to hear of: a message of its own, or its part in an envelope.
type holder interface {
	Ack() error
	Nak() error
	InProgress() error
}

// newMessages makes a message of what came, or one of each delivery of an envelope.
func (b *Bus) newMessages(consumer string, raw jetstream.Msg) ([]*Message, error) {
	meta, err := raw.Metadata()
	if err != nil {
		return nil, err
	}
	m := Message{
		Origin:   Origin{Stream: strings.TrimPrefix(meta.Stream, b.prefix), Seq: meta.Sequence.Stream, Time: meta.Timestamp},
		bus:      b,
		consumer: consumer,
		Trace:    raw.Headers().Get(trace.Header),
		header:   raw.Headers(),
		data:     raw.Data(),
		holder:   raw,
		id:       fmt.Sprintf("%s-%d-%d", meta.Stream, meta.Sequence.Stream, meta.Timestamp.UnixNano()),
		pending:  -1,
	}
	if meta.NumDelivered == 1 { // what is delivered again is not among the pending
		m.pending = int(meta.NumPending)
	}
	if o, ok := originFrom(raw.Headers()); ok {
		m.Origin = o
		m.Failed, _ = strconv.Atoi(raw.Headers().Get(headerAttempts)) // absent: handed back by a person, counted anew
	}
	if m.header.Get(headerEnvelope) == envelopeVersion {
		return m.open(raw), nil
	}
	return []*Message{&m}, nil
}

func originFrom(h nats.Header) (Origin, bool) {
	stream, place, ok := strings.Cut(h.Get(headerOrigin), "/")
	seq, index, _ := strings.Cut(place, ".")
	n, err := strconv.ParseUint(seq, 10, 64)
	if !ok || err != nil {
		return Origin{}, false
	}
	at, _ := time.Parse(time.RFC3339Nano, h.Get(headerOriginTime)) // only ages are computed from it
	i, _ := strconv.Atoi(index)                                    // absent: it came alone
	return Origin{Stream: stream, Seq: n, Index: i, Time: at}, true
}

// Size is how many bytes Delivery reads.
func (m *Message) Size() int64 {
	if ref, ok := bodyRefFrom(m.header); ok {
		return ref.size
	}
	if n, err := s2.DecodedLen(m.data); m.packed && err == nil {
		return int64(n)
	}
	return int64(len(m.data))
}

// body is the message's data as it was sent. What came in an envelope is unpacked only here: a small block can hold a
// large body, and many of them are fetched at once.
func (m *Message) body() []byte {
	if !m.packed {
		return m.data
	}
	if body, err := s2.Decode(nil, m.data); err == nil {
		return body
	}
	return m.data // whose checksum was right: it was packed wrongly, and is kept as it is
}

// Delivery reads the message as a delivery. Its error says what to do with the message (package retry): what is no
// delivery never becomes one, but a body that is kept apart may be out of reach for now.
func (m *Message) Delivery(ctx context.Context) (*Delivery, error) {
	switch v := m.header.Get(headerEnvelope); v {
	case "":
	case envelopeVersion:
		return nil, retry.Never(fmt.Errorf("an envelope of version %q with %s deliveries, of which some or all cannot be read", v, m.header.Get(headerDeliveries)))
	default:
		return nil, unknownVersion(headerEnvelope, v, envelopeVersion)
	}
	if err := m.knows(typeDelivery); err != nil {
		return nil, err
	}
	d, err := deliveryFrom(m.header, m.body())
	if err != nil {
		return nil, retry.Never(err)
	}
	if ref, ok := bodyRefFrom(m.header); ok {
		if d.Body, err = m.bus.getBody(ctx, ref); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// unknownVersion is a plain error: while services are replaced one by one, another process may read what this one cannot,
// and a message that is tried again gets to it. If none does, it is dead after all attempts, and can be redriven.
func unknownVersion(what, is, reads string) error {
	return fmt.Errorf("%s is %q, and this version of onhook reads %q: upgrade this service", what, is, reads)
}

// knows looks at which kind of message this is, and of which version. One that does not say is looked at further.
func (m *Message) knows(reads string) error {
	if is := m.header.Get(headerType); is != "" && is != reads {
		return unknownVersion(headerType, is, reads)
	}
	return nil
}

// Call reads the message as a call. Its error says what to do with the message (package retry).
func (m *Message) Call() (*call.Call, error) {
	var c call.Call
	if err := m.readCall(&c, &c); err != nil {
		return nil, err
	}
	return &c, nil
}

// RawCall is Call, but reads nothing of the call's large parts: whether they are what they should be is not known yet.
func (m *Message) RawCall() (*call.Raw, error) {
	var r call.Raw
	if err := m.readCall(&r, &r.Call); err != nil {
		return nil, err
	}
	return &r, nil
}

// readCall reads the message into a value, and looks at c, the call in it.
func (m *Message) readCall(into any, c *call.Call) error {
	if err := m.knows(typeCall); err != nil {
		return err
	}
	if err := json.Unmarshal(m.data, into); err != nil {
		return retry.Never(fmt.Errorf("not a call: %w", err))
	}
	if c.Provider == "" || c.Source == "" || c.CallID == "" { // what else a broker can be made to store, such as its own answers
		return retry.Never(errors.New("not a call: it has no provider, source or call id"))
	}
	if c.Schema != call.Schema {
		return unknownVersion("the call's schema", c.Schema, call.Schema)
	}
	return nil
}

// Ack says that the message is done with.
func (m *Message) Ack() error { return m.holder.Ack() }

// HandBack gives the message to whichever worker asks next, this attempt not counted.
func (m *Message) HandBack() error { return m.holder.Nak() }

// InProgress keeps each of the messages for another AckWait. What is settled already is passed over.
func InProgress(msgs []*Message) {
	var last holder
	for _, m := range msgs {
		if m.holder != last { // the deliveries of an envelope stand together
			_ = m.holder.InProgress() // settled, or the broker is away: then it is delivered again, which is harmless
		}
		last = m.holder
	}
}

// Schedule hands the message to its consumer again at a time, with the number of attempts that have failed by now. It
// returns nil only once that is stored.
func (m *Message) Schedule(ctx context.Context, at time.Time, failed int) error {
	target := m.bus.prefix + redriveSubject(m.consumer)
	out := nats.NewMsg(m.bus.prefix + scheduleSubject(m.consumer, m.id))
	out.Data = m.body()
	out.Header = m.keep(failed)
	out.Header["Nats-Schedule"] = []string{"@at " + at.UTC().Format(time.RFC3339Nano)}
	out.Header["Nats-Schedule-Target"] = []string{target}
	if err := m.bus.publish(ctx, out, "schedule:"+m.consumer+":"+m.id); err != nil {
		return fmt.Errorf("cannot schedule %s: %w", m.Origin, err)
	}
	return m.Ack()
}

// Bury gives the message up: it goes to DEAD with the reason, and stays there until someone redrives or discards it.
// It returns nil only once that is stored.
func (m *Message) Bury(ctx context.Context, reason string, cause error, failed int) error {
	out := nats.NewMsg(m.bus.prefix + deadSubject(m.consumer))
	out.Data = m.body()
	out.Header = m.keep(failed)
	out.Header[headerReason] = []string{headerText(reason)}
	out.Header[headerError] = []string{headerText(cause.Error())}
	if ref, ok := bodyRefFrom(m.header); ok {
		kept, err := m.bus.keepBody(ctx, ref, m.id)
		if err != nil {
			return fmt.Errorf("cannot bury %s: %w", m.Origin, err)
		}
		kept.set(out.Header)
	}
	// By this copy's own place, not the origin's: redriven and dead again within the duplicate window, it must not vanish.
	if err := m.bus.publish(ctx, out, "dead:"+m.consumer+":"+m.id); err != nil {
		return fmt.Errorf("cannot bury %s: %w", m.Origin, err)
	}
	return m.Ack()
}

// keep is the message's headers for its next copy: all but the server's own.
func (m *Message) keep(failed int) nats.Header {
	h := keepHeaders(m.header)
	h[headerAttempts] = []string{strconv.Itoa(failed)}
	h[headerOrigin] = []string{m.Origin.String()}
	h[headerOriginTime] = []string{m.Origin.Time.UTC().Format(time.RFC3339Nano)}
	return h
}

func keepHeaders(from nats.Header) nats.Header {
	h := make(nats.Header, len(from)+6)
	for k, v := range from {
		if !strings.HasPrefix(k, "Nats-") {
			h[k] = v
		}
	}
	return h
}

// headerText is text as a header can hold it: on one line, and not so long that it could push a message over the limit.
func headerText(s string) string {
	s = strings.ToValidUTF8(strings.Join(strings.Fields(s), " "), "?")
	if len(s) > 2000 {
		s = strings.ToValidUTF8(s[:2000], "") + " …"
	}
	return s
}
