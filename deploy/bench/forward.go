package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/onhook/onhook/deploy/bench/body"
	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/worker"
)

// forward is the decoder without its decoding: it takes deliveries from WEBHOOKS as the decoder does, publishes each body
// as it is to the subject that its call would have, and acknowledges the delivery.
func forward(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("forward", flag.ContinueOnError)
	url := flags.String("nats", "", "the broker's `URL`")
	together := flags.Bool("together", false, "publish what is taken at once as a batch, which is stored as a whole")
	if err := flags.Parse(args); err != nil {
		return err
	}
	cfg := bus.DefaultConfig()
	cfg.URL = *url
	b, err := bus.Connect(ctx, cfg, "forward", zap.NewNop())
	if err != nil {
		return err
	}
	defer b.Close()
	js, done, err := broker{url: *url}.connect()
	if err != nil {
		return err
	}
	defer done()
	in, _, err := b.Open(ctx, bus.Decoder)
	if err != nil {
		return err
	}
	like := worker.DefaultConfig()
	g, ctx := errgroup.WithContext(ctx)
	for range like.Concurrency {
		g.Go(func() error {
			for ctx.Err() == nil {
				msgs, err := in.Fetch(ctx, like.Batch, like.Linger)
				for batch := range slices.Chunk(msgs, like.Batch) {
					if err := forwardBatch(ctx, js, batch, *together); err != nil {
						return err
					}
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

func forwardBatch(ctx context.Context, js jetstream.JetStream, batch []*bus.Message, together bool) error {
	out := make([]*nats.Msg, len(batch))
	for i, m := range batch {
		d, err := m.Delivery(ctx)
		if err != nil {
			return err
		}
		n, ok := body.Number(d.Body)
		if !ok {
			return errors.New("a delivery without a call id of ours")
		}
		out[i] = &nats.Msg{Subject: fmt.Sprintf("calls.ended.%s.%s.%s", d.Provider, d.Source, body.ID(n)), Data: d.Body}
	}
	publish := publishEach
	if together {
		publish = publishTogether
	}
	if err := publish(ctx, js, out); err != nil {
		return err
	}
	for _, m := range batch {
		if err := m.Ack(); err != nil {
			return err
		}
	}
	return nil
}

func publishEach(ctx context.Context, js jetstream.JetStream, out []*nats.Msg) error {
	acks := make([]jetstream.PubAckFuture, len(out))
	for i, m := range out {
		var err error
		if acks[i], err = js.PublishMsgAsync(m); err != nil {
			return err
		}
	}
	for _, ack := range acks {
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			return err
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// publishTogether publishes an atomic batch (NATS ADR-50), of which the server answers the last.
func publishTogether(ctx context.Context, js jetstream.JetStream, out []*nats.Msg) error {
	id := uuid.NewString()
	for i, m := range out {
		m.Header = nats.Header{"Nats-Batch-Id": {id}, "Nats-Batch-Sequence": {strconv.Itoa(i + 1)}}
		if i < len(out)-1 {
			if err := js.Conn().PublishMsg(m); err != nil {
				return err
			}
			continue
		}
		m.Header.Set("Nats-Batch-Commit", "1")
		answer, err := js.Conn().RequestMsgWithContext(ctx, m)
		if err != nil {
			return err
		}
		if !bytes.Contains(answer.Data, []byte(fmt.Sprintf(`"count":%d`, len(out)))) {
			return fmt.Errorf("a batch of %d was not stored: %s", len(out), answer.Data)
		}
	}
	return nil
}
