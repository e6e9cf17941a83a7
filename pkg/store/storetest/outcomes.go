package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/store"
)

// outcomeOf is a delivered outcome of a call, so many seconds after a moment.
func outcomeOf(c *call.Call, sink string, second int) call.Outcome {
	return call.Outcome{Sink: sink, Provider: c.Provider, Source: c.Source, CallID: c.CallID, Event: c.Event, Result: call.ResultDelivered,
		Attempts: 1, VendorID: "42", At: call.At(time.Date(2026, 3, 1, 12, 0, second, 5e6, time.UTC))}
}

func saveOutcomes(t *testing.T, s store.Store, outcomes ...call.Outcome) {
	t.Helper()
	errs := s.SaveOutcomes(t.Context(), outcomes)
	if err := errors.Join(errs...); err != nil || len(errs) != len(outcomes) {
		t.Fatalf("%d results for %d outcomes: %v", len(errs), len(outcomes), err)
	}
}

func history(t *testing.T, s store.Store, c *call.Call) store.History {
	t.Helper()
	h, err := s.History(t.Context(), c.Provider, c.Source, c.CallID)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// outcomes: the latest of each sink and event stays, however often and in whatever order they come.
func outcomes(t *testing.T, s store.Store) {
	c, other := Minimal("a"), Minimal("b")
	if _, err := s.History(t.Context(), c.Provider, c.Source, c.CallID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the history of a call that is not stored: %v", err)
	}
	saveOutcomes(t, s)
	before := time.Now().Add(-time.Minute)
	save(t, s, c, other)
	if h := history(t, s, c); len(h.Outcomes) != 0 || h.StoredAt.Before(before) || h.StoredAt.After(time.Now().Add(time.Minute)) {
		t.Errorf("%+v", h)
	}
	dead := outcomeOf(c, "hubspot", 1)
	dead.Result, dead.VendorID, dead.Error, dead.Attempts = call.ResultDead, "", "400: no such property", 20
	landed := outcomeOf(c, "hubspot", 2)
	landed.Note = "no contact has the number"
	skipped := outcomeOf(c, "webhook", 0)
	skipped.Result, skipped.VendorID = call.ResultSkipped, ""
	progress := outcomeOf(c, "webhook", 0)
	progress.Event = call.Progress
	for _, order := range [][]call.Outcome{{landed, dead, skipped, dead, progress}, {dead, landed}, {dead}, {skipped}} {
		saveOutcomes(t, s, order...)
	}
	saveOutcomes(t, s, outcomeOf(other, "hubspot", 9))
	if d := cmp.Diff([]call.Outcome{landed, skipped, progress}, history(t, s, c).Outcomes); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// hostileOutcomes: what no text holds is replaced, and a call's id finds its outcomes whatever it is.
func hostileOutcomes(t *testing.T, s store.Store) {
	for _, id := range []string{"nul\x00x", "bad\xffutf8", strings.Repeat("long", 2000), "ñ 👍🏽 '; DROP TABLE deliveries; --"} {
		c := Minimal(id)
		save(t, s, c)
		o := outcomeOf(c, "sink", 0)
		o.Error, o.Note, o.VendorID = "a\x00b\xff", strings.Repeat("n", 100_000), "\x00"
		o.At = nil
		saveOutcomes(t, s, o)
		got := history(t, s, c).Outcomes
		if len(got) != 1 || got[0].CallID != id || got[0].Error != "a\u2400b\uFFFD" || len(got[0].Note) != 100_000 {
			t.Errorf("%.20q: %d outcomes: %.300v", id, len(got), got)
		}
	}
}

// manyOutcomes: more than a statement carries, from several at once.
func manyOutcomes(t *testing.T, s store.Store) {
	var all []call.Outcome
	for i := range 1200 {
		all = append(all, outcomeOf(Minimal(fmt.Sprint(i)), "sink", i%60))
	}
	done := make(chan error)
	backwards := slices.Clone(all)
	slices.Reverse(backwards)
	for _, batch := range [][]call.Outcome{all, backwards} {
		go func() { done <- errors.Join(s.SaveOutcomes(t.Context(), batch)...) }()
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	last := Minimal("1199")
	save(t, s, last)
	if got := history(t, s, last).Outcomes; len(got) != 1 {
		t.Errorf("%+v", got)
	}
}
