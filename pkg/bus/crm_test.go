package bus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/bus/bustest"
	"github.com/onhook/onhook/pkg/call"
)

func publishCalls(t *testing.T, b *bus.Bus, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := b.PublishCalls(t.Context(), []*call.Call{newCall(id, call.Ended)})[0]; err != nil {
			t.Fatal(err)
		}
	}
}

// fetchCalls acknowledges and names the calls that c has before it, n of them.
func fetchCalls(t *testing.T, b *bus.Bus, c bus.Consumer, n int) []string {
	t.Helper()
	var ids []string
	for _, m := range fetch(t, b, c, false, n) {
		k, err := m.Call()
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, k.CallID)
		if err := m.Ack(); err != nil {
			t.Fatal(err)
		}
	}
	return ids
}

func start(t *testing.T, text string) (s bus.Start) {
	t.Helper()
	if err := s.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if back, err := s.MarshalText(); err != nil || string(back) != text {
		t.Errorf("%q is written %q: %v", text, back, err)
	}
	return s
}

func TestASinkStartsWhereItSaysAndThenGoesOnWhereItIs(t *testing.T) {
	t.Parallel()
	srv := bustest.StartServer(t)
	publishCalls(t, srv.Connect(t), "old")
	b := srv.Connect(t)
	sinks := map[string]bus.Consumer{
		"new":       bus.CRM("new"),
		"beginning": bus.CRM("beginning").From(start(t, "beginning")),
		"then":      bus.CRM("then").From(start(t, "2026-01-31T15:04:05Z")),
		"later":     bus.CRM("later").From(start(t, "2999-01-31T15:04:05Z")),
	}
	for name, c := range sinks {
		if _, _, err := b.Open(t.Context(), c); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	publishCalls(t, b, "first", "second")
	for name, want := range map[string][]string{"new": {"first", "second"}, "beginning": {"old", "first", "second"}, "then": {"old", "first", "second"}} {
		waitFor(t, func() bool { // the server counts them a moment after it has stored them
			s, err := b.Status(t.Context(), sinks[name])
			return err == nil && s.Pending == uint64(len(want))
		})
		if d := cmp.Diff(want[:2], fetchCalls(t, b, sinks[name], 2)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	publishCalls(t, b, "third")
	for _, text := range []string{"new", "beginning", "2026-01-31T15:04:05Z"} { // whatever the configuration says by now
		again := bus.CRM("new").From(start(t, text))
		if _, _, err := b.Open(t.Context(), again); err != nil {
			t.Fatalf("a sink that is there, with start: %s: %v", text, err)
		}
	}
	if d := cmp.Diff([]string{"third"}, fetchCalls(t, b, bus.CRM("new"), 1)); d != "" {
		t.Error(d)
	}
	var s bus.Start
	if s.UnmarshalText([]byte("yesterday")) == nil {
		t.Error("yesterday is a start")
	}
}

// A sink's consumer is made by its worker, a while after ingress has begun to take deliveries.
func TestANewSinkHasTheCallsThatCameBeforeItsConsumerWasMade(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t)
	publishCalls(t, b, "early")
	if _, _, err := b.Open(t.Context(), bus.CRM("new")); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"early"}, fetchCalls(t, b, bus.CRM("new"), 1)); d != "" {
		t.Error(d)
	}
}

// Each has seen the stream at another time, and the server refuses a second consumer that begins elsewhere.
func TestTwoProcessesMayMakeANewSinksConsumerAtOnce(t *testing.T) {
	t.Parallel()
	srv := bustest.StartServer(t)
	warnings, said := observer.New(zap.WarnLevel)
	cfg := bus.DefaultConfig()
	cfg.URL = srv.ClientURL()
	var processes []*bus.Bus
	for i := range 2 {
		b, err := bus.Connect(t.Context(), cfg, "test", zap.New(warnings))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Close)
		publishCalls(t, b, fmt.Sprint("before-the-next-", i))
		processes = append(processes, b)
	}
	for i := range 20 {
		var wg sync.WaitGroup
		for _, b := range processes {
			wg.Go(func() {
				if _, _, err := b.Open(t.Context(), bus.CRM(fmt.Sprint("new-", i))); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	for _, line := range said.All() {
		t.Errorf("%s: %v", line.Message, line.ContextMap())
	}
}

func TestOrphansAreReportedAndDeletedOnlyByName(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t)
	for _, c := range []bus.Consumer{bus.Storage, bus.CRM("kept"), bus.CRM("gone"), bus.CRM("idle")} {
		if _, _, err := b.Open(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	publishCalls(t, b, "a", "b")
	m := fetch(t, b, bus.CRM("gone"), false, 1)[0]
	if err := m.Schedule(t.Context(), time.Now().Add(time.Hour), 1); err != nil {
		t.Fatal(err)
	}
	orphans := func(configured ...string) []string {
		t.Helper()
		got, err := b.Orphans(t.Context(), configured)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := orphans("kept"); !slices.Equal(got, []string{"gone", "idle"}) {
		t.Errorf("orphans %q", got)
	}
	if n, err := b.RemoveCRM(t.Context(), "gone", false); err != nil || n != 2 {
		t.Errorf("%d were unsettled: %v", n, err)
	}
	if _, err := b.RemoveCRM(t.Context(), "gone", false); !errors.Is(err, bus.ErrNoConsumer) {
		t.Errorf("removed twice: %v", err)
	}
	if got := orphans("kept", "idle"); len(got) != 0 {
		t.Errorf("orphans %q", got)
	}
	s, err := b.Status(t.Context(), bus.CRM("gone").From(bus.Start{}))
	if err != nil || s.Pending != 2 || s.Scheduled != 0 {
		t.Errorf("what was scheduled for it is still there: %+v %v", s, err)
	}
}

// An operator's configuration may not be that of the worker, whose place would be lost.
func TestAConsumerThatAWorkerFetchesFromIsNotDeleted(t *testing.T) {
	t.Parallel()
	s := bustest.StartServer(t)
	b, js := s.Connect(t), admin(t, s)
	own, _, err := b.Open(t.Context(), bus.CRM("live"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := own.Fetch(ctx, 1, 0)
		done <- err
	}()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for refused := false; !refused; <-tick.C {
		if c, err := js.Consumer(t.Context(), "CALLS", "crm-live"); err != nil || c.CachedInfo().NumWaiting == 0 {
			select {
			case err := <-done:
				t.Fatalf("nobody was seen to fetch: %v", err)
			default:
				continue
			}
		}
		_, err := b.RemoveCRM(t.Context(), "live", true)
		if refused = errors.Is(err, bus.ErrInUse); !refused {
			t.Fatalf("%v", err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A worker that holds a batch, or waits for its sink, does not fetch: its consumer was once deleted under it.
func TestAConsumerWhoseWorkerDoesNotFetchJustNowIsDeletedByForceAlone(t *testing.T) {
	t.Parallel()
	for name, busy := range map[string]func(*testing.T, *bus.Bus, bus.Consumer){
		"it holds a call": func(t *testing.T, b *bus.Bus, c bus.Consumer) {
			publishCalls(t, b, "a")
			fetch(t, b, c, false, 1)
		},
		"it holds one that came again": func(t *testing.T, b *bus.Bus, c bus.Consumer) {
			publishCalls(t, b, "a")
			if err := fetch(t, b, c, false, 1)[0].Schedule(t.Context(), time.Now().Add(time.Millisecond), 1); err != nil {
				t.Fatal(err)
			}
			fetch(t, b, c, true, 1)
		},
		"it waits for its sink": func(t *testing.T, b *bus.Bus, c bus.Consumer) {
			if err := b.SetOutage(t.Context(), c, &bus.Outage{Reason: "401", Since: time.Now()}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, c := bustest.Start(t), bus.CRM("busy")
			if _, _, err := b.Open(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			busy(t, b, c)
			var err error
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for range 200 { // the broker may take its time to see that nobody fetches any more
				if _, err = b.RemoveCRM(t.Context(), "busy", false); !errors.Is(err, bus.ErrInUse) {
					break
				}
				<-tick.C
			}
			if !errors.Is(err, bus.ErrMaybeInUse) {
				t.Fatalf("not refused: %v", err)
			}
			if _, err := b.RemoveCRM(t.Context(), "busy", true); err != nil {
				t.Errorf("forced: %v", err)
			}
		})
	}
}

func TestCRMNames(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{"hubspot-main": true, "1": true, "": false, "-a": false, "a.b": false, "A": false, "a b": false, "a*": false} {
		if err := bus.CheckCRMName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestAnOutageIsSeenByOthersUntilItIsOver(t *testing.T) {
	t.Parallel()
	s := bustest.StartServer(t)
	worker, operator := s.Connect(t), s.Connect(t)
	seen := func() *bus.Outage {
		t.Helper()
		st, err := operator.Status(t.Context(), bus.CRM("a"))
		if err != nil {
			t.Fatal(err)
		}
		return st.Outage
	}
	if got := seen(); got != nil {
		t.Errorf("%+v", got)
	}
	since := time.Now().UTC().Truncate(time.Second)
	for _, reason := range []string{"down", "401\nagain"} {
		if err := worker.SetOutage(t.Context(), bus.CRM("a"), &bus.Outage{Reason: reason, Since: since}); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(&bus.Outage{Reason: "401 again", Since: since}, seen()); d != "" {
		t.Error(d)
	}
	for range 2 {
		if err := worker.SetOutage(t.Context(), bus.CRM("a"), nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := seen(); got != nil {
		t.Errorf("%+v", got)
	}
}

func TestOutcomesAreReadAsTheyWerePublished(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t)
	var want []call.Outcome
	for i := range 100 {
		want = append(want, call.Outcome{Sink: "hub", Provider: "cllr", Source: "s", CallID: fmt.Sprint("call ", i), Event: call.Ended,
			Result: call.ResultDelivered, Attempts: 1, VendorID: "42", Note: "no contact", At: call.At(time.Now())})
	}
	for range 2 { // the second time as after a redelivery
		if err := errors.Join(b.PublishOutcomes(t.Context(), want, make([]string, len(want)))...); err != nil {
			t.Fatal(err)
		}
	}
	var got []call.Outcome
	for _, m := range fetch(t, b, bus.Outcomes, false, len(want)) {
		o, err := m.Outcome()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, o)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	s, err := b.Status(t.Context(), bus.Outcomes)
	if err != nil || s.Pending != uint64(len(want)) {
		t.Errorf("%+v %v", s, err)
	}
}
