package bus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/retry"
)

const typeOutcome = "onhook.outcome.v1"

// PublishOutcomes publishes what became of calls at their sinks and answers one error per outcome, in order. It waits for
// all of them. copies are, for each, the Copy of the message that it came of: the same outcome of the same copy again within
// the duplicate window is one message.
func (b *Bus) PublishOutcomes(ctx context.Context, os []call.Outcome, copies []string) []error {
	errs := make([]error, len(os))
	out := make([]outgoing, 0, len(os))
	for i, o := range os {
		m, err := b.outcomeMsg(o, copies[i])
		if err != nil {
			errs[i] = err
			continue
		}
		out = append(out, outgoing{m, &errs[i]})
	}
	b.publishEach(ctx, out)
	return errs
}

func (b *Bus) outcomeMsg(o call.Outcome, of string) (*nats.Msg, error) {
	o.Error, o.Note = headerText(o.Error), headerText(o.Note)
	data, err := json.Marshal(o)
	if err != nil {
		return nil, retry.Never(fmt.Errorf("an outcome of sink %s cannot be written as JSON: %w", o.Sink, err))
	}
	m := nats.NewMsg(b.prefix + outcomeSubject(o.Sink))
	m.Data = data
	// A sink repeats an outcome when its message came again. A redriven call is another copy: it may die again at once, and
	// its attempts are counted anew.
	sum := sha256.Sum256([]byte(strings.Join([]string{o.Sink, o.Provider, o.Source, string(o.Event), o.CallID, string(o.Result), fmt.Sprint(o.Attempts), of}, "\x00")))
	id := hex.EncodeToString(sum[:])
	m.Header = nats.Header{
		jetstream.MsgIDHeader: {id},
		headerID:              {id},
		headerSource:          {"/" + o.Provider + "/" + o.Source},
		headerType:            {typeOutcome},
		headerSpecVersion:     {specVersion},
		headerTime:            {call.At(time.Now()).String()},
		headerContentType:     {"application/json"},
	}
	return m, nil
}

// Outcome reads the message as an outcome. Its error says what to do with the message (package retry).
func (m *Message) Outcome() (call.Outcome, error) {
	var o call.Outcome
	if err := m.knows(typeOutcome); err != nil {
		return o, err
	}
	if err := json.Unmarshal(m.data, &o); err != nil {
		return o, retry.Never(fmt.Errorf("not an outcome: %w", err))
	}
	return o, nil
}
