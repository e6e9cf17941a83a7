package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/pkg/store"
)

// order: milliseconds count, a whole second among them, and without a limit the list ends at DefaultLimit.
func order(t *testing.T, s store.Store) {
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	var calls []*call.Call
	var want []string
	for i := range store.DefaultLimit + 5 {
		c := Minimal(fmt.Sprintf("call-%03d", i))
		c.ReceivedAt = call.At(at.Add(-time.Duration(i) * 250 * time.Millisecond))
		calls = append(calls, c)
		want = append(want, c.CallID)
	}
	save(t, s, calls...)
	if d := cmp.Diff(want[:store.DefaultLimit], list(t, s, store.Filter{})); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// reusedSource: the provider is part of a call's identity, and Get means the newer of two.
func reusedSource(t *testing.T, s store.Store) {
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	older, newer := Minimal("a"), Minimal("a")
	older.ReceivedAt = call.At(at)
	newer.Provider, newer.ReceivedAt = "altur", call.At(at.Add(time.Hour))
	newer.Key = call.Key(newer.Provider, newer.Source, newer.CallID)
	save(t, s, newer, older)
	if got := list(t, s, store.Filter{}); len(got) != 2 {
		t.Errorf("%d calls stored, want 2", len(got))
	}
	if d := diff(newer, get(t, s, newer)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// canceled: time that ran out says nothing about the calls.
func canceled(t *testing.T, s store.Store) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for _, ctx := range []context.Context{gone, late} {
		for _, err := range s.Save(ctx, Raw(t, Minimal("a"), Minimal("b"))) {
			wantKind(t, err, retry.Paused)
		}
		_, err := s.List(ctx, store.Filter{})
		wantKind(t, err, retry.Paused)
		wantKind(t, s.Ping(ctx), retry.Paused)
	}
	if got := list(t, s, store.Filter{}); len(got) != 0 {
		t.Errorf("calls %v stored, want none", got)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("ping after a canceled query: %v", err)
	}
	save(t, s, Minimal("a"))
}

func closed(t *testing.T, s store.Store) {
	save(t, s, Minimal("a"))
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	for _, err := range s.Save(t.Context(), Raw(t, Minimal("b"))) {
		if kind, _ := retry.Classify(err); kind == retry.Done || kind == retry.Dead {
			t.Errorf("save after close: error %v of kind %d, want one that keeps the call", err, kind)
		}
	}
	if s.Ping(t.Context()) == nil {
		t.Error("ping after close: no error")
	}
}
