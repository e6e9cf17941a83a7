package bus_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/bus/bustest"
	"github.com/onhook/onhook/pkg/call"
)

const aTrace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func traced(d *bus.Delivery) *bus.Delivery {
	d.Trace = aTrace
	return d
}

// In company or alone, each delivery comes out with its own trace, or with none.
func TestDeliveriesKeepTheirTraces(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t)
	const n = 200
	want := map[string]string{}
	var wg sync.WaitGroup
	for i := range n {
		d := newDelivery("{}")
		if i%2 == 0 {
			d.Trace = fmt.Sprintf("00-%032x-%016x-01", i+1, i+1)
		}
		want[d.ID] = d.Trace
		wg.Go(func() {
			if err := b.PublishDelivery(t.Context(), d); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	shared := false
	for _, m := range fetch(t, b, bus.Decoder, false, n) {
		d, err := m.Delivery(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		shared = shared || m.Origin.Index > 0
		if m.Trace != want[d.ID] || d.Trace != m.Trace {
			t.Errorf("the trace of %s is %q and %q, was %q", m.Origin, m.Trace, d.Trace, want[d.ID])
		}
	}
	if !shared {
		t.Error("no envelope was made")
	}
}

// Whatever is made of a message by the way, its copies belong where it came from; what is made of it, to the attempt.
func TestCopiesKeepTheTraceThatTheyCameWith(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t)
	if err := b.PublishDelivery(t.Context(), traced(newDelivery("{}"))); err != nil {
		t.Fatal(err)
	}
	const attempt = "00-0af7651916cd43dd8448eb211c80319c-00000000000000aa-01"
	m := fetch(t, b, bus.Decoder, false, 1)[0]
	m.Trace = attempt
	if err := errors.Join(b.PublishCalls(t.Context(), []*call.Call{nil, newCall("a", call.Ended)}, m, m)...); err != nil {
		t.Fatal(err)
	}
	if c := fetch(t, b, bus.Storage, false, 1)[0]; c.Trace != attempt {
		t.Errorf("the call's trace is %q", c.Trace)
	}
	if err := m.Schedule(t.Context(), time.Now(), 1); err != nil {
		t.Fatal(err)
	}
	again := fetch(t, b, bus.Decoder, true, 1)[0]
	if again.Trace != aTrace {
		t.Errorf("scheduled, its trace is %q", again.Trace)
	}
	again.Trace = attempt
	if err := again.Bury(t.Context(), "no more", errors.New("no"), 2); err != nil {
		t.Fatal(err)
	}
	dead, err := b.ListDead(t.Context(), bus.Decoder.Name, 0, 1)
	if err != nil || len(dead) != 1 {
		t.Fatalf("%v, %v", dead, err)
	}
	if err := b.RedriveDead(t.Context(), dead[0].Seq); err != nil {
		t.Fatal(err)
	}
	if redriven := fetch(t, b, bus.Decoder, true, 1)[0]; redriven.Trace != aTrace {
		t.Errorf("redriven, its trace is %q", redriven.Trace)
	}
}
