package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/pkg/trace"
)

// ErrDuplicate is PublishCalls's answer for a call that is in the stream already. It is a success.
var ErrDuplicate = errors.New("the call is known already")

// PublishCalls publishes each call once and answers one error per call, in order: nil when it is stored, ErrDuplicate
// when a call of the same identity was there before, else what failed. It waits for all of them. A nil call is skipped. The
// calls belong to the traces of the messages that they are made of, where these are given, one each.
func (b *Bus) PublishCalls(ctx context.Context, cs []*call.Call, of ...*Message) []error {
	errs := make([]error, len(cs))
	out := make([]outgoing, 0, len(cs))
	for i, c := range cs {
		if c == nil {
			continue
		}
		// No message id: the subject is the identity, and the stream refuses the second one for as long as it keeps the first.
		m, err := b.callMsg(c)
		if err != nil {
			errs[i] = err
			continue
		}
		if len(of) > 0 && of[i].Trace != "" {
			m.Header[trace.Header] = []string{of[i].Trace}
		}
		out = append(out, outgoing{m, &errs[i]})
	}
	if b.replicas < quorum && b.durability != DurabilityRelaxed {
		b.publishTogether(ctx, out)
	} else { // three servers sync many messages at once by themselves, and where none is synced nothing is gained
		b.publishEach(ctx, out)
	}
	return errs
}

// outgoing is a message, and where the answer goes.
type outgoing struct {
	msg *nats.Msg
	err *error
}

// Storing a batch costs the server four syncs and two folders, about as much as worthBatch messages that come one by one. One
// that it refuses, as for a single call that it knows, was for nothing: it is halved once, and no further.
const (
	worthBatch = 16
	batchMost  = 256
	batchRoom  = 4 << 20 // bytes; the server holds a batch in memory before it stores it
)

// publishTogether publishes messages in batches, each of which is stored as a whole or not at all.
func (b *Bus) publishTogether(ctx context.Context, out []outgoing) {
	subjects := make(map[string]bool, len(out))
	once, again := make([]outgoing, 0, len(out)), []outgoing(nil)
	for _, o := range out {
		if subjects[o.msg.Subject] { // nats-server 2.15.2 can begin to store a batch that has it twice, and then never answers
			again = append(again, o)
		} else {
			subjects[o.msg.Subject] = true
			once = append(once, o)
		}
	}
	for len(once) > 0 {
		n, size := 1, len(once[0].msg.Data)
		for ; n < len(once) && n < batchMost && size+len(once[n].msg.Data) <= batchRoom; n++ {
			size += len(once[n].msg.Data)
		}
		b.publishPart(ctx, once[:n])
		once = once[n:]
	}
	b.publishEach(ctx, again)
}

// publishPart publishes what one batch has room for.
func (b *Bus) publishPart(ctx context.Context, out []outgoing) {
	if len(out) < worthBatch {
		b.publishEach(ctx, out)
		return
	}
	err := b.publishBatch(ctx, out)
	switch _, answered := errors.AsType[*jetstream.APIError](err); {
	case isDuplicate(err) && len(out) > batchMost/2:
		b.publishPart(ctx, out[:len(out)/2])
		b.publishPart(ctx, out[len(out)/2:])
	case answered || isTooLarge(err): // a call that is known, a stream that takes no batches or has no room: each has its own answer
		b.publishEach(ctx, out)
	case err != nil:
		if err = publishError(err); ctx.Err() != nil {
			err = ctx.Err() // which says nothing of the broker
		}
		for _, o := range out {
			*o.err = err
		}
	}
}

// publishBatch publishes messages as one atomic batch (NATS ADR-50), of which the server answers the last.
func (b *Bus) publishBatch(ctx context.Context, out []outgoing) error {
	if !b.nc.IsConnected() {
		return b.disconnected() // the client would say that the server knows no headers
	}
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	id := []string{nuid.Next()}
	for i, o := range out[:len(out)-1] {
		if err := b.nc.PublishMsg(inBatch(o.msg, id, i)); err != nil {
			return err
		}
	}
	last := inBatch(out[len(out)-1].msg, id, len(out)-1)
	last.Header["Nats-Batch-Commit"] = []string{"1"}
	answer, err := b.nc.RequestMsgWithContext(ctx, last)
	if err != nil {
		return err
	}
	var ack struct {
		Error *jetstream.APIError `json:"error"`
		Count int                 `json:"count"`
	}
	switch err := json.Unmarshal(answer.Data, &ack); {
	case err != nil:
		return fmt.Errorf("the answer to a batch cannot be read: %w", err)
	case ack.Error != nil:
		return ack.Error
	case ack.Count != len(out):
		return fmt.Errorf("the server stored %d messages of a batch of %d", ack.Count, len(out))
	}
	return nil
}

// inBatch is m as message i of a batch. M itself can still go out alone.
func inBatch(m *nats.Msg, id []string, i int) *nats.Msg {
	h := maps.Clone(m.Header)
	h["Nats-Batch-Id"] = id
	h["Nats-Batch-Sequence"] = []string{strconv.Itoa(i + 1)}
	return &nats.Msg{Subject: m.Subject, Header: h, Data: m.Data}
}

// publishEach publishes messages one by one and waits for all of them.
func (b *Bus) publishEach(ctx context.Context, out []outgoing) {
	acks := make([]jetstream.PubAckFuture, len(out))
	for i, o := range out {
		var err error
		if acks[i], err = b.js.PublishMsgAsync(o.msg, jetstream.WithRetryAttempts(0)); err != nil {
			*o.err = publishError(err)
		}
	}
	for i, ack := range acks {
		if ack == nil {
			continue
		}
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			*out[i].err = publishError(err)
		case <-ctx.Done():
			*out[i].err = ctx.Err()
		}
	}
}

func (b *Bus) callMsg(c *call.Call) (*nats.Msg, error) {
	data, err := b.encode(c)
	if err != nil {
		return nil, retry.Never(fmt.Errorf("call %s cannot be written as JSON: %w", c.Key, err))
	}
	m := nats.NewMsg(b.prefix + callSubject(c))
	m.Data = data
	m.Header = nats.Header{
		headerID:          {string(c.Event) + ":" + c.DeliveryID},
		headerSource:      {"/" + c.Provider + "/" + c.Source},
		headerType:        {typeCall},
		headerSpecVersion: {specVersion},
		headerTime:        {call.At(time.Now()).String()},
		headerContentType: {"application/json"},
	}
	return m, nil
}

func publishError(err error) error {
	switch {
	case isDuplicate(err):
		return ErrDuplicate
	case isTooLarge(err):
		return retry.Never(fmt.Errorf("the broker takes no message of this size: %w", err))
	case isFull(err):
		return retry.Outage(5*time.Second, fmt.Errorf("%w: %w", ErrFull, err))
	default:
		return retry.Outage(time.Second, fmt.Errorf("broker: %w", err))
	}
}

// encode writes a call as JSON that a message can hold. A call can outgrow the body that it was made of; one that does
// is published without its largest parts, and says so in its warnings. They are in the delivery, which body_ref names.
func (b *Bus) encode(c *call.Call) ([]byte, error) {
	data, err := marshal(c)
	for _, p := range parts {
		if err != nil || int64(len(data)) <= b.room() {
			return data, err
		}
		small := *c // the caller's stays whole
		p.drop(&small)
		small.Warnings = append(slices.Clone(c.Warnings), p.name+": left out, as the call would be larger than a message")
		c = &small
		data, err = marshal(c)
	}
	if err == nil && int64(len(data)) > b.room() {
		err = fmt.Errorf("it takes %d bytes without its largest parts, and the broker takes %d", len(data), b.room())
	}
	return data, err
}

// parts is what a call that is too large does without, what can be told from the rest first.
var parts = []struct {
	name string
	drop func(c *call.Call)
}{
	{"transcript", func(c *call.Call) { // as text and as turns: one is made of the other
		if c.Transcript.Form == call.TranscriptTurns {
			c.Transcript.Text = ""
		} else {
			c.Transcript.Turns = nil
		}
	}},
	{"extensions", func(c *call.Call) { c.Extensions = nil }},
	{"transcript.turns", func(c *call.Call) { c.Transcript.Turns = nil }},
	{"transcript.text", func(c *call.Call) { c.Transcript.Text = "" }},
	{"actions", func(c *call.Call) { c.Actions = nil }},
	{"analysis", func(c *call.Call) { c.Analysis = nil }},
	{"extracted", func(c *call.Call) { c.Extracted, c.ExtractedSource = nil, nil }},
	{"customer", func(c *call.Call) { c.Customer = nil }},
}

// marshal is json.Marshal without the escapes for HTML, which take six bytes each.
func marshal(c *call.Call) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(c)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
