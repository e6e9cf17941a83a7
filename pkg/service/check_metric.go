package service

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
)

var checkDesc = prometheus.NewDesc("onhook_check_ok", "Whether a condition of readiness holds: 1 or 0. /readyz says why not.", []string{"check"}, nil)

// checkMetric probes the checks when it is scraped, as nobody else may: that takes the budget of a probe at most.
type checkMetric struct{ checks *checks }

// Describe implements prometheus.Collector.
func (checkMetric) Describe(out chan<- *prometheus.Desc) { out <- checkDesc }

// Collect implements prometheus.Collector.
func (m checkMetric) Collect(out chan<- prometheus.Metric) {
	for _, c := range m.checks.run(context.Background()).Checks {
		ok := 0.0
		if c.OK {
			ok = 1
		}
		out <- prometheus.MustNewConstMetric(checkDesc, prometheus.GaugeValue, ok, c.Name)
	}
}
