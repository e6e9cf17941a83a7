// Package crmtest holds what every vendor's client is tested with: fakes that misbehave as the vendors do, and one suite.
package crmtest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/services/crm/internal/sink"
)

// Subject is a vendor's client, and the fake that it is a client of.
type Subject struct {
	Vendor  http.Handler                                 // a fake account, new
	Open    func(t *testing.T, address string) sink.Sink // a client of the account at that address, whose Check is content
	Writes  func(r *http.Request) bool                   // whether a request is to write calls: these are made to fail
	Records func() map[string]int                        // how many records the account has of each call, by key
	Secrets []string                                     // that no error may hold, nor a call's numbers and names

	// Says is the body of the vendor's error with that message; nil where it has no form.
	Says func(message string) string

	// Kinds is what an error of a fault must be where that differs from the suite's table, by the fault's name.
	Kinds map[string][]retry.Kind
}

// Exercise holds a client to what the worker relies on. open makes a subject for each test.
func Exercise(t *testing.T, open func(t *testing.T) Subject) {
	t.Run("delivers", func(t *testing.T) { t.Parallel(); delivers(t, open(t)) })
	t.Run("folds", func(t *testing.T) { t.Parallel(); folds(t, open(t)) })
	t.Run("canceled", func(t *testing.T) { t.Parallel(); canceled(t, open(t)) })
	t.Run("unreachable", func(t *testing.T) { t.Parallel(); unreachable(t, open(t)) })
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) { t.Parallel(); recovers(t, open(t), f) })
	}
}

// Calls are n ended calls, each with a number, a name and a transcript.
func Calls(n int) []sink.Item {
	var items []sink.Item
	for i := range n {
		id := fmt.Sprintf("call-%03d", i)
		items = append(items, sink.Item{Call: &call.Call{
			Schema: call.Schema, Key: call.Key("altur", "exercise", id), Provider: "altur", Source: "exercise", CallID: id,
			Event: call.Ended, IsFinal: true, PayloadVersion: "2", Auth: call.AuthVerifiedBody,
			Direction: call.DirectionOutbound, Status: call.StatusCompleted, EndReason: call.EndCustomerHangup, AnsweredBy: call.AnsweredByHuman,
			From: &call.Phone{E164: "+525500000001", Raw: "+525500000001"}, To: phone(i), CustomerPhone: phone(i),
			StartedAt: call.At(time.Date(2026, 3, 1, 12, 0, i, 0, time.UTC)), EndedAt: call.At(time.Date(2026, 3, 1, 12, 1, i, 0, time.UTC)),
			ReceivedAt: call.At(time.Date(2026, 3, 1, 12, 2, i, 0, time.UTC)), DurationMS: new(int64(60_000)),
			Agent: &call.Agent{ID: "agent-1", Name: "Sofía"}, Customer: &call.Customer{Name: customerName},
			Transcript: call.Transcript{Form: call.TranscriptNone},
			Analysis:   &call.Analysis{Summary: summary, Outcome: "promise"},
		}})
	}
	return items
}

const (
	customerName = "Xochitl Quetzal"
	summary      = "They will pay."
)

func phone(i int) *call.Phone {
	number := fmt.Sprintf("+5255%08d", 12345678+i)
	return &call.Phone{E164: number, Raw: number}
}

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func opened(t *testing.T, s Subject, address string) sink.Sink {
	t.Helper()
	c := s.Open(t, address)
	if err := c.Check(t.Context()); err != nil {
		t.Fatalf("check: %v", err)
	}
	return c
}

// delivered delivers a batch that nothing is wrong with, and holds the account to one record of each call.
func delivered(t *testing.T, s Subject, c sink.Sink, batch []sink.Item) {
	t.Helper()
	for i, r := range c.Deliver(t.Context(), batch) {
		if r.Err != nil {
			t.Errorf("call %d: %v", i, r.Err)
		}
	}
	records := s.Records()
	for _, item := range batch {
		if n := records[item.Call.Key]; n != 1 {
			t.Errorf("the account has %d records of %s", n, item.Call.Key)
		}
	}
	if len(records) != len(batch) {
		t.Errorf("the account has records of %d calls, want %d", len(records), len(batch))
	}
}

func delivers(t *testing.T, s Subject) {
	c := opened(t, s, serve(t, s.Vendor))
	if r := c.Deliver(t.Context(), nil); len(r) != 0 {
		t.Errorf("%d results for no calls", len(r))
	}
	batch := Calls(250)
	delivered(t, s, c, batch)
	delivered(t, s, c, batch) // as after a redelivery
	slices.Reverse(batch)
	delivered(t, s, s.Open(t, serve(t, s.Vendor)), batch) // by another process, at another place
}

// folds: a batch may hold a call twice, and a vendor may not take that.
func folds(t *testing.T, s Subject) {
	c := opened(t, s, serve(t, s.Vendor))
	batch := Calls(3)
	twice := slices.Concat(batch, batch[1:2], batch)
	results := c.Deliver(t.Context(), twice)
	if len(results) != len(twice) {
		t.Fatalf("%d results for %d calls", len(results), len(twice))
	}
	ids := map[string]string{}
	for i, r := range results {
		key := twice[i].Call.Key
		if id, met := ids[key]; r.Err != nil || met && r.VendorID != id {
			t.Errorf("call %d: %+v, its record was %s before", i, r, id)
		}
		ids[key] = r.VendorID
	}
	if got := s.Records(); len(got) != len(batch) {
		t.Errorf("records %v", got)
	}
}

func canceled(t *testing.T, s Subject) {
	c := opened(t, s, serve(t, s.Vendor))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, r := range c.Deliver(ctx, Calls(3)) {
		if kind, _ := retry.Classify(r.Err); kind == retry.Done || kind == retry.Dead {
			t.Errorf("after shutdown a call is settled for good: %v", r.Err)
		}
	}
	delivered(t, s, c, Calls(3))
}

func unreachable(t *testing.T, s Subject) {
	server := httptest.NewServer(s.Vendor)
	c := opened(t, s, server.URL)
	server.Close()
	for _, r := range c.Deliver(t.Context(), Calls(3)) {
		if kind, _ := retry.Classify(r.Err); kind != retry.Paused {
			t.Errorf("nobody answers, which is kind %d: %v", kind, r.Err)
		}
		secretFree(t, s, r.Err)
	}
}

// recovers: while the fault lasts nothing is settled that should not be, and when it is over each call has one record.
func recovers(t *testing.T, s Subject, f fault) {
	wrong := &faulty{fault: f, vendor: s.Vendor, writes: s.Writes, says: s.Says}
	c := opened(t, s, serve(t, wrong))
	wrong.on.Store(true)
	batch := Calls(3)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	if f.silent {
		cancel()
		ctx, cancel = context.WithTimeout(t.Context(), 2*time.Second)
	}
	defer cancel()
	want := f.kinds
	if kinds, ok := s.Kinds[f.name]; ok {
		want = kinds
	}
	results := c.Deliver(ctx, batch)
	if len(results) != len(batch) {
		t.Fatalf("%d results for %d calls", len(results), len(batch))
	}
	if wrong.hit.Load() == 0 {
		t.Fatal("no request met the fault: does Writes know the client's requests?")
	}
	for i, r := range results {
		kind, delay := retry.Classify(r.Err)
		if !slices.Contains(want, kind) {
			t.Errorf("call %d: kind %d, want one of %d: %v", i, kind, want, r.Err)
		}
		if kind == retry.Done && s.Records()[batch[i].Call.Key] != 1 && !f.accepted {
			t.Errorf("call %d is taken for delivered, and the account does not have it", i)
		}
		if f.delay > 0 && kind != retry.Done && (delay < f.delay-5*time.Second || delay > f.delay+5*time.Second) {
			t.Errorf("call %d: again in %v, asked for %v", i, delay, f.delay)
		}
		secretFree(t, s, r.Err)
	}
	wrong.on.Store(false)
	delivered(t, s, c, batch)
}

// secretFree holds an error to what a log may have.
func secretFree(t *testing.T, s Subject, err error) {
	t.Helper()
	if err == nil {
		return
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		text := e.Error() + fmt.Sprintf("%+v", e)
		for _, secret := range slices.Concat(s.Secrets, []string{"Xochitl", "Quetzal", "will pay", "12345678"}) {
			if strings.Contains(text, secret) {
				t.Errorf("an error tells a secret or a person's data: %v", err)
			}
		}
	}
}
