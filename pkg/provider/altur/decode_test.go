package altur_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/provider/altur"
	"github.com/onhook/onhook/pkg/provider/payload"
	"github.com/onhook/onhook/pkg/retry"
)

func TestDecodeErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, body, want string }{
		{"no event", `{"id":"1"}`, "altur: $.event_type: missing, and $.type is not on_call_end"},
		{"a direction without event", `{"id":"1","type":"inbound"}`, "altur: $.event_type: missing, and $.type is not on_call_end"},
		{"another event, no envelope", `{"id":"1","event_type":"on_call_start"}`, "altur: $.event_type: not on_call_end"},
		{"an event of no text", `{"id":"1","event_type":{"a":1},"data":{}}`, "altur: $.event_type: not on_call_end"},
		{"no id", `{"event_type":"on_call_end"}`, "altur: $.id: missing"},
		{"null id", `{"type":"on_call_end","id":null}`, "altur: $.id: missing"},
		{"empty id", `{"type":"on_call_end","id":""}`, "altur: $.id: empty"},
		{"id of another type", `{"type":"on_call_end","id":["1"]}`, "altur: $.id: an array, want a string"},
		{"id in another case", `{"type":"on_call_end","ID":"1"}`, "altur: $.id: missing"},
		{"truncated", `{"type":"on_call_end","id":"1"`, "altur: $: not JSON: unexpected end of JSON input (byte 30)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := altur.Decode([]byte(tt.body))
			if kind, _ := retry.Classify(err); kind != retry.Dead || err.Error() != tt.want {
				t.Errorf("got %v (kind %d), want %s", err, kind, tt.want)
			}
		})
	}
	for _, body := range []string{
		`{"event_type":"campaign.status_changed","event_id":"e","data":{}}`,
		`{"event_type":"campaign.anything"}`,
		`{"event_type":"campaign.finished","id":"1"}`,
	} {
		if _, err := altur.Decode([]byte(body)); !errors.Is(err, payload.ErrIgnored) {
			t.Errorf("%s: %v, want ErrIgnored", body, err)
		}
	}
}

// An event type unknown to us was acknowledged and forgotten when it came in an envelope.
func TestDecodeUnknownEventIsNotIgnored(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"event_type":"project.closed","event_id":"e"}`,
		`{"event_type":"project.closed","data":{"id":1}}`,
		`{"event_type":"call.ended","event_id":"e","api_version":"1.0","data":{"id":"1"}}`,
		`{"event_type":"on_call_ended","id":"1"}`,
		`{"event_type":"campaign","event_id":"e","data":{}}`,
		`{"event_type":"Campaign.status_changed","event_id":"e"}`,
		`{"event_type":" on_call_end","id":"1"}`,
	} {
		_, err := altur.Decode([]byte(body))
		if kind, _ := retry.Classify(err); kind != retry.Dead || errors.Is(err, payload.ErrIgnored) || err.Error() != "altur: $.event_type: not on_call_end" {
			t.Errorf("%s: %v (kind %d), want a dead delivery", body, err, kind)
		}
	}
}

func TestDecodeOutcome(t *testing.T) {
	t.Parallel()
	type outcome struct {
		Status     call.Status
		AnsweredBy call.AnsweredBy
		EndReason  call.EndReason
	}
	for _, tt := range []struct {
		status, answeredBy string
		want               outcome
	}{
		{`"ended"`, `"human"`, outcome{call.StatusCompleted, call.AnsweredByHuman, call.EndUnknown}},
		{`"ended"`, `"unknown"`, outcome{call.StatusCompleted, call.AnsweredByUnknown, call.EndUnknown}},
		{`"ended"`, `null`, outcome{call.StatusCompleted, call.AnsweredByUnknown, call.EndUnknown}},
		{`"ended"`, `"machine"`, outcome{call.StatusVoicemail, call.AnsweredByMachine, call.EndVoicemailDetected}},
		{`"no-answer"`, `"unknown"`, outcome{call.StatusNoAnswer, call.AnsweredByNobody, call.EndNoAnswer}},
		{`"busy"`, `"human"`, outcome{call.StatusBusy, call.AnsweredByNobody, call.EndBusy}},
		{`"failed"`, `"unknown"`, outcome{call.StatusFailed, call.AnsweredByNobody, call.EndUnknown}},
		{`"forwarding"`, `"human"`, outcome{call.StatusInProgress, call.AnsweredByHuman, call.EndUnknown}},
		{`"queued"`, `null`, outcome{call.StatusInProgress, call.AnsweredByUnknown, call.EndUnknown}},
		{`"evaporated"`, `"ghost"`, outcome{call.StatusUnknown, call.AnsweredByUnknown, call.EndUnknown}},
		{`null`, `null`, outcome{call.StatusUnknown, call.AnsweredByUnknown, call.EndUnknown}},
	} {
		c := decode(t, `{"event_type":"on_call_end","id":"1","status":`+tt.status+`,"answered_by":`+tt.answeredBy+`}`)
		if got := (outcome{c.Status, c.AnsweredBy, c.EndReason}); got != tt.want {
			t.Errorf("%s answered by %s: %+v, want %+v", tt.status, tt.answeredBy, got, tt.want)
		}
		if c.Event != call.Ended || !c.IsFinal {
			t.Errorf("%s: %s, final %t", tt.status, c.Event, c.IsFinal)
		}
	}
}

// In v1 the root's type is the event and must not be read as a direction.
func TestDecodeV1HasNoDirection(t *testing.T) {
	t.Parallel()
	c := decode(t, `{"event_type":null,"type":"on_call_end","id":"1","status":"ended","phone_number_to":"+521234567890"}`)
	if c.PayloadVersion != "altur/v1" || c.Direction != call.DirectionUnknown || c.CustomerPhone != nil || len(c.Warnings) > 0 {
		t.Errorf("got %+v", c)
	}
}

func TestDecodePrecedenceFieldByField(t *testing.T) {
	t.Parallel()
	c := decode(t, `{"event_type":"on_call_end","id":"1","type":"inbound","status":"ended","phone_number_from":"+15550001111",
		"end_user":{"id":"u","status":"failed","display_name":"Old","phone_number":"0155","context":"old","extracted_data":{"a":1},"tags":["x"]},
		"campaign_user":{"name":"New","contact":null,"extracted_data":{}}}`)
	want := &call.Customer{ID: "u", Name: "New", StatusRaw: "failed", Context: "old"}
	if diff := cmp.Diff(want, c.Customer); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(&call.Phone{Raw: "0155"}, c.CustomerPhone); diff != "" {
		t.Error(diff)
	}
	if c.Campaign != nil || len(c.Extracted) != 0 || !cmp.Equal(c.Tags, []string{"x"}) {
		t.Errorf("campaign %v, extracted %s, tags %q", c.Campaign, c.Extracted, c.Tags)
	}
	extensions(t, c, `{"end_user":{"display_name":"Old","extracted_data":{"a":1}}}`)
}

func TestDecodeCustomerPhoneByDirection(t *testing.T) {
	t.Parallel()
	for direction, want := range map[string]string{"inbound": "+15550001111", "outbound": "+15550002222"} {
		c := decode(t, `{"event_type":"on_call_end","id":"1","type":"`+direction+`","status":"ended",
			"phone_number_from":"+1 (555) 000.1111","phone_number_to":"+1-555-000-2222","end_user":null}`)
		if c.CustomerPhone == nil || c.CustomerPhone.E164 != want || !cmp.Equal(c.Derived, []string{"customer_phone"}) {
			t.Errorf("%s: %+v, derived %q", direction, c.CustomerPhone, c.Derived)
		}
	}
}

// What cannot be used stays where it was, and never costs the call.
func TestDecodeUnusableTypes(t *testing.T) {
	t.Parallel()
	body := `{"event_type":"on_call_end","id":"1","type":["x"],"status":{"a":1},"answered_by":true,"phone_number_from":{},
		"created_at":true,"started_at":[],"duration":"NaN","billed_duration":"0x1F","recording_url":{},"transcript":[1,{"content":{"t":"x"}},"y"],
		"assistant":"Diana","end_user":[1],"campaign_user":{"tags":"a","extracted_data":[1],"failed_retries":"many"}}`
	c := decode(t, body)
	if c.Status != call.StatusUnknown || len(c.Transcript.Turns) != 1 {
		t.Errorf("got %+v", c)
	}
	extensions(t, c, `{"type":["x"],"status":{"a":1},"answered_by":true,"phone_number_from":{},
		"created_at":true,"started_at":[],"duration":"NaN","billed_duration":"0x1F","recording_url":{},"transcript":[1,{"content":{"t":"x"}},"y"],
		"assistant":"Diana","end_user":[1],"campaign_user":{"tags":"a","extracted_data":[1],"failed_retries":"many"}}`)
	for _, path := range []string{"type", "status", "answered_by", "phone_number_from", "created_at", "started_at", "duration", "billed_duration",
		"recording_url", "transcript[0]", "transcript[1].content", "transcript[2]", "assistant", "end_user", "campaign_user.tags", "campaign_user.extracted_data", "campaign_user.failed_retries"} {
		if !strings.Contains(strings.Join(c.Warnings, "\n"), "$."+path+": ") {
			t.Errorf("no warning of %s in %q", path, c.Warnings)
		}
	}
}

func TestDecodeRecording(t *testing.T) {
	t.Parallel()
	for sent, want := range map[string]string{
		"/api/v1.0/call/1/recording":                     "https://api.altur.io/api/v1.0/call/1/recording",
		"api/v1.0/call/1/recording":                      "https://api.altur.io/api/v1.0/call/1/recording",
		"https://api.altur.io/api/v1.0/call/1/recording": "https://api.altur.io/api/v1.0/call/1/recording",
		"https://[::1":                                   "https://[::1",
	} {
		c := decode(t, `{"event_type":"on_call_end","id":"1","status":"ended","recording_url":"`+sent+`"}`)
		if c.Recording == nil || c.Recording.URI != want || c.Recording.Access != call.AccessAPIKey {
			t.Errorf("%s: %+v", sent, c.Recording)
		}
	}
}

func decode(t *testing.T, body string) *call.Call {
	t.Helper()
	c, err := altur.Decode([]byte(body))
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return c
}

// extensions compares as JSON.
func extensions(t *testing.T, c *call.Call, want string) {
	t.Helper()
	raw, err := json.Marshal(c.Extensions)
	if err != nil {
		t.Fatal(err)
	}
	var a, b any
	if err := errors.Join(json.Unmarshal(raw, &a), json.Unmarshal([]byte(want), &b)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b, a); diff != "" {
		t.Error(diff)
	}
}
