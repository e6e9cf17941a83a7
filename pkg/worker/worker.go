// Package worker runs a handler over a consumer's messages: it fetches batches, bounds how many are handled at once,
// waits out a sink's outage, and settles every message by what its error means (package retry).
package worker

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/pkg/trace"
)

// Handler handles a batch and answers one error per message, in order. Its context outlives the worker's by the grace.
type Handler func(ctx context.Context, batch []*bus.Message) []error

// Each makes a Handler of a function over single messages.
func Each(fn func(ctx context.Context, m *bus.Message) error) Handler {
	return func(ctx context.Context, batch []*bus.Message) []error {
		errs := make([]error, len(batch))
		for i, m := range batch {
			errs[i] = fn(ctx, m)
		}
		return errs
	}
}

// Config is what can be set of a worker. It stands in the section of the worker's service.
type Config struct {
	Batch       int           `yaml:"batch"`       // messages per batch at most
	Linger      time.Duration `yaml:"linger"`      // how long an unfilled batch waits for more
	Concurrency int           `yaml:"concurrency"` // batches handled at once
	Attempts    int           `yaml:"attempts"`    // failed attempts after which a message is dead
	BackoffMin  time.Duration `yaml:"backoff_min"` // before the second attempt
	BackoffMax  time.Duration `yaml:"backoff_max"` // before any
	ProbeMax    time.Duration `yaml:"probe_max"`   // between looks at a sink that is down and does not say when
	Grace       time.Duration `yaml:"grace"`       // for finishing what is in hand at shutdown
}

// DefaultConfig suits a sink that answers within a second.
func DefaultConfig() Config {
	return Config{
		Batch:       256,
		Concurrency: 2,
		Attempts:    20,
		BackoffMin:  time.Second,
		BackoffMax:  10 * time.Minute,
		ProbeMax:    time.Minute,
		Grace:       10 * time.Second,
	}
}

// Validate says what is wrong with c.
func (c *Config) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, config.At(fmt.Errorf(format, args...), key))
	}
	for _, n := range []struct {
		key     string
		v, most int
	}{{"batch", c.Batch, 1000}, {"concurrency", c.Concurrency, 16}, {"attempts", c.Attempts, 1000}} {
		if n.v < 1 || n.v > n.most {
			bad(n.key, "it is %d; give 1 to %d", n.v, n.most)
		}
	}
	if c.BackoffMin <= 0 {
		bad("backoff_min", "it is %v; give a positive time", c.BackoffMin)
	}
	if c.BackoffMax < c.BackoffMin {
		bad("backoff_max", "it is %v, below backoff_min (%v)", c.BackoffMax, c.BackoffMin)
	}
	if c.Linger < 0 || c.Linger > time.Minute {
		bad("linger", "it is %v; give 0s to 1m", c.Linger)
	}
	if c.ProbeMax <= 0 {
		bad("probe_max", "it is %v; give a positive time", c.ProbeMax)
	}
	if c.Grace < 0 {
		bad("grace", "it is %v; give a time, or 0s for none", c.Grace)
	}
	return errors.Join(errs...)
}

// Worker is one consumer's worker.
type Worker struct {
	bus        *bus.Bus
	consumer   bus.Consumer
	own, again *bus.Inbox
	handler    Handler
	cfg        Config
	log        *zap.Logger
	metrics    metrics
	tracer     *trace.Tracer
	outage     outage
	hooks      Hooks
}

// Hooks are what the worker's owner wants done beside the handling. The zero Hooks does nothing.
type Hooks struct {
	// Check says why the sink cannot take messages yet. Until it returns nil, nothing is fetched: it is asked again as in
	// an outage. Where its error is of retry.Outage, that says when.
	Check func(ctx context.Context) error

	// Dead is told of a message that is given up, before it is buried. It may be told twice, as the burying may fail.
	Dead func(ctx context.Context, m *bus.Message, cause error)
}

// Hook sets the hooks, before Run.
func (w *Worker) Hook(h Hooks) { w.hooks = h }

// New opens the consumer, creating it when it does not exist, and registers the worker's metrics.
func New(ctx context.Context, b *bus.Bus, c bus.Consumer, h Handler, cfg Config, log *zap.Logger, reg prometheus.Registerer) (*Worker, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("worker %s: %w", c.Name, err)
	}
	if most := b.AckWait() / 3; cfg.Linger > most {
		return nil, fmt.Errorf("worker %s: linger is %v, more than a third of nats.ack_wait (%v): what it waits with would be given to another", c.Name, cfg.Linger, most)
	}
	own, again, err := b.Open(ctx, c)
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(c.Name, reg)
	if err != nil {
		return nil, err
	}
	return &Worker{bus: b, consumer: c, own: own, again: again, handler: h, cfg: cfg, log: log.Named(c.Name), metrics: m}, nil
}

// Run works until ctx ends, then finishes or hands back what it holds. It returns an error only when it cannot go on:
// the process should end then.
//
//	      ┌─ loop over the consumer's stream, ×concurrency ─┐
//	Run ──┼─ loop over what was scheduled or handed back ───┼─► handle ─► attempt ─► settle
//	      ├─ check the sink, before anything is fetched     └─── outage: hold, probe ───┘
//	      └─ watch the lag
func (w *Worker) Run(ctx context.Context) error {
	w.tracer = trace.From(ctx)
	g, ctx := errgroup.WithContext(ctx)
	w.say(ctx, nil) // what was said before this process was started
	if w.hooks.Check != nil {
		w.outage.begin()
		g.Go(func() error { w.awaitCheck(ctx); return nil })
	}
	for range w.cfg.Concurrency {
		g.Go(func() error { return w.loop(ctx, w.own) })
	}
	g.Go(func() error { return w.loop(ctx, w.again) })
	g.Go(func() error { w.watchLag(ctx); return nil })
	return g.Wait()
}

func (w *Worker) loop(ctx context.Context, in *bus.Inbox) error {
	for {
		w.outage.wait(ctx) // nothing is fetched that could not be delivered
		if ctx.Err() != nil {
			return nil
		}
		batch, err := in.Fetch(ctx, w.cfg.Batch, w.cfg.Linger)
		if len(batch) > 0 {
			w.handle(ctx, batch)
		}
		if errors.Is(err, bus.ErrGone) {
			return err
		}
		if err != nil && ctx.Err() == nil {
			w.log.Warn("cannot fetch; trying again", zap.Error(err))
			sleep(ctx, time.Second)
		}
	}
}

// handle keeps what was fetched until each message is settled, however long the sink is down.
func (w *Worker) handle(ctx context.Context, fetched []*bus.Message) {
	stop := keepAlive(fetched, w.bus.AckWait()/3)
	defer stop()
	for batch := range slices.Chunk(fetched, w.cfg.Batch) {
		if ctx.Err() != nil {
			w.handBack(ctx, batch)
			continue
		}
		w.handleBatch(ctx, batch)
	}
}

func (w *Worker) handleBatch(ctx context.Context, batch []*bus.Message) {
	for again := false; len(batch) > 0; again = true {
		held, delay, results := w.attempt(ctx, batch)
		if len(held) == 0 {
			if again || results[resultDone] > 0 { // what the sink is never asked about says nothing of it
				w.say(ctx, nil) // an outage that was said of this batch while another loop ended it
			}
			return
		}
		if w.outage.begin() {
			held = w.probe(ctx, held, delay)
			w.outage.end()
		} else {
			w.outage.wait(ctx)
		}
		if ctx.Err() != nil {
			w.handBack(ctx, held)
			return
		}
		batch = held
	}
}

func (w *Worker) handBack(ctx context.Context, held []*bus.Message) {
	for _, m := range held {
		w.settle(ctx, m, errCutShort)
	}
}

// attempt runs the handler once, settles every message that has an answer, and returns those that met an outage with
// how long to leave the sink alone. results counts how the attempt ended for each.
func (w *Worker) attempt(ctx context.Context, batch []*bus.Message) (held []*bus.Message, delay time.Duration, results map[string]int) {
	hctx, cancel := withGrace(ctx, w.cfg.Grace)
	defer cancel()
	began := time.Now()
	spans := w.begin(batch)
	errs := w.call(hctx, batch)
	cut := hctx.Err() != nil
	results = map[string]int{}
	for i, m := range batch {
		kind, _ := retry.Classify(errs[i])
		var result string
		switch {
		case kind == retry.Paused:
			held, delay = append(held, m), max(delay, w.pause(errs[i]))
			result = resultOutage
			w.metrics.results.WithLabelValues(resultOutage).Inc()
			if len(held) == 1 {
				w.say(ctx, errs[i])
				w.log.Warn("outage", zap.Stringer("origin", m.Origin), zap.Error(errs[i]))
			}
		case cut && kind != retry.Done:
			result = w.settle(ctx, m, errCutShort)
		default:
			result = w.settle(ctx, m, errs[i])
		}
		results[result]++
		spans.end(i, result)
	}
	w.log.Info("batch", zap.Int("messages", len(batch)), zap.Any("results", results), zap.Duration("took", time.Since(began)),
		zap.Stringer("first", batch[0].Origin), zap.Stringer("last", batch[len(batch)-1].Origin))
	return held, delay, results
}

// call runs the handler. A wrong number of answers is a plain error for the whole batch; so is a panic for the message
// that causes it, which is found by halving.
func (w *Worker) call(ctx context.Context, batch []*bus.Message) (errs []error) {
	all := func(err error) []error {
		errs := make([]error, len(batch))
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	defer func() {
		if p := recover(); p != nil {
			w.log.Error("handler panicked", zap.String("panic", fmt.Sprintf("%T", p)), zap.ByteString("stack", debug.Stack()))
			if mid := len(batch) / 2; mid > 0 {
				errs = append(w.call(ctx, batch[:mid]), w.call(ctx, batch[mid:])...)
				return
			}
			errs = all(errors.New("the handler panicked"))
		}
	}()
	if errs = w.handler(ctx, batch); len(errs) != len(batch) {
		errs = all(fmt.Errorf("the handler gave %d answers to %d messages", len(errs), len(batch)))
	}
	return errs
}

// keepAlive tells the broker at intervals that the batch is being worked on, until stopped. It passes over what is settled.
func keepAlive(batch []*bus.Message, every time.Duration) (stop func()) {
	done := make(chan struct{})
	go func() {
		t := time.NewTicker(every)
		defer t.Stop()
		for {
			select {
			case <-done:
				return
			case <-t.C:
				bus.InProgress(batch)
			}
		}
	}()
	return func() { close(done) }
}

// withGrace is ctx, but living on for the grace after ctx has ended.
func withGrace(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case <-t.C:
			cancel()
		case <-out.Done():
		}
	})
	return out, func() { stop(); cancel() }
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
