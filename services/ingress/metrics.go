package ingress

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// accepted is the outcome of a delivery that was answered 200.
const accepted = "accepted"

// unknownSource stands for whatever name a request gave that is no source's: a label must not be the sender's to choose.
const unknownSource = "unknown"

type metrics struct {
	deliveries *prometheus.CounterVec
	ackSeconds prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer, sources []string) (*metrics, error) {
	m := &metrics{
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "onhook_deliveries_total",
			Help: "Webhook requests by source and outcome; accepted ones were answered 200 and are in the stream.",
		}, []string{"source", "outcome"}),
		ackSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "onhook_ack_seconds",
			Help:    "Time from the request's header to its 200.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
	}
	for _, s := range sources { // present from the start, so that a rate can be taken
		for _, outcome := range []string{accepted, unauthorized.outcome, internal.outcome, overloaded.outcome, unavailable.outcome} {
			m.deliveries.WithLabelValues(s, outcome)
		}
	}
	return m, errors.Join(reg.Register(m.deliveries), reg.Register(m.ackSeconds))
}
