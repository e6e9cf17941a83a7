package crm

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/pkg/worker"
	"github.com/onhook/onhook/services/crm/internal/sink"
)

// runner is one sink: its worker over CALLS, and its client.
type runner struct {
	name    string
	filters filters
	client  sink.Sink
	limit   *rate.Limiter
	bus     *bus.Bus
	worker  *worker.Worker
	ages    *worker.Ages
	log     *zap.Logger
}

func newRunner(ctx context.Context, name string, cfg *Sink, b *bus.Bus, log *zap.Logger, reg prometheus.Registerer) (*runner, error) {
	k, err := kindOf(cfg.Kind)
	if err != nil {
		return nil, err
	}
	consumer := bus.CRM(name).From(cfg.Start)
	r := &runner{name: name, filters: cfg.filters, bus: b, log: log.Named(consumer.Name), limit: rate.NewLimiter(rate.Inf, 0)}
	if cfg.RateLimit > 0 {
		r.limit = rate.NewLimiter(rate.Limit(cfg.RateLimit), max(1, int(math.Ceil(cfg.RateLimit))))
	}
	if r.client, err = k.open(cfg.client, deps{name: name, contacts: b.Contacts(name), log: r.log}); err != nil {
		return nil, err
	}
	if m, ok := r.client.(sink.Metered); ok {
		if err := reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "onhook_sink_quota_left_ratio",
			Help:        "Share of the account's requests of a day that was left when the vendor last said; NaN until then.",
			ConstLabels: prometheus.Labels{"sink": consumer.Name},
		}, m.QuotaLeft)); err != nil {
			return nil, err
		}
	}
	if r.ages, err = worker.NewAges(consumer.Name, reg); err != nil {
		return nil, err
	}
	if r.worker, err = worker.New(ctx, b, consumer, r.handle, cfg.Config, log, reg); err != nil {
		return nil, err
	}
	r.worker.Hook(worker.Hooks{Check: r.check, Dead: r.dead})
	return r, nil
}

// checkTimeout bounds one look at whether the account can take calls.
const checkTimeout = 30 * time.Second

func (r *runner) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	return r.client.Check(ctx)
}

// handle delivers those calls of a batch that the sink is to have.
func (r *runner) handle(ctx context.Context, batch []*bus.Message) []error {
	errs := make([]error, len(batch))
	var items []sink.Item
	var at []int // where in batch each item stands
	var outcomes []call.Outcome
	var told []int // where in batch each outcome stands
	for i, m := range batch {
		c, err := m.Call()
		switch {
		case err != nil:
			errs[i] = err
			continue
		case !r.filters.wanted(c):
			errs[i] = worker.ErrSkipped
			continue
		}
		// An expression that cannot be evaluated is not taken for false: that would lose the call without a word.
		if ok, err := r.filters.chosen(c); err != nil {
			errs[i] = retry.Never(err)
		} else if !ok {
			errs[i] = worker.ErrSkipped
			outcomes, told = append(outcomes, r.outcome(c, m, call.ResultSkipped)), append(told, i)
		} else if item, err := r.filters.item(c); err != nil {
			errs[i] = retry.Never(err)
		} else {
			item.Trace = m.Trace
			items, at = append(items, item), append(at, i)
		}
	}
	for j, result := range r.deliver(ctx, items) {
		i := at[j]
		if errs[i] = result.Err; result.Err == nil {
			o := r.outcome(items[j].Call, batch[i], call.ResultDelivered)
			o.VendorID, o.Note = result.VendorID, result.Note
			outcomes, told = append(outcomes, o), append(told, i)
			r.ages.Observe(items[j].Call)
		}
	}
	copies := make([]string, len(told))
	for j, i := range told {
		copies[j] = batch[i].Copy()
	}
	for j, err := range r.tell(ctx, outcomes, copies) {
		if err != nil {
			errs[told[j]] = err
		}
	}
	return errs
}

// deliver answers one result per item. With a rate limit it sends what there are tokens for, and then waits for more: a batch
// may hold the tokens of many minutes. What is left when the sink goes down is not sent.
func (r *runner) deliver(ctx context.Context, items []sink.Item) []sink.Result {
	if r.limit.Limit() == rate.Inf {
		return r.send(ctx, items)
	}
	var results []sink.Result
	for len(results) < len(items) {
		left := items[len(results):]
		part := left[:min(len(left), r.limit.Burst())]
		if err := r.limit.WaitN(ctx, len(part)); err != nil {
			return append(results, failAll(left, err)...)
		}
		sent := r.send(ctx, part)
		results, left = append(results, sent...), left[len(part):]
		for _, result := range sent {
			if kind, _ := retry.Classify(result.Err); kind == retry.Paused {
				return append(results, failAll(left, result.Err)...)
			}
		}
	}
	return results
}

// send is deliver without a limit.
func (r *runner) send(ctx context.Context, items []sink.Item) []sink.Result {
	if len(items) == 0 {
		return nil
	}
	results := r.client.Deliver(ctx, items)
	if len(results) != len(items) {
		return failAll(items, fmt.Errorf("the client gave %d results for %d calls", len(results), len(items)))
	}
	return results
}

func failAll(items []sink.Item, err error) []sink.Result {
	results := make([]sink.Result, len(items))
	for i := range results {
		results[i].Err = err
	}
	return results
}

func (r *runner) outcome(c *call.Call, m *bus.Message, result call.Result) call.Outcome {
	return call.Outcome{Sink: r.name, Provider: c.Provider, Source: c.Source, CallID: c.CallID, Event: c.Event,
		Result: result, Attempts: m.Failed + 1, At: call.At(time.Now())}
}

// tell publishes outcomes and answers, for each, why its call must come again. That the stream is full, or that it takes no
// such message, is no reason: what is lost is the record of the delivery, not the call.
func (r *runner) tell(ctx context.Context, outcomes []call.Outcome, copies []string) []error {
	if ctx.Err() != nil { // the grace is over, and what was delivered until then must not be sent again
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
	}
	errs := r.bus.PublishOutcomes(ctx, outcomes, copies)
	for i, err := range errs {
		if kind, _ := retry.Classify(err); kind == retry.Dead || errors.Is(err, bus.ErrFull) {
			r.log.Warn("an outcome is not recorded", zap.Error(err))
			errs[i] = nil
		}
	}
	return errs
}

// dead records that a call was given up.
func (r *runner) dead(ctx context.Context, m *bus.Message, cause error) {
	c, err := m.Call()
	if err != nil {
		return // not a call: there is none whose outcome it could be
	}
	o := r.outcome(c, m, call.ResultDead)
	o.Error = cause.Error()
	for _, err := range r.bus.PublishOutcomes(ctx, []call.Outcome{o}, []string{m.Copy()}) {
		if err != nil {
			r.log.Warn("an outcome is not recorded", zap.Error(err))
		}
	}
}
