package storetest

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/onhook/onhook/pkg/call"
)

// Minimal is an ended call with nothing but what every call has.
func Minimal(id string) *call.Call {
	return &call.Call{
		Schema: call.Schema, Key: call.Key("cllr", "leads-in", id), Provider: "cllr", Source: "leads-in", CallID: id,
		Event: call.Ended, IsFinal: true, PayloadVersion: "1", Direction: call.DirectionUnknown, Status: call.StatusUnknown,
		EndReason: call.EndUnknown, AnsweredBy: call.AnsweredByUnknown, Transcript: call.Transcript{Form: call.TranscriptNone},
	}
}

// Progress is a call that has not ended.
func Progress(id string) *call.Call {
	c := Minimal(id)
	c.Event, c.IsFinal, c.Status = call.Progress, false, call.StatusInProgress
	return c
}

// Full is an ended call with every field set, of about 4 kB as JSON.
func Full(id string) *call.Call {
	at := func(s int) *call.Time {
		return call.At(time.Date(2026, 3, 1, 12, 0, s, 987_000_000, time.UTC))
	}
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	// Numbers that a float64 would spoil, and text that an encoder may rewrite.
	tree := func() map[string]json.RawMessage {
		return map[string]json.RawMessage{
			"big": raw(`12345678901234567890123`), "one": raw(`1.0`), "small": raw(`-0.10`), "null": raw(`null`), "flag": raw(`false`),
			"nested": raw(`{"b":[1,{"deep":"<a href=\"x\">&amp;\u2028 \\u0000 😀"}],"a":""}`), "": raw(`"empty name"`), "with.dot and space": raw(`[]`),
		}
	}
	c := &call.Call{
		Schema: call.Schema, Key: call.Key("altur", "collections-mx", id), Provider: "altur", Source: "collections-mx", CallID: id, ExternalID: "ext-1",
		Event: call.Ended, EventRaw: "call.ended", IsFinal: true, PayloadVersion: "2",
		DeliveryID: "019d0000-0000-7000-8000-000000000001", ReceivedAt: at(59), Auth: call.AuthVerifiedBody,
		BodySHA256: strings.Repeat("ab", 32), BodySize: 4096, BodyRef: "WEBHOOKS/42", Headers: map[string]string{"user-agent": "altur/2"},
		Direction: call.DirectionOutbound, Status: call.StatusCompleted, StatusRaw: "Completed", EndReason: call.EndCustomerHangup,
		EndReasonRaw: "user_hangup", EndReasonDetail: "said goodbye", AnsweredBy: call.AnsweredByHuman, AnsweredByRaw: "HUMAN", Error: "none worth naming",
		From: &call.Phone{E164: "+525512345678", Raw: "+52 55 1234 5678"}, To: &call.Phone{Raw: "55 8765 4321"},
		CustomerPhone: &call.Phone{E164: "+525587654321", Raw: "+52 (55) 8765-4321"}, ForwardedFrom: &call.Phone{E164: "+525500000000", Raw: "+525500000000"},
		CreatedAt: at(0), StartedAt: at(1), EndedAt: at(58), Timezone: "America/Mexico_City", DurationMS: new(int64(57_000)), BilledDurationMS: new(int64(60_000)),
		Agent:    &call.Agent{ID: "asst_1", Name: "Sofía", Nickname: "sofi"},
		Campaign: &call.Campaign{ContactRef: "f-1", ContactStatus: "promise", FailedRetries: new(int64(2)), VoicemailRetries: new(int64(0))},
		Customer: &call.Customer{ID: "u-1", ExternalID: "crm-77", Name: "Zoë O'Neill \"Z\"", Email: "zoe@example.com", StatusRaw: "active",
			Context: "owes\n100", Language: "Spanish", Attributes: tree()},
		Tags: []string{"vip", "", "mañana"}, Extracted: tree(), ExtractedSource: map[string]string{"big": "action:pay"},
		Actions:    []call.Action{{Name: "pay", Type: "http", Params: raw(`{"amount":1.10}`), Result: raw(`null`), Error: "late", At: at(30)}, {Name: "noop"}},
		Recording:  &call.Recording{URI: "https://example.com/r?a=1&b=<2>", Access: call.AccessAPIKey, StoredRef: "s3://r/1"},
		Extensions: tree(), Derived: []string{"ended_at"}, Warnings: []string{"duration_ms: disagrees with the times"},
	}
	var turns []call.Turn
	for i := range 20 {
		turns = append(turns, call.Turn{I: i, Role: call.RoleAgent, RoleRaw: "agent", At: at(i), OffsetMS: new(int64(i) * 1000),
			Text: fmt.Sprintf("Turn %d of the call: hello, ¿cómo está? We talk about the payment that is due. 你好", i)})
	}
	c.Transcript = call.Transcript{Form: call.TranscriptTurns, Turns: turns, Text: "the turns\njoined", URI: "https://example.com/t"}
	c.Analysis = &call.Analysis{Summary: "Paid.", Sentiment: "calm", Score: new(87.25), Outcome: "promise", Classification: "warm",
		Criteria: []call.Criterion{{Name: "greeting", Verdict: call.VerdictMet, VerdictRaw: "True", Feedback: "well done"}}, Flags: tree(), Details: tree()}
	return c
}
