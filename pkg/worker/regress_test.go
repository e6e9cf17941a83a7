package worker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/pkg/worker"
)

func TestAPanicHurtsNoOtherMessageOfItsBatch(t *testing.T) {
	f := setup(t)
	f.cfg.Attempts = 1 // whoever fails with it is dead with it
	var names []string
	for i := range 9 {
		names = append(names, fmt.Sprint(i))
	}
	f.publish(append(names, "poison")...)
	var got seen
	f.start(worker.Each(func(_ context.Context, m *bus.Message) error {
		if got.add(m) == "poison" {
			panic("poison")
		}
		return nil
	}))
	f.waitSettled()
	if dead := f.dead(); len(dead) != 1 || dead[0].Origin != "WEBHOOKS/10" {
		t.Errorf("dead %+v", dead)
	}
}

func TestAClosedConnectionEndsRun(t *testing.T) {
	f := setup(t)
	w, err := worker.New(t.Context(), f.bus, bus.Decoder, worker.Each(func(context.Context, *bus.Message) error { return nil }), f.cfg, zap.NewNop(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	f.bus.Close()
	select {
	case err := <-done:
		if err == nil {
			t.Error("Run ended without an error, half its work undone")
		}
	case <-time.After(20 * time.Second):
		t.Error("Run goes on with a connection that never comes back")
		cancel()
		<-done
	}
}

// One message that the sink can never take, but which looks like an outage, must not stop all others for good.
func TestAnOutageToOneMessageAloneDoesNotStopTheOthers(t *testing.T) {
	f := setup(t)
	f.cfg.Attempts = 2
	f.publish("poison")
	var got seen
	f.start(worker.Each(func(_ context.Context, m *bus.Message) error {
		if got.add(m) == "poison" {
			return retry.Outage(time.Millisecond, errors.New("statement timeout"))
		}
		return nil
	}))
	f.waitFor("the outage", func() bool { return got.count("poison") > 3 })
	for i := range 100 {
		name := fmt.Sprint(i)
		f.publish(name)
		f.waitFor("the next one", func() bool { return got.count(name) > 0 })
		if len(f.dead()) > 0 {
			break
		}
	}
	f.waitSettled()
	if dead := f.dead(); len(dead) != 1 || dead[0].Origin != "WEBHOOKS/1" || dead[0].Attempts != 2 {
		t.Errorf("dead %+v", dead)
	}
}

func TestALingerThatOutlastsTheAckWaitIsRefused(t *testing.T) {
	f := setup(t)
	f.cfg.Linger = 20 * time.Second
	_, err := worker.New(t.Context(), f.bus, bus.Decoder, worker.Each(nil), f.cfg, zap.NewNop(), prometheus.NewRegistry())
	if err == nil || !strings.Contains(err.Error(), "nats.ack_wait") {
		t.Errorf("%v", err)
	}
}

// Messages that never reached the sink were once proof that it takes others, and what it would have taken later was dead.
func TestWhatNeverReachesTheSinkProvesNothingOfIt(t *testing.T) {
	for name, unasked := range map[string]error{
		"left out": worker.ErrSkipped,
		"dies":     retry.Never(errors.New("when: no such key")),
	} {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			f.cfg.Attempts = 2
			f.cfg.ProbeMax = time.Millisecond
			f.publish("held")
			var got seen
			var up atomic.Bool
			f.start(worker.Each(func(_ context.Context, m *bus.Message) error {
				switch got.add(m) {
				case "held", "last":
					if !up.Load() {
						return retry.Outage(time.Millisecond, errors.New("connection refused"))
					}
					return nil
				default:
					return unasked
				}
			}))
			for i := range 5 { // more than there are attempts
				name := fmt.Sprint(i)
				before := got.count("held")
				f.publish(name)
				f.waitFor("it, and another look at the sink", func() bool { return got.count(name) > 0 && got.count("held") > before+1 })
			}
			if o := f.status().Outage; o == nil || o.Reason != "connection refused" {
				t.Errorf("the outage is said to be over: %+v", o)
			}
			up.Store(true)
			f.publish("last")
			f.waitSettled()
			for _, d := range f.dead() {
				if d.Origin == "WEBHOOKS/1" {
					t.Errorf("dead in an outage: %+v", d)
				}
			}
		})
	}
}

// One that the sink takes is found behind any number of those that it is never asked about.
func TestDoubtLooksPastWhatNeverReachesTheSink(t *testing.T) {
	f := setup(t)
	f.cfg.Attempts = 1
	f.publish("poison")
	var got seen
	f.start(worker.Each(func(_ context.Context, m *bus.Message) error {
		switch got.add(m) {
		case "poison":
			return retry.Outage(time.Millisecond, errors.New("statement timeout"))
		case "fine":
			return nil
		default:
			return worker.ErrSkipped
		}
	}))
	f.waitFor("the outage", func() bool { return got.count("poison") > 1 })
	for i := range 20 {
		f.publish(fmt.Sprint(i))
	}
	f.publish("fine")
	f.waitSettled()
	if dead := f.dead(); len(dead) != 1 || dead[0].Origin != "WEBHOOKS/1" {
		t.Errorf("dead %+v", dead)
	}
}

// The looks at a sink that is down keep to what it asked for, whatever probe_max says.
func TestProbesKeepToThePauseThatTheSinkAsksFor(t *testing.T) {
	f := setup(t)
	f.publish("a")
	var got seen
	f.start(worker.Each(func(_ context.Context, m *bus.Message) error {
		if got.add(m); got.count("a") == 1 {
			return retry.OutageAtLeast(time.Second, errors.New("429"))
		}
		return nil
	}))
	f.waitSettled()
	if len(got.at) != 2 || got.at[1].Sub(got.at[0]) < time.Second {
		t.Errorf("handled at %v", got.at)
	}
}

// Several such messages, held together, were probed in turn for ever: only one that was held alone was ever doubted.
func TestAnOutageToSeveralMessagesAloneDoesNotStopTheOthers(t *testing.T) {
	f := setup(t)
	f.cfg.Attempts = 2
	f.publish("poison", "poison too")
	var got seen
	f.start(worker.Each(func(_ context.Context, m *bus.Message) error {
		if strings.HasPrefix(got.add(m), "poison") {
			return retry.OutageAtLeast(time.Millisecond, errors.New("statement timeout"))
		}
		return nil
	}))
	f.waitFor("the outage", func() bool { return got.count("poison") > 1 && got.count("poison too") > 1 })
	for i := range 100 {
		name := fmt.Sprint(i)
		f.publish(name)
		f.waitFor("the next one", func() bool { return got.count(name) > 0 })
		if len(f.dead()) == 2 {
			break
		}
	}
	f.waitSettled()
	dead := f.dead()
	if len(dead) != 2 {
		t.Fatalf("dead %+v", dead)
	}
	for _, d := range dead {
		if d.Origin != "WEBHOOKS/1" && d.Origin != "WEBHOOKS/2" || d.Attempts != 2 {
			t.Errorf("dead %+v", d)
		}
	}
}

// The sink may have come back between the last look at a held message and the other that it took.
func TestWhatGetsThroughInTheEndIsNotCounted(t *testing.T) {
	f := setup(t)
	f.cfg.Attempts = 1
	f.publish("a", "b")
	var got seen
	var back atomic.Bool
	f.start(worker.Each(func(_ context.Context, m *bus.Message) error {
		if got.add(m) == "other" {
			back.Store(true)
		}
		if !back.Load() {
			return retry.Outage(time.Millisecond, errors.New("connection refused"))
		}
		return nil
	}))
	f.waitFor("the outage", func() bool { return got.count("a") > 1 && got.count("b") > 1 })
	f.publish("other")
	f.waitSettled()
	if dead := f.dead(); len(dead) > 0 {
		t.Errorf("dead %+v", dead)
	}
}
