package call_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/store/storetest"
)

// TestRawHoldsWhatTheCallHolds: what is read of a call is the same as is made of it, and its large parts are there once.
func TestRawHoldsWhatTheCallHolds(t *testing.T) {
	t.Parallel()
	for _, c := range []*call.Call{storetest.Full("full"), {Transcript: call.Transcript{Form: call.TranscriptText, Text: "<b> & \u2028"}, Analysis: &call.Analysis{}}} {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(c); err != nil {
			t.Fatal(err)
		}
		want, err := call.NewRaw(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []*json.RawMessage{&want.Analysis, &want.Extracted, &want.Extensions} {
			if string(*part) == "null" {
				*part = nil // a call's JSON leaves it out
			}
		}
		got := new(call.Raw)
		if err := json.Unmarshal(b.Bytes(), got); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("-made +read:\n%s", d)
		}
		if d := cmp.Diff(call.Transcript{}, got.Call.Transcript); d != "" || got.Call.Analysis != nil || got.Call.Extracted != nil || got.Call.Extensions != nil {
			t.Errorf("the parts were read: %+v", got.Call)
		}
	}
}

func TestNewRawOfWhatIsNoJSON(t *testing.T) {
	t.Parallel()
	if _, err := call.NewRaw(&call.Call{Extensions: map[string]json.RawMessage{"a": json.RawMessage(`{`)}}); err == nil {
		t.Error("no error")
	}
}
