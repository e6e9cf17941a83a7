package spool

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
)

// broker is what the spool needs of the bus.
type broker interface {
	PublishDelivery(ctx context.Context, d *bus.Delivery) error
	PublishBacklog(ctx context.Context, ds []*bus.Delivery) (n int, err error)
	Ready(ctx context.Context) error
	Large(d *bus.Delivery) bool
}

// Publisher publishes deliveries, by way of the spool while the broker is away.
//
//	PublishDelivery ─┬─ broker answers ──────────────► stream
//	                 └─ away ─► spool ─► Run, in order ──┘
type Publisher struct {
	broker broker
	spool  *Spool // nil: there is none, and the broker is all
	after  time.Duration
	log    *zap.Logger
	away   atomic.Bool   // a delivery was spooled, and none has been forwarded since
	turn   chan struct{} // holds a token while one forwards
	again  time.Duration // after which one that was set back is tried again

	mu      sync.Mutex
	failure error                // the last of forwarding
	told    map[string]time.Time // when which line about it was last logged
}

// New opens the spool that cfg names. Without a name, deliveries go to the broker alone.
func New(cfg Config, b broker, log *zap.Logger, reg prometheus.Registerer) (*Publisher, error) {
	p := &Publisher{broker: b, after: cfg.After, log: log.Named("spool"), turn: make(chan struct{}, 1), again: time.Minute, told: map[string]time.Time{}}
	if cfg.Dir == "" {
		return p, nil
	}
	var err error
	if p.spool, err = Open(cfg.Dir, int64(cfg.MaxSize), log); err != nil {
		return nil, err
	}
	gauge := func(name, help string, value func(tally) float64) error {
		return reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(p.spool.holds()) }))
	}
	err = errors.Join(
		gauge("onhook_spool_deliveries", "Deliveries in the spool, not forwarded to the broker yet.", func(t tally) float64 { return float64(t.deliveries) }),
		gauge("onhook_spool_bytes", "Their size, as it counts against ingress.spool.max_size.", func(t tally) float64 { return float64(t.bytes) }),
		gauge("onhook_spool_max_bytes", "What the spool holds at most: ingress.spool.max_size.", func(tally) float64 { return float64(cfg.MaxSize) }),
		gauge("onhook_spool_oldest_seconds", "Age of the oldest of them that waits for the broker.", func(t tally) float64 { return age(t, time.Now()) }),
	)
	if err != nil {
		return nil, errors.Join(err, p.spool.Close())
	}
	return p, nil
}

// Close lets go of the spool's folder. What is in it stays there.
func (p *Publisher) Close() error {
	if p.spool == nil {
		return nil
	}
	return p.spool.Close()
}

// age is never negative, whatever the clock was set to meanwhile.
func age(t tally, now time.Time) float64 {
	if t.oldest.IsZero() {
		return 0
	}
	return max(0, now.Sub(t.oldest).Seconds())
}

// PublishDelivery returns nil once d is stored by the broker or on the local disk. Where the spool cannot take it, it
// waits for the broker until ctx ends, as it would without a spool.
func (p *Publisher) PublishDelivery(ctx context.Context, d *bus.Delivery) error {
	if p.spool == nil {
		return p.broker.PublishDelivery(ctx, d)
	}
	if !p.away.Load() {
		short, cancel := context.WithTimeout(ctx, p.patience(ctx))
		err := p.broker.PublishDelivery(short, d)
		cancel()
		if err == nil {
			return nil
		}
		// A body that goes through the object store may fail for its size, which says nothing of others.
		if !p.broker.Large(d) && !p.away.Swap(true) { // before the spool has it: Run may forward it before we are back
			p.log.Warn("the broker does not answer; deliveries are spooled until it does", zap.Error(err))
		}
	}
	serr := p.spool.Append(ctx, d)
	if serr == nil {
		return nil
	}
	if err := p.broker.PublishDelivery(ctx, d); err != nil {
		return fmt.Errorf("%w; nor could it be spooled: %w", err, serr)
	}
	p.away.Store(false)
	return nil
}

// patience is how long a delivery waits for the broker: some of its time is for the spool.
func (p *Publisher) patience(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return min(p.after, time.Until(deadline)/2)
	}
	return p.after
}

// askFor is how long the broker has to answer: readiness has two seconds, and a broker that is silent is asked twice.
const askFor = 800 * time.Millisecond

// Ready is a check of readiness that an outage of the broker does not fail as long as the spool can be written to.
func (p *Publisher) Ready(check func(context.Context) error) func(context.Context) error {
	if p.spool == nil {
		return check
	}
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, askFor)
		defer cancel()
		err := check(ctx)
		if err == nil || p.broker.Ready(ctx) == nil { // what is wrong is not that the broker is away
			return err
		}
		if room := p.spool.room(); room != nil {
			return fmt.Errorf("%w, and %w", err, room)
		}
		return nil
	}
}

// Note says what an operator should know although the process is ready: that deliveries are spooled, and why; or nothing.
func (p *Publisher) Note(ctx context.Context) string {
	if p.spool == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	if err := p.broker.Ready(ctx); err != nil {
		return fmt.Sprintf("the broker is away; deliveries are spooled: %v", err)
	}
	if n := p.spool.holds().setBack; n > 0 {
		return fmt.Sprintf("the broker does not take %d of the deliveries in the spool: %v", n, p.lastFailure())
	}
	return ""
}
