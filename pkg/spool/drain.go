package spool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

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
		case <-p.spool.due():
		}
		began := time.Now()
		if n := p.forwardAll(ctx, true); n > 0 && p.spool.holds().deliveries == 0 {
			p.log.Info("the spool is drained", zap.Int("forwarded", n), zap.Duration("took", time.Since(began)))
		}
	}
}

// Drain forwards what is in the spool and says how many deliveries that was. It waits for a broker that is away, but not
// for room in one that is full. It ends with an error if some are left.
func (p *Publisher) Drain(ctx context.Context) (forwarded int, err error) {
	forwarded = p.forwardAll(ctx, false)
	left := p.spool.holds()
	if left.deliveries == 0 {
		return forwarded, nil
	}
	why := p.lastFailure()
	switch {
	case errors.Is(why, bus.ErrTooLarge):
		why = fmt.Errorf("%w; raise its max_payload", why)
	case errors.Is(why, bus.ErrFull):
		why = fmt.Errorf("%w; make room there, or raise its limits", why)
	case why == nil:
		why = errors.New("the broker was not asked yet")
	}
	if cause := context.Cause(ctx); cause != nil {
		why = fmt.Errorf("%w; before that: %w", cause, why)
	}
	return forwarded, fmt.Errorf("%d deliveries are still in the spool: %w", left.deliveries, why)
}

// forwardAll forwards until nothing is left but what is set back, ctx ends or, if it is not patient, the stream is full.
func (p *Publisher) forwardAll(ctx context.Context, patient bool) (forwarded int) {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return 0
	}
	for ctx.Err() == nil {
		entries, err := p.spool.next()
		if err != nil {
			p.tell(zap.ErrorLevel, "cannot read the spool; started anew, the process sets it aside and forwards what can be read", err, zap.String("path", p.spool.file.path))
			pause(ctx, pauseBroken)
			continue
		}
		if len(entries) == 0 {
			return forwarded
		}
		n, full := p.forward(ctx, entries)
		forwarded += n
		if full && !patient {
			return forwarded
		}
		if full {
			pause(ctx, pauseFull)
		}
	}
	return forwarded
}

// forward publishes the entries in their order, for as long as it takes or until the stream is full, and removes them
// from the spool. What the broker does not take for its size is set back and comes after those behind it: held up by
// it, they might wait for ever.
func (p *Publisher) forward(ctx context.Context, entries []entry) (forwarded int, full bool) {
	most := len(entries)
	for len(entries) > 0 && ctx.Err() == nil {
		ds := readable(entries[:min(most, len(entries))])
		if len(ds) == 0 {
			p.setBack(entries[0], "a delivery in the spool cannot be read; started anew, the process sets the file aside and keeps it", errDamaged, zap.String("path", p.spool.file.path))
			entries = entries[1:]
			continue
		}
		n, err := p.broker.PublishBacklog(ctx, ds)
		switch {
		case err == nil:
			p.away.Store(false)
			p.change(ctx, &change{remove: entries[:n]})
			forwarded, entries = forwarded+n, entries[n:]
		case ctx.Err() != nil: // err says no more
		case errors.Is(err, bus.ErrTooLarge) && len(ds) > 1:
			most = len(ds) / 2
		case p.concernsOne(ctx, ds[0], err):
			p.setBack(entries[0], "the broker does not take a delivery; it stays in the spool and is tried again, after those behind it", err,
				zap.String("delivery_id", ds[0].ID), zap.Int("bytes", len(ds[0].Body)))
			entries, most = entries[1:], len(entries)
		case errors.Is(err, bus.ErrFull):
			p.tell(zap.WarnLevel, "the spool cannot be forwarded; it waits for room", err)
			return forwarded, true
		default:
			p.tell(zap.WarnLevel, "the spool cannot be forwarded yet", err)
			pause(ctx, pauseAway)
		}
	}
	return forwarded, false
}

// readable is the deliveries of the entries up to the first that cannot be read.
func readable(entries []entry) (ds []*bus.Delivery) {
	for _, e := range entries {
		if e.d == nil {
			break
		}
		ds = append(ds, e.d)
	}
	return ds
}

// concernsOne reports that d, which was tried first or alone, failed with err for its size: others may do better.
func (p *Publisher) concernsOne(ctx context.Context, d *bus.Delivery, err error) bool {
	if errors.Is(err, bus.ErrTooLarge) {
		return true
	}
	return p.broker.Large(d) && (errors.Is(err, bus.ErrFull) || p.broker.Ready(ctx) == nil)
}

// setBack leaves e for later.
func (p *Publisher) setBack(e entry, line string, err error, fields ...zap.Field) {
	p.spool.skip(e, time.Now().Add(p.again))
	p.tell(zap.ErrorLevel, line, err, fields...)
}

// tell remembers why something is not forwarded, and logs the line at most once a minute.
func (p *Publisher) tell(level zapcore.Level, line string, err error, fields ...zap.Field) {
	now := time.Now()
	p.mu.Lock()
	p.failure = err
	silent := now.Sub(p.told[line]) < time.Minute
	if !silent {
		p.told[line] = now
	}
	p.mu.Unlock()
	if !silent {
		t := p.spool.holds()
		p.log.Log(level, line, append(fields, zap.Int("deliveries", t.deliveries), zap.Int("set_back", t.setBack), zap.Error(err))...)
	}
}

func (p *Publisher) lastFailure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failure
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
