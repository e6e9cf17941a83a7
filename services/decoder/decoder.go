// Package decoder turns deliveries into calls: it reads WEBHOOKS, decodes each body by its provider, and publishes the
// call to CALLS, which keeps the first of each identity and refuses the rest.
package decoder

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/provider"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/pkg/worker"
)

// Config is section decoder of onhook.yaml.
type Config struct {
	worker.Config `yaml:",inline"`
}

// DefaultConfig suits one broker on this machine.
func DefaultConfig() Config { return Config{Config: worker.DefaultConfig()} }

// Decoder is the worker over WEBHOOKS.
type Decoder struct {
	*worker.Worker
	bus       *bus.Bus
	providers map[string]provider.Provider
	decoded   *prometheus.CounterVec
}

// The results that a decoded delivery can have, as the metric names them.
const (
	resultCall      = "call"
	resultDuplicate = "duplicate" // the call is known: a success
	resultIgnored   = "ignored"   // authentic, but not about one call
	resultDead      = "dead"      // undecodable
	resultError     = "error"     // to be tried again
)

// New opens the decoder's consumer. It decodes deliveries of the providers, normally provider.All().
func New(ctx context.Context, cfg Config, providers []provider.Provider, b *bus.Bus, log *zap.Logger, reg prometheus.Registerer) (*Decoder, error) {
	d := &Decoder{
		bus:       b,
		providers: map[string]provider.Provider{},
		decoded: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "onhook_decoded_total",
			Help: "Deliveries by provider and result: call, duplicate, ignored, dead, error.",
		}, []string{"provider", "result"}),
	}
	for _, p := range providers {
		d.providers[p.Name] = p
		for _, result := range []string{resultCall, resultDuplicate, resultDead} {
			d.decoded.WithLabelValues(p.Name, result) // present from the start, so that a rate can be taken
		}
	}
	if err := reg.Register(d.decoded); err != nil {
		return nil, err
	}
	var err error
	d.Worker, err = worker.New(ctx, b, bus.Decoder, d.handle, cfg.Config, log, reg)
	return d, err
}

// batchBytes bounds the bodies that are decoded at once: one of them can be 64 MiB, and its call takes several times that.
const batchBytes = 64 << 20

// handle decodes a batch, of which it has no more in memory at a time than batchBytes or one body.
func (d *Decoder) handle(ctx context.Context, batch []*bus.Message) (errs []error) {
	for len(batch) > 0 {
		n, size := 1, batch[0].Size()
		for ; n < len(batch) && size+batch[n].Size() <= batchBytes; n++ {
			size += batch[n].Size()
		}
		errs = append(errs, d.handlePart(ctx, batch[:n])...)
		batch = batch[n:]
	}
	return errs
}

// handlePart decodes some of a batch and publishes its calls together.
func (d *Decoder) handlePart(ctx context.Context, batch []*bus.Message) []error {
	errs := make([]error, len(batch))
	calls := make([]*call.Call, len(batch))
	names := make([]string, len(batch))
	for i, m := range batch {
		names[i], calls[i], errs[i] = d.decode(ctx, m)
	}
	for i, err := range d.bus.PublishCalls(ctx, calls, batch...) {
		if calls[i] != nil {
			errs[i] = err
		}
	}
	for i, err := range errs {
		result := resultOf(err)
		d.decoded.WithLabelValues(names[i], result).Inc()
		if result == resultDuplicate || result == resultIgnored {
			errs[i] = nil
		}
	}
	return errs
}

// decode makes the call of one delivery. It returns no call with an error.
func (d *Decoder) decode(ctx context.Context, m *bus.Message) (name string, c *call.Call, err error) {
	dl, err := m.Delivery(ctx)
	if err != nil {
		return "unknown", nil, err
	}
	p, ok := d.providers[dl.Provider]
	if !ok {
		// Not never: the ingress that took it is newer, and so may another decoder be.
		return "unknown", nil, fmt.Errorf("this decoder knows no provider %q: upgrade this service", dl.Provider)
	}
	if c, err = p.Call(dl.Source, dl.Body); err != nil {
		return p.Name, nil, err
	}
	c.DeliveryID = dl.ID
	c.ReceivedAt = call.At(dl.ReceivedAt)
	c.Auth = dl.Auth
	c.BodyRef = m.Origin.String()
	c.Headers = map[string]string{}
	for name, v := range map[string]string{"content-type": dl.ContentType, "user-agent": dl.UserAgent} {
		if v = strings.ToValidUTF8(v, "\ufffd"); v != "" {
			c.Headers[name] = v
		}
	}
	return p.Name, c, nil
}

func resultOf(err error) string {
	kind, _ := retry.Classify(err)
	switch {
	case err == nil:
		return resultCall
	case errors.Is(err, bus.ErrDuplicate):
		return resultDuplicate
	case errors.Is(err, provider.ErrIgnored):
		return resultIgnored
	case kind == retry.Dead:
		return resultDead
	default:
		return resultError
	}
}
