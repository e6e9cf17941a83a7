package worker

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/onhook/onhook/pkg/call"
)

// Ages observes how long calls take to a sink.
type Ages struct{ seconds prometheus.Histogram }

// NewAges registers the histogram of the sink whose consumer has the name.
func NewAges(consumer string, reg prometheus.Registerer) (*Ages, error) {
	a := &Ages{seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:        "onhook_call_to_sink_seconds",
		Help:        "Time from the end of a call, or where that is unknown from its webhook, until the sink has it.",
		ConstLabels: prometheus.Labels{"sink": consumer},
		Buckets:     []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 21600, 86400},
	})}
	return a, reg.Register(a.seconds)
}

// Observe counts a call that the sink has now.
func (a *Ages) Observe(c *call.Call) { a.seconds.Observe(age(c).Seconds()) }

// age is the time since the call ended, or since its webhook came where that is not known or lies ahead.
func age(c *call.Call) time.Duration {
	for _, t := range []*call.Time{c.EndedAt, c.ReceivedAt} {
		if t != nil {
			if d := time.Since(t.Time); d >= 0 {
				return d
			}
		}
	}
	return 0
}
