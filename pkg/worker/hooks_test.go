package worker_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/pkg/worker"
)

// startHooked is start with hooks.
func (f *fixture) startHooked(h worker.Handler, hooks worker.Hooks) {
	f.t.Helper()
	f.reg = prometheus.NewRegistry()
	w, err := worker.New(f.t.Context(), f.bus, bus.Decoder, h, f.cfg, zap.NewNop(), f.reg)
	if err != nil {
		f.t.Fatal(err)
	}
	w.Hook(hooks)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	f.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Error(err)
		}
	})
}

// metric is the value of a metric, or of its series with the result.
func (f *fixture) metric(name, result string) float64 {
	f.t.Helper()
	all, err := f.reg.Gather()
	if err != nil {
		f.t.Fatal(err)
	}
	for _, family := range all {
		for _, m := range family.GetMetric() {
			if family.GetName() == name && (result == "" || m.GetLabel()[0].GetValue() == result) {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func TestNothingIsFetchedBeforeTheCheckIsContent(t *testing.T) {
	f := setup(t)
	f.publish("a")
	var got seen
	var ok atomic.Bool
	f.startHooked(worker.Each(func(_ context.Context, m *bus.Message) error { got.add(m); return nil }), worker.Hooks{
		Check: func(context.Context) error {
			if ok.Load() {
				return nil
			}
			return retry.Outage(time.Millisecond, errors.New("the key property is missing"))
		},
	})
	f.waitFor("a word of the outage", func() bool { return f.status().Outage != nil })
	if s := f.status(); s.Outage.Reason != "the key property is missing" || got.count("a") != 0 || f.metric("onhook_sink_down", "") != 1 {
		t.Errorf("%+v; handled %q", s.Outage, got.names)
	}
	ok.Store(true)
	f.waitSettled()
	if got.count("a") != 1 {
		t.Errorf("handled %q", got.names)
	}
	f.waitFor("the end of the outage", func() bool { return f.status().Outage == nil && f.metric("onhook_sink_down", "") == 0 })
}

func TestAnOutageIsToldAndItsEndToo(t *testing.T) {
	f := setup(t)
	f.publish("a")
	var ok atomic.Bool
	f.startHooked(worker.Each(func(context.Context, *bus.Message) error {
		if ok.Load() {
			return nil
		}
		return retry.Outage(time.Millisecond, errors.New("401"))
	}), worker.Hooks{})
	f.waitFor("a word of the outage", func() bool { s := f.status(); return s.Outage != nil && s.Outage.Reason == "401" })
	ok.Store(true)
	f.waitFor("the end of the outage", func() bool { return f.status().Outage == nil })
	f.waitSettled()
}

func TestTheDeadAreTold(t *testing.T) {
	f := setup(t)
	f.publish("never", "often", "fine", "left out")
	told := make(chan string, 10)
	f.startHooked(worker.Each(func(_ context.Context, m *bus.Message) error {
		d, err := m.Delivery(context.Background())
		if err != nil {
			return err
		}
		switch string(d.Body) {
		case "never":
			return retry.Never(errors.New("refused"))
		case "often":
			return errors.New("not now")
		case "left out":
			return worker.ErrSkipped
		}
		return nil
	}), worker.Hooks{Dead: func(_ context.Context, m *bus.Message, cause error) {
		d, err := m.Delivery(context.Background())
		if err != nil {
			t.Error(err)
			return
		}
		told <- string(d.Body) + ": " + cause.Error()
	}})
	f.waitSettled()
	close(told)
	words := map[string]int{}
	for w := range told {
		words[w]++
	}
	if len(words) != 2 || words["never: refused"] != 1 || words["often: not now"] != 1 || len(f.dead()) != 2 {
		t.Errorf("%v, dead %+v", words, f.dead())
	}
	if n := f.metric("onhook_sink_results_total", "skipped"); n != 1 {
		t.Errorf("%v skipped", n)
	}
}
