package storetest

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/pkg/store"
)

// partsAsTheyCame: the large parts of a call are stored as the JSON that they are, with nothing of it read.
func partsAsTheyCame(t *testing.T, s store.Store) {
	none := call.Transcript{}
	for name, test := range map[string]struct {
		parts string // of the call, as JSON
		want  call.Call
	}{
		"absent":      {`{}`, call.Call{Transcript: none}},
		"null":        {`{"transcript":null,"analysis":null,"extracted":null,"extensions":null}`, call.Call{Transcript: none}},
		"empty":       {`{"transcript":{},"analysis":{},"extracted":{},"extensions":{}}`, call.Call{Transcript: none, Analysis: &call.Analysis{}}},
		"spaced":      {`{"transcript": {"form" : "text"} , "extracted" : { } , "extensions" : { "a" : 1.0 } }`, call.Call{Transcript: call.Transcript{Form: "text"}, Extensions: map[string]json.RawMessage{"a": json.RawMessage(`1.0`)}}},
		"not ours":    {`{"transcript":{"form":"none","later":[1]},"analysis":{"summary":"<b>&\u2028","later":{}}}`, call.Call{Transcript: call.Transcript{Form: "none"}, Analysis: &call.Analysis{Summary: "<b>&\u2028"}}},
		"one of two":  {`{"extracted":{"a":1},"extracted":{"b":2}}`, call.Call{Transcript: none, Extracted: map[string]json.RawMessage{"b": json.RawMessage(`2`)}}},
		"half a pair": {`{"transcript":{"form":"text","text":"\ud800 \u0000"}}`, call.Call{Transcript: call.Transcript{Form: "text", Text: "\uFFFD \u2400"}, Warnings: []string{"nul_replaced", "surrogate_replaced"}}},
	} {
		want := Minimal(name)
		raw := &call.Raw{Call: *want}
		if err := json.Unmarshal([]byte(test.parts), raw); err != nil {
			t.Fatal(err)
		}
		want.Transcript, want.Analysis, want.Extracted, want.Extensions = test.want.Transcript, test.want.Analysis, test.want.Extracted, test.want.Extensions
		want.Warnings = test.want.Warnings
		saveRaw(t, s, raw)
		if d := diff(want, get(t, s, want)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// partOfAnotherType: a part that is no object would make a row that cannot be read back, and List with it.
func partOfAnotherType(t *testing.T, s store.Store) {
	var calls []*call.Raw
	for i, part := range []string{`5`, `"text"`, `[{}]`, `true`} {
		raw := Raw(t, Full(fmt.Sprint("a", i)), Full(fmt.Sprint("b", i)), Full(fmt.Sprint("c", i)), Full(fmt.Sprint("d", i)))
		for i, into := range []*json.RawMessage{&raw[0].Transcript, &raw[1].Analysis, &raw[2].Extracted, &raw[3].Extensions} {
			*into = json.RawMessage(part)
			calls = append(calls, raw[i])
		}
	}
	calls = append(calls, Raw(t, Full("good"))...)
	for i, err := range s.Save(t.Context(), calls) {
		if calls[i].CallID == "good" {
			wantKind(t, err, retry.Done)
		} else {
			wantKind(t, err, retry.Dead)
		}
	}
	if got := list(t, s, store.Filter{}); !slices.Equal(got, []string{"good"}) {
		t.Errorf("calls %v stored, want the good one alone", got)
	}
}
