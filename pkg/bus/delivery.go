package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/trace"
)

// Delivery is one HTTP request that we acknowledge, kept byte for byte.
type Delivery struct {
	ID          string // UUIDv7
	Provider    string
	Source      string
	ReceivedAt  time.Time
	Auth        call.Auth
	ContentType string
	UserAgent   string
	Trace       string // the traceparent of what became of it so far; empty: it is not traced. The spool does not keep it
	Body        []byte
}

// The headers around a delivery's body: CloudEvents in binary mode, and what CloudEvents has no word for. NATS headers
// are case-sensitive; these are written so and read so.
const (
	headerID          = "ce-id"
	headerSource      = "ce-source" // /<provider>/<source>
	headerType        = "ce-type"
	headerSpecVersion = "ce-specversion"
	headerTime        = "ce-time"
	headerContentType = "ce-datacontenttype"
	headerAuth        = "Onhook-Auth"
	headerUserAgent   = "Onhook-User-Agent"

	headerEnvelope   = "Onhook-Envelope"   // the version of the envelope; absent on a plain message
	headerDeliveries = "Onhook-Deliveries" // how many an envelope holds
	headerTraces     = "Onhook-Traces"     // of its deliveries that are traced, "<delivery id> <traceparent>", separated by commas

	typeDelivery = "onhook.webhook.received.v1"
	typeEnvelope = "onhook.webhook.envelope.v1"
	typeCall     = "onhook.call.v1"
	specVersion  = "1.0"
)

// ErrFull says that a stream refuses messages because it is at its size limit.
var ErrFull = errors.New("the stream is full")

// ErrTooLarge says that the broker takes no message of this size.
var ErrTooLarge = errors.New("the message is larger than the broker takes")

// PublishDelivery returns nil once d is stored as the streams promise. It tries again, under the same message id, until
// ctx ends: an election or a restart of the broker costs time, not deliveries. When more arrive than can be stored
// before their contexts end, it returns ErrOverload at once.
func (b *Bus) PublishDelivery(ctx context.Context, d *Delivery) error {
	store, large := b.committer.commit, b.Large(d)
	if large {
		store = b.large()
	}
	for {
		err := store(ctx, d)
		if err == nil {
			b.failure.Store(nil)
			return nil
		}
		if errors.Is(err, ErrTooLarge) && !large { // for the stream, or for the server that we are connected to by now
			store, large = b.large(), true
		}
		if errors.Is(err, ErrOverload) {
			return err // no failure: whoever is told to go elsewhere then would overload that
		}
		b.failure.Store(&failure{time.Now(), err})
		if errors.Is(err, ErrFull) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not stored: %w", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// PublishBacklog stores the first n of ds, in their order and as one message: as many as an envelope holds. It tries once.
// Called again with the same ds, it does not store them twice within the stream's duplicate window.
func (b *Bus) PublishBacklog(ctx context.Context, ds []*Delivery) (n int, err error) {
	var records []byte
	var ids []string
	for _, d := range ds[:min(len(ds), maxDeliveries)] {
		if b.Large(d) && len(ids) > 0 {
			break
		}
		grown := AppendRecord(records, d)
		if len(ids) > 0 && len(grown) > maxEnvelope {
			break
		}
		records, ids = grown, append(ids, d.ID)
	}
	if len(ids) == 0 {
		return 0, nil
	}
	if len(ids) == 1 {
		err = b.publishAlone(ctx, ds[0])
	} else {
		m, id := b.committer.envelope(records, ids)
		err = b.publish(ctx, m, id)
	}
	if err != nil {
		return 0, err
	}
	b.failure.Store(nil)
	return len(ids), nil
}

// publishAlone stores d in whichever form the broker takes it. It tries once.
func (b *Bus) publishAlone(ctx context.Context, d *Delivery) error {
	if !b.Large(d) {
		if err := b.publish(ctx, b.committer.plain(d), d.ID); !errors.Is(err, ErrTooLarge) {
			return err
		}
	}
	return b.large()(ctx, d)
}

func (d *Delivery) header() nats.Header {
	h := nats.Header{
		headerID:          {d.ID},
		headerSource:      {"/" + d.Provider + "/" + d.Source},
		headerType:        {typeDelivery},
		headerSpecVersion: {specVersion},
		headerTime:        {call.At(d.ReceivedAt).String()},
		headerAuth:        {string(d.Auth)},
	}
	if v := printable(d.ContentType); v != "" {
		h[headerContentType] = []string{v}
	}
	if v := printable(d.UserAgent); v != "" {
		h[headerUserAgent] = []string{v}
	}
	if d.Trace != "" {
		h[trace.Header] = []string{d.Trace}
	}
	return h
}

// printable keeps of a foreign header value what a message header can hold.
func printable(v string) string {
	v = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, v)
	return v[:min(len(v), 256)]
}

func deliveryFrom(h nats.Header, body []byte) (*Delivery, error) {
	provider, source, ok := cutSource(h.Get(headerSource))
	if !ok || h.Get(headerID) == "" {
		return nil, fmt.Errorf("not a delivery: header %s is %q and %s is %q", headerSource, h.Get(headerSource), headerID, h.Get(headerID))
	}
	at, err := time.Parse(time.RFC3339, h.Get(headerTime))
	if err != nil {
		return nil, fmt.Errorf("not a delivery: header %s is %q", headerTime, h.Get(headerTime))
	}
	return &Delivery{
		ID:          h.Get(headerID),
		Provider:    provider,
		Source:      source,
		ReceivedAt:  at,
		Auth:        call.Auth(h.Get(headerAuth)),
		ContentType: h.Get(headerContentType),
		UserAgent:   h.Get(headerUserAgent),
		Trace:       h.Get(trace.Header),
		Body:        body,
	}, nil
}

// cutSource splits /<provider>/<source>.
func cutSource(s string) (provider, source string, ok bool) {
	return strings.Cut(strings.TrimPrefix(s, "/"), "/")
}

// publish sends m once and returns nil when the stream has stored it, now or under the same id before.
func (b *Bus) publish(ctx context.Context, m *nats.Msg, id string) error {
	if !b.nc.IsConnected() {
		return b.disconnected() // the client would say that the server knows no headers
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_, err := b.js.PublishMsg(ctx, m, jetstream.WithMsgID(id), jetstream.WithRetryAttempts(0))
	return publishFault(err)
}

// publishFault tells what can be told apart of why a stream did not take a message.
func publishFault(err error) error {
	if isFull(err) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	if isTooLarge(err) {
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	return err
}

// codeStoreFailed is the server's one code for both a full stream and a second message on a subject that may hold but
// one; only the description tells them apart.
const codeStoreFailed jetstream.ErrorCode = 10077

// isDuplicate reports that the stream has a message on this subject already.
func isDuplicate(err error) bool {
	e, ok := errors.AsType[*jetstream.APIError](err)
	return ok && e.ErrorCode == codeStoreFailed && strings.Contains(e.Description, "maximum messages per subject exceeded")
}

// isTooLarge reports that the message is larger than the stream or the connection takes.
func isTooLarge(err error) bool {
	e, ok := errors.AsType[*jetstream.APIError](err)
	return ok && e.ErrorCode == 10054 || errors.Is(err, nats.ErrMaxPayload)
}

// isFull reports that the stream, the account or the disk has no room left.
func isFull(err error) bool {
	e, ok := errors.AsType[*jetstream.APIError](err)
	if !ok || isDuplicate(err) {
		return false
	}
	return e.ErrorCode == codeStoreFailed || e.ErrorCode == 10023 || e.ErrorCode == 10047 // insufficient resources, insufficient storage
}
