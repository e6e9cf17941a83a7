package bus

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// countedEnvelopes is how many pending envelopes are counted one by one. Of more, the rest is taken to be like these. The
// server reads each of them whole, which can be half a megabyte, to tell their headers: of more it would do little else.
const countedEnvelopes = 200

// moreOfEnvelopes is by how much deliveries outnumber messages: of those in hand, and of those that wait. Which of what lies
// between floor and delivered is in hand, and which is settled, the server does not tell: it is taken to be alike.
func moreOfEnvelopes(ctx context.Context, st jetstream.Stream, subjects string, floor, delivered, inHand uint64) (more, waiting uint64, err error) {
	if waiting, err = moreInEnvelopes(ctx, st, subjects, delivered); err != nil || delivered <= floor || inHand == 0 {
		return 0, waiting, err
	}
	all, err := moreInEnvelopes(ctx, st, subjects, floor)
	return (all - min(waiting, all)) * min(inHand, delivered-floor) / (delivered - floor), waiting, err
}

// moreInEnvelopes is by how much the deliveries after a sequence outnumber their messages.
func moreInEnvelopes(ctx context.Context, st jetstream.Stream, subjects string, after uint64) (uint64, error) {
	if _, err := st.GetMsg(ctx, after+1, jetstream.WithGetMsgSubject(subjects)); errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	con, err := st.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects:    []string{subjects},
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       after + 1,
		HeadersOnly:       true,
		InactiveThreshold: 10 * time.Second,
	})
	if err != nil {
		return 0, err
	}
	defer func() { _ = st.DeleteConsumer(context.WithoutCancel(ctx), con.CachedInfo().Name) }() // or it goes by itself when idle
	total := con.CachedInfo().NumPending
	if total == 0 {
		return 0, nil
	}
	batch, err := con.Fetch(int(min(total, countedEnvelopes)), jetstream.FetchMaxWait(2*time.Second))
	if err != nil {
		return 0, err
	}
	var counted, more uint64
	for m := range batch.Messages() {
		counted++
		more += deliveriesOf(m.Subject()) - 1
	}
	if err := batch.Error(); err != nil && !errors.Is(err, nats.ErrTimeout) {
		return 0, err
	}
	if counted == 0 {
		return 0, nil // all of them aged out meanwhile
	}
	return more * total / counted, nil
}

// deliveriesOf is how many deliveries a message on an envelope's subject holds.
func deliveriesOf(subject string) uint64 {
	n, _ := strconv.ParseUint(subject[strings.LastIndexByte(subject, '.')+1:], 10, 64) // written by envelopeSubject
	return max(n, 1)
}
