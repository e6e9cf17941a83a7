// Package crm delivers calls to CRMs and webhooks: each configured sink has a consumer, a pace, outages and dead letters
// of its own.
package crm

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/onhook/onhook/pkg/bus"
)

// CRM is the configured sinks.
type CRM struct {
	sinks []*runner
}

// New opens the consumer of each sink. A sink that cannot be reached is no error: it is looked at again in its own time.
func New(ctx context.Context, cfg Config, b *bus.Bus, log *zap.Logger, reg prometheus.Registerer) (*CRM, error) {
	c := &CRM{}
	for _, name := range cfg.Names() {
		s, err := newRunner(ctx, name, cfg[name], b, log, reg)
		if err != nil {
			return nil, fmt.Errorf("crm.%s: %w", name, err)
		}
		c.sinks = append(c.sinks, s)
	}
	return c, nil
}

// Grace is how long a stop may take: the longest of the sinks'.
func (c Config) Grace() time.Duration {
	var longest time.Duration
	for _, s := range c {
		longest = max(longest, s.Grace)
	}
	return longest
}

// Run works until ctx ends. It returns an error only when a worker cannot go on, as when its consumer was deleted: no
// answer of a vendor is one.
//
//	CALLS ──┬─► crm-<a>: filter ─► limit ─► client a ─► outcome
//	        └─► crm-<b>: filter ─► limit ─► client b ─► outcome
func (c *CRM) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, s := range c.sinks {
		g.Go(func() error { return s.worker.Run(ctx) })
	}
	g.Go(func() error { <-ctx.Done(); return nil }) // without a sink there is nothing to do, which is no reason to end
	return g.Wait()
}
