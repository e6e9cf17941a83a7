package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// lagEvery is how often the lag is read from the broker.
const lagEvery = 5 * time.Second

type metrics struct {
	results *prometheus.CounterVec
	lag     prometheus.Gauge
	oldest  prometheus.Gauge
	dead    prometheus.Gauge
	down    prometheus.Gauge
}

func (m *metrics) setDown(down bool) {
	if down {
		m.down.Set(1)
	} else {
		m.down.Set(0)
	}
}

func newMetrics(sink string, reg prometheus.Registerer) (metrics, error) {
	m := metrics{
		results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "onhook_sink_results_total",
			Help: "Messages by how an attempt at them ended: done, skipped, again, dead, handed_back, outage, unsettled.",
		}, []string{"result"}),
		lag: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "onhook_sink_lag_messages",
			Help: "Messages that are not settled yet: waiting, in hand, and scheduled for later.",
		}),
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "onhook_sink_oldest_seconds",
			Help: "Age of the oldest message that is not settled yet.",
		}),
		dead: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "onhook_sink_dead_messages",
			Help: "Messages that were given up, and that nobody has redriven or discarded yet.",
		}),
		down: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "onhook_sink_down",
			Help: "1 while the worker waits for its sink, and loses nothing: the reason is in the status.",
		}),
	}
	for _, r := range []string{resultDone, resultAgain, resultDead} {
		m.results.WithLabelValues(r) // present from the start, so that a rate can be taken
	}
	reg = prometheus.WrapRegistererWith(prometheus.Labels{"sink": sink}, reg)
	for _, c := range []prometheus.Collector{m.results, m.lag, m.oldest, m.dead, m.down} {
		if err := reg.Register(c); err != nil {
			return m, fmt.Errorf("metrics of %s: %w", sink, err)
		}
	}
	return m, nil
}

func (w *Worker) watchLag(ctx context.Context) {
	t := time.NewTicker(lagEvery)
	defer t.Stop()
	for {
		s, err := w.bus.Status(ctx, w.consumer)
		switch {
		case err == nil:
			w.metrics.lag.Set(float64(s.Pending))
			w.metrics.oldest.Set(s.OldestSeconds)
			w.metrics.dead.Set(float64(s.Dead))
		case ctx.Err() == nil:
			w.log.Warn("cannot read the lag", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}
