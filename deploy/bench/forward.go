package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"

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
					if err := forwardBatch(ctx, js, batch); err != nil {
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

func forwardBatch(ctx context.Context, js jetstream.JetStream, batch []*bus.Message) error {
	acks := make([]jetstream.PubAckFuture, len(batch))
	for i, m := range batch {
		d, err := m.Delivery(ctx)
		if err != nil {
			return err
		}
		n, ok := body.Number(d.Body)
		if !ok {
			return errors.New("a delivery without a call id of ours")
		}
		subject := fmt.Sprintf("calls.ended.%s.%s.%s", d.Provider, d.Source, body.ID(n))
		if acks[i], err = js.PublishMsgAsync(&nats.Msg{Subject: subject, Data: d.Body}); err != nil {
			return err
		}
	}
	for i, ack := range acks {
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			return err
		case <-ctx.Done():
			return nil
		}
		if err := batch[i].Ack(); err != nil {
			return err
		}
	}
	return nil
}
