package service_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onhook/onhook/pkg/service"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

const grace = 5 * time.Second

var errBroker = errors.New("broker is gone")

// journal notes what happened, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

// untilStopped is a part that works until it is told to stop, and needs a second for that.
func (j *journal) untilStopped(name string) service.Part {
	return service.Part{Name: name, Run: func(ctx context.Context) error {
		j.add(name + " starts")
		<-ctx.Done()
		<-time.After(time.Second) // synctest's clock
		j.add(name + " stops")
		return ctx.Err()
	}}
}

func TestRunStopsInReverseOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		log, lines := observer.New(zap.InfoLevel)
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Hour, func() { cancel(errors.New("enough")) })
		began := time.Now()
		err := service.Run(ctx, zap.New(log), grace, j.untilStopped("broker"), j.untilStopped("worker"), j.untilStopped("ingress"))
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != time.Hour+3*time.Second {
			t.Errorf("took %s: the parts were not stopped one by one", took)
		}
		want := []string{"ingress stops", "worker stops", "broker stops"}
		if got := j.lines[len(j.lines)-3:]; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if reason := lines.FilterMessage("stopping").All()[0].ContextMap()["reason"]; reason != "enough" {
			t.Errorf("the log gives the reason %v", reason)
		}
		var stopped []string
		for _, line := range lines.FilterMessage("stopped").All() {
			stopped = append(stopped, line.ContextMap()["part"].(string))
		}
		if !slices.Equal(stopped, []string{"ingress", "worker", "broker"}) {
			t.Errorf("the log says that %v stopped", stopped)
		}
	})
}

func TestRunHasValuesOfItsContextButNotItsEnd(t *testing.T) {
	t.Parallel()
	type key struct{}
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
	cancel()
	err := service.Run(ctx, zap.NewNop(), grace, service.Part{Name: "first", Run: func(ctx context.Context) error {
		if ctx.Value(key{}) != "value" {
			return errors.New("no value")
		}
		<-ctx.Done()
		return nil
	}})
	if err != nil {
		t.Error(err)
	}
}

func TestRunWithoutParts(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := service.Run(ctx, zap.NewNop(), grace); err != nil {
		t.Error(err)
	}
}

// TestRunEnds covers every way in which a process does not end well. Each case's part runs between two others, which
// must have been stopped in any case.
func TestRunEnds(t *testing.T) {
	t.Parallel()
	untilDone := func(after error) func(context.Context) error {
		return func(ctx context.Context) error { <-ctx.Done(); return after }
	}
	for name, c := range map[string]struct {
		run    func(context.Context) error
		cancel bool // the process is asked to stop
		want   string
		is     error
		logged string
	}{
		"a part fails":             {func(context.Context) error { return errBroker }, false, "odd: broker is gone", errBroker, "stopping, as a part has ended"},
		"a part ends":              {func(context.Context) error { return nil }, false, "odd ended although nobody asked it to", nil, "stopping, as a part has ended"},
		"a part exits":             {func(context.Context) error { runtime.Goexit(); return nil }, false, "odd: its goroutine exited", nil, "stopping, as a part has ended"},
		"a part panics":            {func(context.Context) error { panic("out of cheese") }, false, "odd: panic: out of cheese", nil, "part panicked"},
		"canceled by someone else": {func(context.Context) error { return context.Canceled }, false, "odd: context canceled", context.Canceled, "stopping, as a part has ended"},
		"fails while stopping":     {untilDone(errBroker), true, "odd: while stopping: broker is gone", errBroker, "part failed while stopping"},
		"panics while stopping":    {func(ctx context.Context) error { <-ctx.Done(); panic(errBroker) }, true, "odd: while stopping: panic: broker is gone", nil, "part panicked"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var j journal
				log, lines := observer.New(zap.InfoLevel)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.cancel {
					time.AfterFunc(time.Minute, cancel)
				}
				err := service.Run(ctx, zap.New(log), grace, j.untilStopped("first"), service.Part{Name: "odd", Run: c.run}, j.untilStopped("last"))
				if err == nil || err.Error() != c.want {
					t.Errorf("got %v, want %s", err, c.want)
				}
				if c.is != nil && !errors.Is(err, c.is) {
					t.Errorf("%v does not wrap %v", err, c.is)
				}
				if n := len(j.lines); n != 4 || j.lines[n-2] != "last stops" || j.lines[n-1] != "first stops" {
					t.Errorf("the others: %v", j.lines)
				}
				found := lines.FilterMessage(c.logged).FilterField(zap.String("part", "odd")).All()
				if len(found) != 1 {
					t.Fatalf("%d lines %q about the part in %v", len(found), c.logged, lines.All())
				}
				if stack, ok := found[0].ContextMap()["stack"]; c.logged == "part panicked" && (!ok || !strings.Contains(stack.(string), "run_test.go")) {
					t.Errorf("the stack of the panic is not logged: %v", stack)
				}
			})
		})
	}
}

func TestRunGoesOnWithoutAStuckPart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		log, lines := observer.New(zap.InfoLevel)
		release := make(chan struct{})
		defer close(release)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		began := time.Now()
		err := service.Run(ctx, zap.New(log), grace,
			j.untilStopped("broker"),
			service.Part{Name: "stuck", Run: func(context.Context) error { <-release; return nil }},
			j.untilStopped("ingress"))
		if want := "stuck did not stop within 5s"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if took := time.Since(began); took != time.Minute+time.Second+grace+time.Second {
			t.Errorf("took %s", took)
		}
		if last := j.lines[len(j.lines)-1]; last != "broker stops" {
			t.Errorf("last: %s", last)
		}
		if n := lines.FilterMessage("part did not stop in time; going on without it").FilterField(zap.String("part", "stuck")).Len(); n != 1 {
			t.Errorf("%d log lines name the stuck part", n)
		}
	})
}

func TestRunNamesEveryPartThatFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		err := service.Run(t.Context(), zap.NewNop(), grace,
			service.Part{Name: "second", Run: func(ctx context.Context) error { <-ctx.Done(); return errBroker }},
			service.Part{Name: "first", Run: func(context.Context) error { return errBroker }})
		if want := "first: broker is gone\nsecond: while stopping: broker is gone"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	})
}
