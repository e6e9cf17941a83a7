package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/retry"
)

// outage is whether the worker's sink is known to be down. One of the worker's loops begins and ends it, and probes
// meanwhile; the others wait. The zero outage is none.
type outage struct {
	mu   sync.Mutex
	over chan struct{} // nil when there is none
	said said
}

// said is what others were told of the outage.
type said struct {
	reason string // empty when there is none
	since  time.Time
	at     time.Time
}

// begin reports whether the caller is the first to see the outage; then it must end it.
func (o *outage) begin() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over != nil {
		return false
	}
	o.over = make(chan struct{})
	return true
}

func (o *outage) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.over)
	o.over = nil
}

// wait returns when there is no outage, or ctx ends.
func (o *outage) wait(ctx context.Context) {
	o.mu.Lock()
	over := o.over
	o.mu.Unlock()
	if over == nil {
		return
	}
	select {
	case <-over:
	case <-ctx.Done():
	}
}

// say tells the metric, and through the broker the operator, why the worker waits, or with nil that it works.
func (w *Worker) say(ctx context.Context, err error) {
	o := &w.outage
	o.mu.Lock()
	now := time.Now()
	next := said{at: now}
	if err != nil {
		if next = (said{reason: err.Error(), since: o.said.since, at: now}); next.since.IsZero() {
			next.since = now
		}
	}
	told := next.reason == o.said.reason && !o.said.at.IsZero() && (err == nil || now.Sub(o.said.at) < bus.OutageRenewal)
	if !told {
		o.said = next
	}
	o.mu.Unlock()
	if told {
		return
	}
	w.metrics.setDown(err != nil)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	var note *bus.Outage
	if err != nil {
		note = &bus.Outage{Reason: next.reason, Since: next.since}
	}
	if err := w.bus.SetOutage(ctx, w.consumer, note); err != nil {
		w.log.Warn("cannot tell others of an outage", zap.Error(err)) // the broker is away, perhaps: that is seen elsewhere
	}
}

// mostPause bounds what a sink can ask for.
const mostPause = 24 * time.Hour

// pause is how long to leave a sink alone that met err: as long as it asked for itself, else ProbeMax at most.
func (w *Worker) pause(err error) time.Duration {
	_, d := retry.Classify(err)
	if d <= 0 {
		d = w.cfg.BackoffMin
	}
	if retry.AtLeast(err) {
		return min(d, mostPause)
	}
	return min(d, w.cfg.ProbeMax)
}

// hold waits for d, and renews the word of the outage meanwhile.
func (w *Worker) hold(ctx context.Context, d time.Duration) {
	end := time.Now().Add(d)
	for left := d; left > 0 && ctx.Err() == nil; left = time.Until(end) {
		sleep(ctx, min(left, bus.OutageRenewal))
		w.outage.mu.Lock()
		reason := w.outage.said.reason
		w.outage.mu.Unlock()
		if reason != "" && ctx.Err() == nil {
			w.say(ctx, errors.New(reason))
		}
	}
}

// awaitCheck asks the check until it is content, then ends the outage that Run began.
func (w *Worker) awaitCheck(ctx context.Context) {
	defer w.outage.end()
	for failed := 1; ; failed++ {
		err := w.hooks.Check(ctx)
		if ctx.Err() != nil {
			return
		}
		w.say(ctx, err)
		if err == nil {
			return
		}
		delay := w.pause(err)
		if kind, d := retry.Classify(err); kind != retry.Paused || d <= 0 {
			delay = min(w.backoff(failed), w.cfg.ProbeMax)
		}
		w.log.Error("the sink cannot take messages yet; holding all", zap.Error(err), zap.Duration("next look", delay))
		w.hold(ctx, delay)
	}
}

// probe tries one message at a time until the sink has an answer to it, and returns the messages it did not settle.
func (w *Worker) probe(ctx context.Context, held []*bus.Message, delay time.Duration) []*bus.Message {
	began := time.Now()
	w.log.Warn("the sink is down; holding", zap.Int("held", len(held)))
	for tried := 1; ; tried++ {
		w.hold(ctx, delay)
		if ctx.Err() != nil {
			return held
		}
		var still []*bus.Message
		if still, delay, _ = w.attempt(ctx, held[:1]); len(still) == 0 {
			w.say(ctx, nil)
			w.log.Info("the sink is back", zap.Duration("down", time.Since(began)))
			return held[1:]
		}
		if tried >= len(held) {
			if rest := w.doubt(ctx, held); len(rest) < len(held) {
				w.say(ctx, nil)
				return rest
			}
		}
		held = append(held[1:], held[0]) // another one next: this one alone may be what the sink cannot take
	}
}

// doubt is for messages that each met an outage alone: it asks whether the sink is down or only cannot take them. Whenever
// it takes another, one of them is tried once more. If that still does not get through it is at fault: what was taken for an
// outage is counted as a plain error. doubt returns those that it did not settle.
func (w *Worker) doubt(ctx context.Context, held []*bus.Message) []*bus.Message {
	for len(held) > 0 && w.takesAnother(ctx) {
		if still, _, _ := w.attempt(ctx, held[:1]); len(still) > 0 {
			w.settle(ctx, still[0], errors.New("an outage to this message alone: the sink takes others"))
		}
		held = held[1:]
	}
	return held
}

// takesAnother tries messages that wait until the sink takes one, fails at one, or none is left. It goes past those that
// are left out or die: they may never have reached the sink, and prove nothing.
func (w *Worker) takesAnother(ctx context.Context) bool {
	for ctx.Err() == nil {
		soon, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		others, err := w.own.Fetch(soon, 1, 0)
		cancel()
		if err != nil || len(others) == 0 {
			w.handBack(ctx, others)
			return false
		}
		for i := range others { // several of one envelope
			held, _, results := w.attempt(ctx, others[i:i+1])
			if results[resultSkipped]+results[resultDead] > 0 {
				continue
			}
			w.handBack(ctx, held)
			w.handBack(ctx, others[i+1:])
			return results[resultDone] > 0
		}
	}
	return false
}

// ErrSkipped is a handler's answer for a message that its sink is not to have. It is acknowledged, and counted as skipped.
var ErrSkipped = errors.New("left out")
