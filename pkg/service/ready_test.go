package service

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestAHangingCheckIsAskedOnce: each request has its answer within the budget, but probes do not pile up.
func TestAHangingCheckIsAskedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var probes atomic.Int32
		var c checks
		c.add(Check{Name: "deaf", Probe: func(context.Context) error {
			probes.Add(1)
			<-release
			return nil
		}})
		c.add(Check{Name: "apt", Probe: func(ctx context.Context) error {
			<-ctx.Done()
			return errors.New("asked and found wanting")
		}})
		for range 3 {
			began := time.Now()
			got := c.run(t.Context())
			if took := time.Since(began); took != probeBudget {
				t.Errorf("took %s", took)
			}
			if got.Ready || len(got.Checks) != 2 || got.Checks[0].OK {
				t.Errorf("%+v", got)
			}
			if diff := cmp.Diff(checkResult{Name: "deaf", Reason: "no answer within 2s"}, got.Checks[1]); diff != "" {
				t.Error(diff)
			}
		}
		if n := probes.Load(); n != 1 {
			t.Errorf("%d probes at the same time", n)
		}
		close(release)
		synctest.Wait()
		if got := c.run(t.Context()); !got.Checks[1].OK || probes.Load() != 2 {
			t.Errorf("after it is back: %+v, %d probes", got, probes.Load())
		}
	})
}

func TestChecksRunInParallel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c checks
		for _, name := range []string{"c", "a", "b"} {
			c.add(Check{Name: name, Probe: func(context.Context) error { <-time.After(time.Second); return nil }})
		}
		began := time.Now()
		want := readiness{Ready: true, Checks: []checkResult{{Name: "a", OK: true}, {Name: "b", OK: true}, {Name: "c", OK: true}}}
		if diff := cmp.Diff(want, c.run(t.Context())); diff != "" {
			t.Error(diff)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("took %s", took)
		}
	})
}

// A process that is ready only because it has a way around an outage said nothing of the outage.
func TestANoteIsShownOfACheckThatPassed(t *testing.T) {
	t.Parallel()
	note := func(context.Context) string { return "the broker is away" }
	var c checks
	c.add(Check{Name: "bad", Probe: func(context.Context) error { return errors.New("no disk") }, Note: note})
	c.add(Check{Name: "good", Probe: func(context.Context) error { return nil }, Note: note})
	want := readiness{Checks: []checkResult{{Name: "bad", Reason: "no disk"}, {Name: "good", OK: true, Note: "the broker is away"}}}
	if diff := cmp.Diff(want, c.run(t.Context())); diff != "" {
		t.Error(diff)
	}
}
