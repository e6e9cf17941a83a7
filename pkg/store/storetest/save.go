package storetest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/pkg/store"
)

func roundTrip(t *testing.T, s store.Store) {
	full := Full("full")
	for f, v := range reflect.ValueOf(full).Elem().Fields() {
		if v.IsZero() {
			t.Errorf("Full leaves %s unset, so nothing is known of it here", f.Name)
		}
	}
	before, _ := json.Marshal(full)
	for _, c := range []*call.Call{full, Minimal("minimal"), Progress("progress")} {
		wantMissing(t, s, c)
		save(t, s, c)
		if d := diff(c, get(t, s, c)); d != "" {
			t.Errorf("%s does not come back as it was (-want +got):\n%s", c.CallID, d)
		}
	}
	if after, _ := json.Marshal(full); string(before) != string(after) {
		t.Error("Save changed the caller's call")
	}
	if errs := s.Save(t.Context(), nil); len(errs) != 0 {
		t.Errorf("Save of no calls: %v", errs)
	}
}

func upsert(t *testing.T, s store.Store) {
	for _, test := range []struct {
		first, second call.Event
		wantSecond    bool
	}{
		{call.Progress, call.Ended, true},
		{call.Ended, call.Progress, false},
		{call.Ended, call.Ended, false},
		{call.Progress, call.Progress, false},
	} {
		id := fmt.Sprintf("%s-%s", test.first, test.second)
		first, second := Progress(id), Full(id)
		if test.first == call.Ended {
			first = Minimal(id)
		}
		if test.second == call.Progress {
			second = Progress(id)
		}
		second.Provider, second.Source, second.Key = first.Provider, first.Source, first.Key
		first.ExternalID, second.ExternalID = "first", "second"
		save(t, s, first)
		save(t, s, second)
		want := first
		if test.wantSecond {
			want = second
		}
		if d := diff(want, get(t, s, first)); d != "" {
			t.Errorf("%s (-want +got):\n%s", id, d)
		}
	}
}

func duplicatesInBatch(t *testing.T, s store.Store) {
	marked := func(c *call.Call, mark string) *call.Call {
		c.ExternalID = mark
		return c
	}
	batch := []*call.Call{
		marked(Progress("a"), "a0"), marked(Minimal("b"), "b0"), marked(Minimal("a"), "a1"), marked(Minimal("a"), "a2"),
		marked(Progress("b"), "b1"), marked(Progress("c"), "c0"), marked(Progress("c"), "c1"),
	}
	if errs := s.Save(t.Context(), Raw(t, batch...)); len(errs) != len(batch) || slices.ContainsFunc(errs, func(err error) bool { return err != nil }) {
		t.Fatalf("results %v, want %d times nil", errs, len(batch))
	}
	for _, want := range []*call.Call{batch[2], batch[1], batch[5]} {
		if d := diff(want, get(t, s, want)); d != "" {
			t.Errorf("%s (-want +got):\n%s", want.ExternalID, d)
		}
	}
	if got := list(t, s, store.Filter{}); len(got) != 3 {
		t.Errorf("calls %v stored, want 3", got)
	}
}

func largeBatch(t *testing.T, s store.Store) {
	const n = 1200
	var calls []*call.Call
	for i := range n {
		c := Minimal(fmt.Sprintf("call-%04d", i))
		if i%50 == 0 {
			c = Full(c.CallID)
		}
		calls = append(calls, c)
	}
	calls[7].Transcript.Text = strings.Repeat("long ", 4<<20) // 20 MiB
	save(t, s, calls[:500]...)
	save(t, s, calls...)
	if got := list(t, s, store.Filter{Limit: 2 * n}); len(got) != n {
		t.Fatalf("%d calls stored, want %d", len(got), n)
	}
	for _, i := range []int{0, 7, 499, 500, n - 50, n - 1} {
		if d := diff(calls[i], get(t, s, calls[i])); d != "" {
			t.Errorf("call %d (-want +got):\n%s", i, d)
		}
	}
}

func unstorable(t *testing.T, s store.Store) {
	for _, test := range []struct {
		name      string
		id, value string // value is JSON
		wantValue string
		warnings  []string
	}{
		{"emoji", "😀 ü %* . > /", `"\ud83d\ude00 \\u0000 \\ud800"`, `"😀 \\u0000 \\ud800"`, nil},
		{"nul", "a\x00b", `"x\u0000y\\\u0000"`, `"x␀y\\␀"`, []string{"nul_replaced"}},
		{"nul only in a value", "value", `{"k\u0000":["\u0000"]}`, `{"k␀":["␀"]}`, []string{"nul_replaced"}},
		{"nul only in the id", "\x00", `1`, `1`, []string{"nul_replaced"}},
		{"surrogates", "s", `"\ud800 \uDC00\ud800\ud83d\ude00\udfff"`, `"� ��😀�"`, []string{"surrogate_replaced"}},
		{"not UTF-8", "u\xff", "\"\xfe\"", `"�"`, []string{"invalid_utf8_replaced"}},
		{"all", "all\x00", "\"\xfe\\u0000\\ud800\"", `"�␀�"`, []string{"nul_replaced", "surrogate_replaced", "invalid_utf8_replaced"}},
	} {
		c, want := Minimal(test.id), Minimal(test.id)
		c.Extracted, want.Extracted = object(test.value), object(test.wantValue)
		c.Extensions, want.Extensions = object(test.value), object(test.wantValue)
		c.Warnings = []string{"first"}
		want.Warnings = append([]string{"first"}, test.warnings...)
		raw := Raw(t, c)
		saveRaw(t, s, raw...)
		if d := diff(want, get(t, s, c)); d != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, d)
		}
		if d := cmp.Diff(Raw(t, c), raw); d != "" { // of the same bytes a message is scheduled or buried
			t.Errorf("%s: Save changed the caller's call (-want +got):\n%s", test.name, d)
		}
		save(t, s, c) // again is the same call
	}
	if got := list(t, s, store.Filter{}); len(got) != 7 {
		t.Errorf("calls %q stored, want 7", got)
	}
}

func object(value string) map[string]json.RawMessage {
	return map[string]json.RawMessage{"v": json.RawMessage(value)}
}

// idsThatBecameOneRow: where what an engine cannot hold is replaced, an id can become one that another call has.
func idsThatBecameOneRow(t *testing.T, s store.Store) {
	kept := sha256.Sum256([]byte("nul\x00x"))
	var calls []*call.Call
	for _, id := range []string{
		"nul\x00x", "nul\u2400x", "\x00", "\u2400", "\xff", "\xfe", "\xff\xfe", "\uFFFD",
		strings.Repeat("long", 1000) + "\x00", strings.Repeat("long", 1000) + "\u2400",
		"nul\u2400x…" + hex.EncodeToString(kept[:]), // as the first is kept
	} {
		calls = append(calls, Minimal(id))
	}
	for range 2 { // again is the same calls
		save(t, s, calls...)
		if got := list(t, s, store.Filter{}); len(got) != len(calls) {
			t.Fatalf("calls %.20q stored, want %d", got, len(calls))
		}
	}
	for _, want := range calls {
		got := get(t, s, want)
		got.Warnings = nil
		if d := diff(want, got); d != "" {
			t.Errorf("%.80q (-want +got):\n%s", want.CallID, d)
		}
		if got := list(t, s, store.Filter{}); !slices.Contains(got, want.CallID) {
			t.Errorf("%.80q is not listed by its id", want.CallID)
		}
	}
}

// numberNoEngineHolds: JSON bounds no number, and one that is beyond an engine costs neither its call nor another.
func numberNoEngineHolds(t *testing.T, s store.Store) {
	numbers := []string{"1e999999999", "-1E+200000", "1e-99999999999999999999", "0e-20000", strings.Repeat("7", 140_000)}
	calls := []*call.Call{Full("before")}
	for i, n := range numbers {
		c := Full(fmt.Sprint("call-", i))
		c.Extensions["n"] = json.RawMessage(`{"deep":["\"1e999999999\\",` + n + `,1.0],"1e999999999":-0.50}`)
		c.Actions[0].Params = json.RawMessage(n)
		calls = append(calls, c)
	}
	calls = append(calls, Full("after"))
	save(t, s, calls...)
	for i, c := range calls {
		got := get(t, s, c)
		want := *c
		if slices.Contains(got.Warnings, "number_quoted") {
			n := numbers[i-1]
			want.Warnings = append(slices.Clone(c.Warnings), "number_quoted")
			want.Extensions = maps.Clone(c.Extensions)
			want.Extensions["n"] = json.RawMessage(strings.Replace(string(c.Extensions["n"]), ","+n+",", `,"`+n+`",`, 1))
			want.Actions = slices.Clone(c.Actions)
			want.Actions[0].Params = json.RawMessage(`"` + n + `"`)
		}
		if d := diff(&want, got); d != "" {
			t.Errorf("%s (-want +got):\n%.2000s", c.CallID, d)
		}
	}
}

// longTexts: an index may hold no text of any length, yet ids that differ in their last byte are two.
func longTexts(t *testing.T, s store.Store) {
	var long strings.Builder
	for long.Len() < 10<<10 {
		long.WriteString(rand.Text()) // does not compress
	}
	a, b, c := Minimal(long.String()+"a"), Minimal(long.String()+"b"), Minimal(strings.Repeat("🎈", 2560))
	a.CustomerPhone = &call.Phone{Raw: long.String()}
	b.CustomerPhone = &call.Phone{E164: "+525512345678", Raw: long.String() + "b"}
	save(t, s, a, b, c)
	for _, want := range []*call.Call{a, b, c} {
		if d := diff(want, get(t, s, want)); d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
		if want.CustomerPhone != nil {
			if got := list(t, s, store.Filter{Phone: want.CustomerPhone.Raw}); !slices.Equal(got, []string{want.CallID}) {
				t.Errorf("found %d calls by their long phone, want 1", len(got))
			}
		}
	}
	save(t, s, a, b, c)
	if got := list(t, s, store.Filter{}); len(got) != 3 {
		t.Errorf("%d calls stored, want 3", len(got))
	}
}

// refused: calls that an engine will not have do not cost the others of their batch anything.
func refused(t *testing.T, s store.Store) {
	var calls []*call.Call
	bad := []int{0, 41, 42, 99}
	for i := range 100 {
		c := Full(fmt.Sprintf("call-%02d", i))
		switch i {
		case 0, 42:
			c.Status = ""
		case 41:
			c.Event = "neither"
		case 99:
			c.Actions[0].Params = json.RawMessage(`{"unclosed":`)
		}
		calls = append(calls, c)
	}
	for i, err := range s.Save(t.Context(), Raw(t, calls...)) {
		if slices.Contains(bad, i) {
			wantKind(t, err, retry.Dead)
			wantMissing(t, s, calls[i])
		} else if err != nil {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if got := list(t, s, store.Filter{Limit: 200}); len(got) != 96 {
		t.Errorf("%d calls stored, want 96", len(got))
	}
}

// refusedWinner: a call that gave way to a refused one of its batch is not refused with it.
func refusedWinner(t *testing.T, s store.Store) {
	progress, ended := Progress("a"), Minimal("a")
	ended.Status = ""
	errs := s.Save(t.Context(), Raw(t, progress, ended))
	wantKind(t, errs[0], retry.Again)
	wantKind(t, errs[1], retry.Dead)
	save(t, s, progress)
	if d := diff(progress, get(t, s, progress)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func errorsTellNothing(t *testing.T, s store.Store) {
	c := Full("secret-id")
	c.Status = ""
	broken := Full("secret-id-2")
	broken.Actions[0].Params = json.RawMessage(`"+525587654321`)
	for i, err := range s.Save(t.Context(), Raw(t, c, broken)) {
		if err == nil {
			t.Fatalf("call %d was not refused", i)
		}
		for _, private := range []string{"secret-id", "+5255", "Zoë", "zoe@", "Turn 1"} {
			if strings.Contains(err.Error(), private) {
				t.Errorf("error holds %q: %v", private, err)
			}
		}
	}
}

// concurrent: many writers of the same calls, in different orders, store each once and none is left with an error that
// another attempt does not mend.
func concurrent(t *testing.T, s store.Store) {
	const writers, ids, attempts = 16, 60, 10
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			var todo []*call.Raw
			for i := range ids {
				c := Full(fmt.Sprintf("call-%02d", (i*7+w*13)%ids))
				if w%2 == 0 {
					c.Event, c.IsFinal = call.Progress, false
				}
				todo = append(todo, Raw(t, c)...)
			}
			for range attempts {
				var again []*call.Raw
				for i, err := range s.Save(t.Context(), todo) {
					if kind, _ := retry.Classify(err); kind == retry.Dead || kind == retry.Paused {
						t.Errorf("writer %d: %v", w, err)
					} else if err != nil {
						again = append(again, todo[i])
					}
				}
				if todo = again; len(todo) == 0 {
					return
				}
			}
			t.Errorf("writer %d: %d calls not stored after %d attempts", w, len(todo), attempts)
		})
	}
	wg.Wait()
	calls, err := s.List(t.Context(), store.Filter{Limit: 2 * ids})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]call.Event{}
	for _, c := range calls {
		seen[c.CallID] = c.Event
	}
	if len(calls) != ids || len(seen) != ids {
		t.Errorf("%d calls with %d ids stored, want %d", len(calls), len(seen), ids)
	}
	for id, event := range seen {
		if event != call.Ended {
			t.Errorf("%s is %q, want ended", id, event)
		}
	}
}

func filters(t *testing.T, s store.Store) {
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	mk := func(id, source string, status call.Status, received, started *call.Time, phone *call.Phone) *call.Call {
		c := Minimal(id)
		c.Source, c.Status, c.ReceivedAt, c.StartedAt, c.CustomerPhone = source, status, received, started, phone
		return c
	}
	save(t, s,
		mk("a", "one", call.StatusCompleted, call.At(at.Add(3*time.Hour)), call.At(at), &call.Phone{E164: "+525512345678", Raw: "55 1234"}),
		mk("b", "one", call.StatusBusy, call.At(at.Add(2*time.Hour)), nil, &call.Phone{Raw: "55 1234"}),
		mk("c", "two", call.StatusCompleted, nil, call.At(at.Add(time.Hour)), &call.Phone{E164: "+525512345678", Raw: "+525512345678"}),
		mk("d", "two", call.StatusFailed, call.At(at), call.At(at.Add(9*time.Hour)), nil),
	)
	for _, test := range []struct {
		name   string
		filter store.Filter
		want   []string
	}{
		{"all, newest first", store.Filter{}, []string{"a", "b", "c", "d"}},
		{"limit", store.Filter{Limit: 2}, []string{"a", "b"}},
		{"source", store.Filter{Source: "two"}, []string{"c", "d"}},
		{"status", store.Filter{Status: "completed"}, []string{"a", "c"}},
		{"phone as E.164", store.Filter{Phone: "+525512345678"}, []string{"a", "c"}},
		{"phone as sent", store.Filter{Phone: "55 1234"}, []string{"a", "b"}},
		{"since, of receipt or else of the call", store.Filter{Since: at.Add(time.Hour)}, []string{"a", "b", "c"}},
		{"since, in another zone", store.Filter{Since: at.Add(2 * time.Hour).In(time.FixedZone("", -6*3600))}, []string{"a", "b"}},
		{"since, a millisecond later", store.Filter{Since: at.Add(2*time.Hour + time.Millisecond)}, []string{"a"}},
		{"together", store.Filter{Source: "one", Status: "busy", Phone: "55 1234", Since: at, Limit: 5}, []string{"b"}},
		{"none", store.Filter{Source: "one' OR '1'='1"}, []string{}},
		{"nul", store.Filter{Source: "\x00", Phone: "\xff"}, []string{}},
	} {
		if d := cmp.Diff(test.want, list(t, s, test.filter)); d != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, d)
		}
	}
}
