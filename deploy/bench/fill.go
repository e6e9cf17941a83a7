package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/onhook/onhook/deploy/bench/body"
	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/provider"
)

// calls is the stream that the decoder fills.
const calls = "CALLS"

// durability is what onhook is told of the broker.
func (b broker) durability() string {
	if b.sync == relaxed {
		return "relaxed"
	}
	return "fsync"
}

// bus is onhook's own client of the broker, with its streams.
func (b broker) bus(ctx context.Context) (*bus.Bus, error) {
	cfg := bus.DefaultConfig()
	cfg.URL, cfg.MonitorURL, cfg.Durability = b.url, b.monitor, b.durability()
	return bus.Connect(ctx, cfg, "bench", zap.NewNop())
}

// fillWebhooks publishes n deliveries of 2 KiB as 256 requests at once do, with call ids from first on.
func (b broker) fillWebhooks(ctx context.Context, first int64, n int) error {
	to, err := b.bus(ctx)
	if err != nil {
		return err
	}
	defer to.Close()
	const senders = 256
	g, ctx := errgroup.WithContext(ctx)
	for s := range senders {
		g.Go(func() error {
			name := body.Providers[s%len(body.Providers)]
			r := body.New(uint64(s), name, kib2)
			for i := s; i < n; i += senders {
				if err := to.PublishDelivery(ctx, &bus.Delivery{
					ID: uuid.Must(uuid.NewV7()).String(), Provider: name, Source: name, ReceivedAt: time.Now(),
					Auth: call.AuthToken, ContentType: "application/json", Body: r.Body(first + int64(i)),
				}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// decoded makes n calls of 2 KiB bodies, with call ids from first on.
func decoded(first int64, n int) ([]*call.Call, error) {
	requests := map[string]*body.Request{}
	for i, name := range body.Providers {
		requests[name] = body.New(uint64(i), name, kib2)
	}
	out := make([]*call.Call, n)
	for i := range out {
		name := body.Providers[i%len(body.Providers)]
		p, _ := provider.Lookup(name)
		c, err := p.Call(name, bytes.Clone(requests[name].Body(first+int64(i))))
		if err != nil {
			return nil, err
		}
		c.DeliveryID, c.ReceivedAt, c.Auth = uuid.Must(uuid.NewV7()).String(), call.At(time.Now()), call.AuthToken
		out[i] = c
	}
	return out, nil
}

// fillCalls publishes n calls.
func (b broker) fillCalls(ctx context.Context, n int) error {
	to, err := b.bus(ctx)
	if err != nil {
		return err
	}
	defer to.Close()
	const most = 1000
	for first := 0; first < n; first += most {
		cs, err := decoded(int64(first), min(most, n-first))
		if err != nil {
			return err
		}
		if err := errors.Join(to.PublishCalls(ctx, cs)...); err != nil {
			return err
		}
	}
	return nil
}

// retain publishes n small calls that nothing else has the ids of, and says how far it is.
func (b broker) retain(ctx context.Context, n int64) error {
	to, err := b.bus(ctx)
	if err != nil {
		return err
	}
	defer to.Close()
	const batch, million = 4000, 1_000_000
	var next, done atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range 4 {
		g.Go(func() error {
			cs := make([]*call.Call, 0, batch)
			for {
				end := next.Add(batch)
				cs = cs[:0]
				for i := end - batch; i < min(end, n); i++ {
					cs = append(cs, small(i))
				}
				if len(cs) == 0 || ctx.Err() != nil {
					return ctx.Err()
				}
				if err := errors.Join(to.PublishCalls(ctx, cs)...); err != nil {
					return err
				}
				if now := done.Add(int64(len(cs))); now/million > (now-int64(len(cs)))/million {
					fmt.Fprintf(os.Stderr, "%d of %d million calls\n", now/million, n/million)
				}
			}
		})
	}
	return g.Wait()
}

// small is a call that nobody answered.
func small(i int64) *call.Call {
	id := fmt.Sprintf("retained-%d", i)
	return &call.Call{
		Schema: call.Schema, Key: call.Key("cllr", "retained", id), Provider: "cllr", Source: "retained", CallID: id, Event: call.Ended, IsFinal: true,
		PayloadVersion: "cllr/1", DeliveryID: id, Direction: call.DirectionUnknown, Status: call.StatusNoAnswer, EndReason: call.EndNoAnswer,
		AnsweredBy: call.AnsweredByNobody, Transcript: call.Transcript{Form: call.TranscriptNone},
	}
}

// countCalls returns what counts the calls in CALLS.
func (b broker) countCalls(ctx context.Context) (count func(context.Context) (int64, error), done func(), err error) {
	js, done, err := b.connect()
	if err != nil {
		return nil, nil, err
	}
	st, err := js.Stream(ctx, calls)
	if err != nil {
		done()
		return nil, nil, err
	}
	return func(ctx context.Context) (int64, error) {
		info, err := st.Info(ctx)
		if err != nil {
			return 0, err
		}
		return int64(info.State.Msgs), nil
	}, done, nil
}

// countSaved returns what counts how many of n calls the storage sink has acknowledged, each of which is committed.
func (b broker) countSaved(n int64) (count func(context.Context) (int64, error), done func(), err error) {
	js, done, err := b.connect()
	if err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context) (int64, error) {
		c, err := js.Consumer(ctx, calls, bus.Storage.Name)
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			return 0, nil // its worker is starting
		}
		if err != nil {
			return 0, err
		}
		info := c.CachedInfo()
		return n - int64(info.NumPending) - int64(info.NumAckPending), nil
	}, done, nil
}
