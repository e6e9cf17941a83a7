// Package storetest holds every engine of package store to the same behaviour.
package storetest

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/pkg/store"
)

// Exercise runs the whole suite. open returns an empty store, which it closes when its t ends.
func Exercise(t *testing.T, open func(t *testing.T) store.Store) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, store.Store)
	}{
		{"RoundTrip", roundTrip},
		{"Upsert", upsert},
		{"DuplicatesInBatch", duplicatesInBatch},
		{"LargeBatch", largeBatch},
		{"Unstorable", unstorable},
		{"IDsThatBecameOneRow", idsThatBecameOneRow},
		{"NumberNoEngineHolds", numberNoEngineHolds},
		{"LongTexts", longTexts},
		{"Refused", refused},
		{"PartsAsTheyCame", partsAsTheyCame},
		{"PartOfAnotherType", partOfAnotherType},
		{"RefusedWinner", refusedWinner},
		{"ErrorsTellNothing", errorsTellNothing},
		{"Filters", filters},
		{"Order", order},
		{"ReusedSource", reusedSource},
		{"Outcomes", outcomes},
		{"HostileOutcomes", hostileOutcomes},
		{"ManyOutcomes", manyOutcomes},
		{"Concurrent", concurrent},
		{"Canceled", canceled},
		{"Closed", closed},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, open(t))
		})
	}
}

// Raw is calls as Save takes them.
func Raw(t testing.TB, calls ...*call.Call) []*call.Raw {
	t.Helper()
	raw := make([]*call.Raw, len(calls))
	for i, c := range calls {
		var err error
		if raw[i], err = call.NewRaw(c); err != nil {
			t.Fatal(err)
		}
	}
	return raw
}

// save stores calls and fails t at the first that is not stored.
func save(t *testing.T, s store.Store, calls ...*call.Call) {
	t.Helper()
	saveRaw(t, s, Raw(t, calls...)...)
}

func saveRaw(t *testing.T, s store.Store, calls ...*call.Raw) {
	t.Helper()
	for i, err := range s.Save(t.Context(), calls) {
		if err != nil {
			t.Fatalf("call %d of %d: %v", i, len(calls), err)
		}
	}
}

func get(t *testing.T, s store.Store, c *call.Call) *call.Call {
	t.Helper()
	got, err := s.Get(t.Context(), c.Source, c.CallID)
	if err != nil {
		t.Fatalf("get %.80q: %v", c.CallID, err)
	}
	return got
}

// list returns the ids of the calls that f chooses.
func list(t *testing.T, s store.Store, f store.Filter) []string {
	t.Helper()
	calls, err := s.List(t.Context(), f)
	if err != nil {
		t.Fatalf("list %+v: %v", f, err)
	}
	ids := []string{}
	for _, c := range calls {
		ids = append(ids, c.CallID)
	}
	return ids
}

func wantKind(t *testing.T, err error, want retry.Kind) {
	t.Helper()
	if kind, _ := retry.Classify(err); kind != want {
		t.Errorf("error %v is of kind %d, want %d", err, kind, want)
	}
}

func wantMissing(t *testing.T, s store.Store, c *call.Call) {
	t.Helper()
	if _, err := s.Get(t.Context(), c.Source, c.CallID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("get %.80q: error %v, want ErrNotFound", c.CallID, err)
	}
}

// diff compares calls; raw JSON by meaning, with numbers to the digit.
func diff(want, got *call.Call) string {
	return cmp.Diff(want, got, cmp.Transformer("json", func(m json.RawMessage) any {
		d := json.NewDecoder(bytes.NewReader(m))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			return err.Error()
		}
		return v
	}))
}
