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

// sayAgain is how often an outage that goes on is told of again. What nobody renews passes after hours.
const sayAgain = time.Minute

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
	told := next.reason == o.said.reason && !o.said.at.IsZero() && (err == nil || now.Sub(o.said.at) < sayAgain)
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
		kind, delay := retry.Classify(err)
		if kind != retry.Paused || delay <= 0 {
			delay = w.backoff(failed)
		}
		delay = min(delay, w.cfg.ProbeMax)
		w.log.Error("the sink cannot take messages yet; holding all", zap.Error(err), zap.Duration("next look", delay))
		sleep(ctx, delay)
	}
}

// ErrSkipped is a handler's answer for a message that its sink is not to have. It is acknowledged, and counted as skipped.
var ErrSkipped = errors.New("left out")
