package storage_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/pkg/store/storetest"
	"github.com/onhook/onhook/pkg/store/storetest/pgtest"
)

func TestSQLite(t *testing.T) {
	t.Parallel()
	exercise(t, func(t *testing.T) string { return sqliteDSN(t) })
}

func TestPostgreSQL(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	exercise(t, func(t *testing.T) string { return server.Database(t) })
}

// exercise holds the sink to the same behaviour over each engine; dsn makes an empty database.
func exercise(t *testing.T, dsn func(t *testing.T) string) {
	for name, run := range map[string]func(*testing.T, *fixture, string){
		"CallsBecomeRowsOnce":             callsBecomeRowsOnce,
		"EndedOverProgress":               endedOverProgress,
		"RedeliveredBatches":              redeliveredBatches,
		"TwoWorkersFightOverRedeliveries": fight,
		"NotACall":                        notACall,
		"RefusedAlone":                    refusedAlone,
	} {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			run(t, f, dsn(t))
		})
	}
}

func full(ids ...string) []*call.Call {
	calls := make([]*call.Call, len(ids))
	for i, id := range ids {
		calls[i] = storetest.Full(id)
	}
	return calls
}

func callsBecomeRowsOnce(t *testing.T, f *fixture, dsn string) {
	s := openStore(t, dsn)
	ids := idsUpTo(500)
	f.publish(full(ids[:250]...)...)
	f.start(s)
	f.publish(full(ids...)...)
	f.waitSettled()
	wantIDs(t, s, ids)
	f.untroubled()
	if n, sum := f.seconds(); n < uint64(len(ids)) || sum <= 0 { // with an ack wait of a second some may come twice
		t.Errorf("onhook_call_to_sink_seconds has %d observations of %v s, want %d or more", n, sum, len(ids))
	}
}

// seconds is how many observations onhook_call_to_sink_seconds has, and their sum.
func (f *fixture) seconds() (n uint64, sum float64) {
	f.t.Helper()
	families, err := f.reg.Gather()
	if err != nil {
		f.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "onhook_call_to_sink_seconds" {
			m := family.GetMetric()[0]
			if l := m.GetLabel(); len(l) != 1 || l[0].GetName() != "sink" || l[0].GetValue() != "storage" {
				f.t.Errorf("labels %v", l)
			}
			return m.GetHistogram().GetSampleCount(), m.GetHistogram().GetSampleSum()
		}
	}
	return 0, 0
}

func endedOverProgress(t *testing.T, f *fixture, dsn string) {
	s := openStore(t, dsn)
	f.start(s)
	for _, round := range [][]*call.Call{
		{storetest.Progress("a"), storetest.Minimal("b"), storetest.Progress("c")},
		{storetest.Minimal("a"), storetest.Progress("b")},
	} {
		f.publish(round...)
		f.waitSettled() // so that the second meets the first in the table
	}
	f.publish(storetest.Progress("d"), storetest.Minimal("d")) // one batch, most often
	f.waitSettled()
	got := map[string]call.Event{}
	for _, c := range stored(t, s) {
		got[c.CallID] = c.Event
	}
	for id, want := range map[string]call.Event{"a": call.Ended, "b": call.Ended, "c": call.Progress, "d": call.Ended} {
		if got[id] != want {
			t.Errorf("call %s: %q, want %q", id, got[id], want)
		}
	}
	if len(got) != 4 {
		t.Errorf("stored %v", got)
	}
	f.untroubled()
}

// forgetful saves, and loses the answer of each call's first time.
type forgetful struct {
	saver
	mu   sync.Mutex
	told map[string]bool
}

func (s *forgetful) Save(ctx context.Context, calls []*call.Raw) []error {
	errs := s.saver.Save(ctx, calls)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, c := range calls {
		if errs[i] == nil && !s.told[c.CallID] {
			s.told[c.CallID] = true
			errs[i] = errors.New("connection lost after the commit")
		}
	}
	return errs
}

func redeliveredBatches(t *testing.T, f *fixture, dsn string) {
	s := openStore(t, dsn)
	ids := idsUpTo(120)
	f.publish(full(ids...)...)
	f.start(&forgetful{saver: s, told: map[string]bool{}})
	f.waitSettled()
	wantIDs(t, s, ids)
	if d := f.dead(); len(d) != 0 {
		t.Errorf("dead %+v", d)
	}
}

// fight: a broker that restarts forgets who holds what, and gives it to the other worker.
func fight(t *testing.T, f *fixture, dsn string) {
	s := openStore(t, dsn)
	f.start(s)
	f.start(s)
	ids := idsUpTo(900)
	for round := range 3 {
		f.publish(full(ids[300*round : 300*round+300]...)...)
		f.server.Stop()
		f.server.Start(t)
	}
	f.waitSettled()
	wantIDs(t, s, ids)
	f.untroubled()
}

// admin is what an operator does to the streams, past package bus.
func (f *fixture) admin() jetstream.JetStream {
	f.t.Helper()
	nc, err := nats.Connect(f.server.ClientURL())
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		f.t.Fatal(err)
	}
	return js
}

func notACall(t *testing.T, f *fixture, dsn string) {
	s := openStore(t, dsn)
	js := f.admin()
	bodies := map[string]string{"text": "not JSON", "array": "[]", "nothing": "", "types": `{"call_id":1}`, "empty": "{}",
		"part": `{"schema":"onhook.call/1","provider":"x","source":"y","call_id":"part","event":"ended","transcript":5}`}
	for name, body := range bodies {
		if _, err := js.Publish(t.Context(), "calls.ended.x.y."+name, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	ids := idsUpTo(20)
	f.publish(full(ids...)...)
	f.start(s)
	f.waitSettled()
	wantIDs(t, s, ids)
	dead := f.dead()
	if len(dead) != len(bodies) {
		t.Errorf("%d dead, want %d", len(dead), len(bodies))
	}
	for _, d := range dead {
		if d.Attempts != 1 || !strings.Contains(d.Reason, "not a call: ") && !strings.Contains(d.Reason, "refuses the call") {
			t.Errorf("dead %+v", d)
		}
	}
}

func refusedAlone(t *testing.T, f *fixture, dsn string) {
	s := openStore(t, dsn)
	ids := idsUpTo(60)
	calls := full(ids...)
	calls[7].Status, calls[49].Status = "", ""
	f.publish(calls...)
	f.start(s)
	f.waitSettled()
	wantIDs(t, s, slices.Delete(slices.Delete(slices.Clone(ids), 49, 50), 7, 8))
	dead := f.dead()
	if len(dead) != 2 || dead[0].Attempts != 1 || !strings.Contains(dead[0].Reason, "refuses the call") {
		t.Errorf("dead %+v", dead)
	}
}

func TestSecondsAreThoseSinceTheCallEnded(t *testing.T) {
	f := setup(t)
	s := openStore(t, sqliteDSN(t))
	f.start(s)
	ended, received, ahead, neither := storetest.Minimal("a"), storetest.Minimal("b"), storetest.Minimal("c"), storetest.Minimal("d")
	now := time.Now()
	ended.EndedAt, ended.ReceivedAt = call.At(now.Add(-100*time.Second)), call.At(now.Add(-time.Second))
	received.ReceivedAt = call.At(now.Add(-10 * time.Second))
	ahead.EndedAt, ahead.ReceivedAt = call.At(now.Add(time.Hour)), call.At(now.Add(-1000*time.Second))
	f.publish(ended, received, ahead, neither)
	f.waitSettled()
	if n, sum := f.seconds(); n != 4 || sum < 1110 || sum > 1170 {
		t.Errorf("%d observations of %v s in all, want 4 of 1,110 and a little", n, sum)
	}
}

// hung is a store that answers no more.
type hung struct{ met chan struct{} }

func (s hung) SaveOutcomes(context.Context, []call.Outcome) []error { return nil }

func (s hung) Save(ctx context.Context, calls []*call.Raw) []error {
	select {
	case s.met <- struct{}{}:
	default:
	}
	<-ctx.Done()
	errs := make([]error, len(calls))
	for i := range errs {
		errs[i] = retry.Outage(time.Millisecond, ctx.Err())
	}
	return errs
}

func TestAStoreThatHangsIsAnOutageAfterTheSaveTimeout(t *testing.T) {
	f := setup(t)
	f.cfg.SaveTimeout = 50 * time.Millisecond
	f.cfg.Attempts = 1
	s := openStore(t, sqliteDSN(t))
	ids := idsUpTo(30)
	f.publish(full(ids...)...)
	h := hung{make(chan struct{})}
	stop := f.start(h)
	for range 5 {
		<-h.met
	}
	f.untroubled()
	began := time.Now()
	stop()
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("shutdown in an outage took %v", took)
	}
	f.start(s)
	f.waitSettled()
	wantIDs(t, s, ids)
	f.untroubled()
}

func TestOutcomesOfCRMSinksAreKeptWithTheirCall(t *testing.T) {
	f := setup(t)
	s := openStore(t, sqliteDSN(t))
	c := storetest.Minimal("a")
	f.publish(c)
	at := time.Now()
	outcome := func(sink string, r call.Result, after time.Duration) call.Outcome {
		return call.Outcome{Sink: sink, Provider: c.Provider, Source: c.Source, CallID: c.CallID, Event: c.Event, Result: r, Attempts: 1, At: call.At(at.Add(after))}
	}
	want := []call.Outcome{outcome("hubspot", call.ResultDelivered, time.Second), outcome("webhook", call.ResultSkipped, 0)}
	if err := errors.Join(f.bus.PublishOutcomes(t.Context(), append(want, outcome("hubspot", call.ResultDead, 0)), []string{"CALLS-1-1", "CALLS-1-1", "CALLS-1-1"})...); err != nil {
		t.Fatal(err)
	}
	f.start(s)
	f.waitSettled()
	f.waitFor("the outcomes", func() bool {
		st, err := f.bus.Status(t.Context(), bus.Outcomes)
		return err == nil && st.Pending == 0
	})
	h, err := s.History(t.Context(), c.Provider, c.Source, c.CallID)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, h.Outcomes); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}
