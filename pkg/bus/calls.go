package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/retry"
)

// ErrDuplicate is PublishCalls's answer for a call that is in the stream already. It is a success.
var ErrDuplicate = errors.New("the call is known already")

// PublishCalls publishes each call once and answers one error per call, in order: nil when it is stored, ErrDuplicate
// when a call of the same identity was there before, else what failed. It waits for all of them. A nil call is skipped.
func (b *Bus) PublishCalls(ctx context.Context, cs []*call.Call) []error {
	errs := make([]error, len(cs))
	acks := make([]jetstream.PubAckFuture, len(cs))
	for i, c := range cs {
		if c == nil {
			continue
		}
		m, err := b.callMsg(c)
		if err != nil {
			errs[i] = err
			continue
		}
		// No message id: the subject is the identity, and the stream refuses the second one for as long as it keeps the first.
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
	data, err := json.Marshal(c)
	if err != nil {
		return nil, retry.Never(fmt.Errorf("call %s cannot be written as JSON: %w", c.Key, err))
	}
	if limit := b.MaxBody(); int64(len(data)) > limit {
		return nil, retry.Never(fmt.Errorf("call %s takes %d bytes as JSON, the broker takes %d", c.Key, len(data), limit))
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
