package cllr_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/provider/cllr"
	"github.com/onhook/onhook/pkg/retry"
)

func decode(t *testing.T, body string) *call.Call {
	t.Helper()
	c, err := cllr.Decode([]byte(body))
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return c
}

func TestDecodeErrors(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{}`:                      "cllr: $.callId: missing",
		`{"callid":"1"}`:          "cllr: $.callId: missing",
		`{"callId":""}`:           "cllr: $.callId: empty",
		`{"callId":{"$oid":"1"}}`: "cllr: $.callId: an object, want a string",
	} {
		_, err := cllr.Decode([]byte(body))
		if kind, _ := retry.Classify(err); kind != retry.Dead || err.Error() != want {
			t.Errorf("%s: %v (kind %d), want %s", body, err, kind, want)
		}
	}
}

func TestDecodeStatusFromWhatCanBeFetched(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]call.Status{
		`{"callId":"1","recordingUri":"https://x"}`:                                      call.StatusCompleted,
		`{"callId":"1","transcriptUri":"https://x"}`:                                     call.StatusCompleted,
		`{"callId":"1","recordingUri":"","transcriptUri":null}`:                          call.StatusUnknown,
		`{"callId":"1","recordingUri":{},"callAnalysis":{"callOutcome":"No Answer"}}`:    call.StatusUnknown,
		`{"callId":"1","callerDetails":[],"callAnalysis":"none","transcriptUri":[null]}`: call.StatusUnknown,
	} {
		c := decode(t, body)
		derived := want == call.StatusCompleted
		if c.Status != want || derived != cmp.Equal(c.Derived, []string{"status"}) || c.Event != call.Ended || !c.IsFinal {
			t.Errorf("%s: %s, derived %q, %s", body, c.Status, c.Derived, c.Event)
		}
	}
}

func TestDecodeCreatedAtFromObjectID(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"693bff62619c51fac21acf50":  "2025-12-12T11:41:22.000Z",
		"693BFF62619C51FAC21ACF50":  "2025-12-12T11:41:22.000Z",
		"000000000000000000000000":  "", // 1970: no ObjectId
		"693bff62619c51fac21acf5g":  "",
		"693bff62619c51fac21acf5":   "",
		"693bff62619c51fac21acf500": "",
		"test-call-123":             "",
	} {
		c, got := decode(t, `{"callId":"`+id+`"}`), ""
		if c.CreatedAt != nil {
			got = c.CreatedAt.String()
		}
		if got != want || cmp.Equal(c.Derived, []string{"created_at"}) != (want != "") {
			t.Errorf("%s: %q, want %q; derived %q", id, got, want, c.Derived)
		}
	}
}

func TestDecodeScore(t *testing.T) {
	t.Parallel()
	for sent, want := range map[string]float64{`85`: 85, `"85"`: 85, `0`: 0, `"99.5"`: 99.5, `-1`: -1, `101`: -1, `"A"`: -1, `"NaN"`: -1, `true`: -1} {
		c := decode(t, `{"callId":"1","callAnalysis":{"score":`+sent+`}}`)
		switch {
		case want < 0:
			if c.Analysis != nil || len(c.Warnings) != 1 || string(c.Extensions["callAnalysis"]) != `{"score":`+sent+`}` {
				t.Errorf("%s: %+v, warnings %q, extensions %s", sent, c.Analysis, c.Warnings, c.Extensions)
			}
		case c.Analysis == nil || c.Analysis.Score == nil || *c.Analysis.Score != want:
			t.Errorf("%s: %+v, want %v", sent, c.Analysis, want)
		}
	}
}

// A detail of a type we cannot use goes to the extensions, not to the attributes.
func TestDecodeCaller(t *testing.T) {
	t.Parallel()
	c := decode(t, `{"callId":"1","callerDetails":{"name":{"first":"A"},"phoneNumber":["+15551234567"],"age":"34","extra":{"k":[1]}}}`)
	want := &call.Customer{Attributes: map[string]json.RawMessage{"age": json.RawMessage(`"34"`), "extra": json.RawMessage(`{"k":[1]}`)}}
	if diff := cmp.Diff(want, c.Customer); diff != "" {
		t.Error(diff)
	}
	if got, want := string(c.Extensions["callerDetails"]), `{"name":{"first":"A"},"phoneNumber":["+15551234567"]}`; got != want {
		t.Errorf("extensions %s, want %s", got, want)
	}
}
