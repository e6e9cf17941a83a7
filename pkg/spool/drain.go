package spool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
)

// The pauses between two attempts to forward.
const (
	pauseAway   = 250 * time.Millisecond
	pauseFull   = 5 * time.Second
	pauseBroken = 10 * time.Second // the spool's own disk fails
)

// Run forwards what is in the spool, and what comes into it, until ctx ends.
func (p *Publisher) Run(ctx context.Context) error {
	if p.spool == nil {
		<-ctx.Done()
		return nil
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.spool.filled:
			began := time.Now()
			if n := p.forwardAll(ctx); n > 0 && ctx.Err() == nil {
				p.log.Info("the spool is drained", zap.Int("forwarded", n), zap.Duration("took", time.Since(began)))
			}
		}
	}
}

// Drain forwards what is in the spool and says how many deliveries that was. It ends with an error if some are left.
func (p *Publisher) Drain(ctx context.Context) (forwarded int, err error) {
	forwarded = p.forwardAll(ctx)
	left := p.spool.holds()
	switch {
	case left.refused > 0:
		return forwarded, fmt.Errorf("the broker takes no message of the size of %d deliveries; they are still in the spool, with %d others; raise its max_payload", left.refused, left.deliveries-left.refused)
	case left.deliveries > 0:
		return forwarded, fmt.Errorf("%d deliveries are still in the spool: %w", left.deliveries, context.Cause(ctx))
	}
	return forwarded, nil
}

// forwardAll forwards until nothing waits or ctx ends.
func (p *Publisher) forwardAll(ctx context.Context) (forwarded int) {
	for ctx.Err() == nil {
		entries, err := p.spool.next()
		if err != nil {
			p.log.Error("cannot read the spool; started anew, the process sets it aside and forwards what can be read", zap.String("path", p.spool.file.path), zap.Error(err))
			pause(ctx, pauseBroken)
			continue
		}
		if len(entries) == 0 {
			return forwarded
		}
		forwarded += p.forward(ctx, entries)
	}
	return forwarded
}

// forward publishes the first of the entries, for as long as it takes, and removes them from the spool.
func (p *Publisher) forward(ctx context.Context, entries []entry) int {
	if entries[0].d == nil {
		p.log.Error("a delivery in the spool cannot be read; started anew, the process sets the file aside and keeps it", zap.String("path", p.spool.file.path))
		p.change(ctx, &change{refuse: entries[:1]})
		return 0
	}
	var ds []*bus.Delivery
	for _, e := range entries {
		if e.d == nil {
			break
		}
		ds = append(ds, e.d)
	}
	for ctx.Err() == nil {
		n, err := p.broker.PublishBacklog(ctx, ds)
		switch {
		case err == nil:
			p.away.Store(false)
			p.change(ctx, &change{remove: entries[:n]})
			return n
		case errors.Is(err, bus.ErrTooLarge) && len(ds) > 1:
			ds = ds[:len(ds)/2]
		case errors.Is(err, bus.ErrTooLarge):
			p.log.Error("the broker takes no message of this size; the delivery stays in the spool and is tried again at the next start",
				zap.String("delivery_id", ds[0].ID), zap.Int("bytes", len(ds[0].Body)), zap.Error(err))
			p.change(ctx, &change{refuse: entries[:1]})
			return 0
		case errors.Is(err, bus.ErrFull):
			pause(ctx, pauseFull)
		default:
			pause(ctx, pauseAway)
		}
	}
	return 0
}

// change has the spool make c, for as long as it takes: what was forwarded must not be forwarded for ever.
func (p *Publisher) change(ctx context.Context, c *change) {
	for {
		c.done = make(chan error, 1)
		err := p.spool.do(context.WithoutCancel(ctx), c)
		if err == nil {
			return
		}
		p.log.Error("cannot write to the spool; what was forwarded stays in it for now", zap.String("path", p.spool.file.path), zap.Error(err))
		if pause(ctx, pauseBroken); ctx.Err() != nil {
			return
		}
	}
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
