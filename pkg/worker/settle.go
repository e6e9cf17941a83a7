package worker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/retry"
)

// errCutShort stands for an attempt that shutdown ended: the message goes back as if it had not been tried.
var errCutShort = errors.New("cut short by shutdown")

// The results that a message can have, as metrics and logs name them.
const (
	resultDone       = "done"
	resultSkipped    = "skipped" // the handler left it out
	resultAgain      = "again"
	resultDead       = "dead"
	resultHandedBack = "handed_back"
	resultOutage     = "outage"    // not settled: held until the sink is back
	resultUnsettled  = "unsettled" // the broker did not take the settlement; it delivers the message again
)

// settle ends a message by what err means and returns the result. Nothing else acks, hands back, schedules or buries.
func (w *Worker) settle(ctx context.Context, m *bus.Message, err error) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	failed := m.Failed + 1
	fields := []zap.Field{zap.Stringer("origin", m.Origin), zap.Int("attempts", failed), zap.Error(err)}

	var result string
	var settled error
	switch kind, delay := retry.Classify(err); {
	case kind == retry.Done:
		result, settled = resultDone, m.Ack()
	case errors.Is(err, ErrSkipped):
		result, settled = resultSkipped, m.Ack()
	case errors.Is(err, errCutShort):
		result, settled = resultHandedBack, m.HandBack()
	case kind == retry.Dead:
		result, settled = w.bury(ctx, m, err.Error(), err, fields)
	case failed >= w.cfg.Attempts:
		result, settled = w.bury(ctx, m, fmt.Sprintf("gave up after %d attempts: %v", failed, err), err, fields)
	default:
		delay = max(delay, w.backoff(failed))
		result, settled = resultAgain, m.Schedule(ctx, time.Now().Add(delay), failed)
		w.log.Warn("again", append(fields, zap.Duration("in", delay))...)
	}
	if settled != nil {
		w.log.Warn("cannot settle; the broker delivers it again", zap.Stringer("origin", m.Origin), zap.String("as", result), zap.Error(settled))
		result = resultUnsettled
	}
	w.metrics.results.WithLabelValues(result).Inc()
	return result
}

func (w *Worker) bury(ctx context.Context, m *bus.Message, reason string, cause error, fields []zap.Field) (result string, settled error) {
	if w.hooks.Dead != nil {
		w.hooks.Dead(ctx, m, cause)
	}
	w.log.Error("dead", fields...)
	return resultDead, m.Bury(ctx, reason, cause, m.Failed+1)
}

// backoff is a random time up to the bound that doubles with each failed attempt: full jitter, so that what failed
// together does not come back together.
func (w *Worker) backoff(failed int) time.Duration {
	bound := w.cfg.BackoffMax
	if shift := failed - 1; w.cfg.BackoffMin < bound>>shift { // else the doubling passes the bound, and may overflow
		bound = w.cfg.BackoffMin << shift
	}
	return w.cfg.BackoffMin + rand.N(max(bound-w.cfg.BackoffMin, 1))
}
