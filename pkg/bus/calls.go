package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/pkg/trace"
)

// ErrDuplicate is PublishCalls's answer for a call that is in the stream already. It is a success.
var ErrDuplicate = errors.New("the call is known already")

// PublishCalls publishes each call once and answers one error per call, in order: nil when it is stored, ErrDuplicate
// when a call of the same identity was there before, else what failed. It waits for all of them. A nil call is skipped. The calls belong to the traces of the
// messages that they are made of, where these are given, one each.
func (b *Bus) PublishCalls(ctx context.Context, cs []*call.Call, of ...*Message) []error {
	// No message id: the subject is the identity, and the stream refuses the second one for as long as it keeps the first.
	return b.publishAll(ctx, len(cs), func(i int) (*nats.Msg, error) {
		if cs[i] == nil {
			return nil, nil
		}
		m, err := b.callMsg(cs[i])
		if err == nil && len(of) > 0 && of[i].Trace != "" {
			m.Header[trace.Header] = []string{of[i].Trace}
		}
		return m, err
	})
}

// publishAll publishes n messages at once and waits for all of them. It skips those that are nil, and answers what message
// says of one that cannot be made.
func (b *Bus) publishAll(ctx context.Context, n int, message func(i int) (*nats.Msg, error)) []error {
	errs := make([]error, n)
	acks := make([]jetstream.PubAckFuture, n)
	for i := range n {
		m, err := message(i)
		if m == nil || err != nil {
			errs[i] = err
			continue
		}
		if acks[i], err = b.js.PublishMsgAsync(m, jetstream.WithRetryAttempts(0)); err != nil {
			errs[i] = publishError(err)
		}
	}
	for i, ack := range acks {
		if ack == nil {
			continue
		}
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			errs[i] = publishError(err)
		case <-ctx.Done():
			errs[i] = ctx.Err()
		}
	}
	return errs
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
