package synthflow_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/provider/synthflow"
	"github.com/onhook/onhook/pkg/retry"
)

func decode(t *testing.T, body string) *call.Call {
	t.Helper()
	c, err := synthflow.Decode([]byte(body))
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return c
}

func TestDecodeErrors(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{}`:                         "synthflow: $.call.call_id: missing",
		`{"call":"x"}`:               "synthflow: $.call: not an object",
		`{"call":null}`:              "synthflow: $.call: not an object",
		`{"call":{}}`:                "synthflow: $.call.call_id: missing",
		`{"call":{"call_id":true}}`:  "synthflow: $.call.call_id: a boolean, want a string",
		`{"call_id":"1","call":{}}`:  "synthflow: $.call.call_id: missing",
		`{"event":"call_inbound"}`:   "synthflow: $.event: call_inbound is no post-call event",
		`[{"call":{"call_id":"1"}}]`: "synthflow: $: an array, want an object",
	} {
		_, err := synthflow.Decode([]byte(body))
		if kind, _ := retry.Classify(err); kind != retry.Dead || err.Error() != want {
			t.Errorf("%s: %v (kind %d), want %s", body, err, kind, want)
		}
	}
}

func TestDecodeOutcome(t *testing.T) {
	t.Parallel()
	type outcome struct {
		Event      call.Event
		Status     call.Status
		EndReason  call.EndReason
		AnsweredBy call.AnsweredBy
		Raw, Error string // end reason as sent; error
	}
	for _, tt := range []struct {
		status, reason, failure string
		want                    outcome
	}{
		{"completed", "human_goodbye", "", outcome{call.Ended, call.StatusCompleted, call.EndCustomerHangup, call.AnsweredByHuman, "human_goodbye", ""}},
		{"completed", "human_pick_up_cut_off", "", outcome{call.Ended, call.StatusCompleted, call.EndDropped, call.AnsweredByHuman, "human_pick_up_cut_off", ""}},
		{"completed", "max_duration", "", outcome{call.Ended, call.StatusCompleted, call.EndMaxDuration, call.AnsweredByUnknown, "max_duration", ""}},
		{"completed", "undefined", "", outcome{call.Ended, call.StatusCompleted, call.EndUnknown, call.AnsweredByUnknown, "undefined", ""}},
		{"completed", "voicemail", "", outcome{call.Ended, call.StatusVoicemail, call.EndVoicemailDetected, call.AnsweredByMachine, "voicemail", ""}},
		{"hangup_on_voicemail", "undefined", "", outcome{call.Ended, call.StatusVoicemail, call.EndUnknown, call.AnsweredByMachine, "undefined", ""}},
		{"left_voicemail", "voicemail_message_left", "", outcome{call.Ended, call.StatusVoicemail, call.EndVoicemailMessageLeft, call.AnsweredByMachine, "voicemail_message_left", ""}},
		{"no-answer", "undefined", "", outcome{call.Ended, call.StatusNoAnswer, call.EndNoAnswer, call.AnsweredByNobody, "undefined", ""}},
		{"busy", "", "", outcome{call.Ended, call.StatusBusy, call.EndBusy, call.AnsweredByNobody, "", ""}},
		{"failed", "429: Rate limit exceeded. Try later", "", outcome{call.Ended, call.StatusFailed, call.EndLimitReached, call.AnsweredByNobody, "429: Rate limit exceeded. Try later", ""}},
		{"failed", "608: Rejected", "SIP", outcome{call.Ended, call.StatusFailed, call.EndRejected, call.AnsweredByNobody, "608: Rejected", "SIP"}},
		{"failed", "Rejected", "", outcome{call.Ended, call.StatusFailed, call.EndRejected, call.AnsweredByNobody, "Rejected", ""}},
		{"failed", "Insufficient Minutes", "", outcome{call.Ended, call.StatusFailed, call.EndLimitReached, call.AnsweredByNobody, "Insufficient Minutes", ""}},
		{"failed", "Failed to start outbound call", "", outcome{call.Ended, call.StatusFailed, call.EndUnknown, call.AnsweredByNobody, "Failed to start outbound call", ""}},
		{"cancelled", "user_canceled", "", outcome{call.Ended, call.StatusCanceled, call.EndCanceled, call.AnsweredByUnknown, "user_canceled", ""}},
		{"completed", "user_canceled", "", outcome{call.Ended, call.StatusCanceled, call.EndCanceled, call.AnsweredByUnknown, "user_canceled", ""}},
		{"queue", "undefined", "", outcome{call.Progress, call.StatusInProgress, call.EndUnknown, call.AnsweredByUnknown, "undefined", ""}},
		{"in-progress", "voicemail", "", outcome{call.Progress, call.StatusInProgress, call.EndVoicemailDetected, call.AnsweredByUnknown, "voicemail", ""}},
		{"paused", "", "", outcome{call.Progress, call.StatusInProgress, call.EndUnknown, call.AnsweredByUnknown, "", ""}},
		{"wrapped_up", "undefined", "", outcome{call.Progress, call.StatusUnknown, call.EndUnknown, call.AnsweredByUnknown, "undefined", ""}},
		// The end reason and the error in each other's place.
		{"completed", "completed", "agent_goodbye", outcome{call.Ended, call.StatusCompleted, call.EndAgentHangup, call.AnsweredByHuman, "agent_goodbye", ""}},
		{"completed", "completed", "voicemail", outcome{call.Ended, call.StatusVoicemail, call.EndVoicemailDetected, call.AnsweredByMachine, "voicemail", ""}},
		{"completed", "", "human_goodbye", outcome{call.Ended, call.StatusCompleted, call.EndCustomerHangup, call.AnsweredByHuman, "human_goodbye", ""}},
		{"failed", "failed", "608: Rejected", outcome{call.Ended, call.StatusFailed, call.EndRejected, call.AnsweredByNobody, "608: Rejected", "608: Rejected"}},
		{"completed", "human_goodbye", "human_goodbye", outcome{call.Ended, call.StatusCompleted, call.EndCustomerHangup, call.AnsweredByHuman, "human_goodbye", ""}},
		{"completed", "completed", "something broke", outcome{call.Ended, call.StatusCompleted, call.EndUnknown, call.AnsweredByUnknown, "completed", "something broke"}},
	} {
		c := decode(t, fmt.Sprintf(`{"status":%q,"error_message":%q,"call":{"call_id":"1","status":%[1]q,"end_call_reason":%[3]q}}`, tt.status, tt.failure, tt.reason))
		got := outcome{c.Event, c.Status, c.EndReason, c.AnsweredBy, c.EndReasonRaw, c.Error}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s, %s, %s:\n%s", tt.status, tt.reason, tt.failure, diff)
		}
		if c.IsFinal != (c.Event == call.Ended) || c.StatusRaw != tt.status {
			t.Errorf("%s: final %t, raw %s", tt.status, c.IsFinal, c.StatusRaw)
		}
	}
}

// An end reason made a call final whose status is not known to be.
func TestDecodeReasonAloneIsNotFinal(t *testing.T) {
	t.Parallel()
	for reason, want := range map[string]call.Status{ // what the reason says of the status, if anything
		"agent_goodbye": call.StatusUnknown, "human_goodbye": call.StatusUnknown, "human_pick_up_cut_off": call.StatusUnknown,
		"max_duration": call.StatusUnknown, "custom_end_call": call.StatusUnknown, "608: Rejected": call.StatusUnknown, "undefined": call.StatusUnknown,
		"voicemail": call.StatusVoicemail, "voicemail_message_left": call.StatusVoicemail, "user_canceled": call.StatusCanceled,
	} {
		for _, status := range []string{`"wrapped_up"`, `""`, `null`, `{}`} {
			c := decode(t, `{"call":{"call_id":"1","status":`+status+`,"end_call_reason":"`+reason+`","start_time":"2026-01-01T00:00:00Z","duration":5}}`)
			event := call.Progress
			if want.Terminal() {
				event = call.Ended
			}
			if c.Status != want || c.Event != event || c.IsFinal != want.Terminal() || (c.EndedAt != nil) != want.Terminal() || slices.Contains(c.Derived, "event") {
				t.Errorf("%s, %s: %s, %s, final %t, ended at %v, want %s, %s", status, reason, c.Status, c.Event, c.IsFinal, c.EndedAt, want, event)
			}
		}
	}
}

// The sentence in error_message counted beside a status word in end_call_reason, but not beside an empty or undefined one.
func TestDecodeSentenceBesideNoReason(t *testing.T) {
	t.Parallel()
	for sentence, want := range map[string]call.EndReason{
		"429: Rate limit exceeded": call.EndLimitReached, "608: Rejected": call.EndRejected, "Insufficient Minutes": call.EndLimitReached,
		"Rejected": call.EndRejected, "something broke": call.EndUnknown,
	} {
		for reason, left := range map[string]string{
			`""`: "", `null`: "", `" "`: "", `"failed"`: "", `"undefined"`: `{"end_call_reason":"undefined"}`, `"Undefined"`: `{"end_call_reason":"Undefined"}`,
			`"busy"`: `{"end_call_reason":"busy"}`,
		} {
			c := decode(t, `{"error_message":"`+sentence+`","call":{"call_id":"1","status":"failed","end_call_reason":`+reason+`}}`)
			if c.EndReason != want || c.Error != sentence {
				t.Errorf("%s beside %s: %s, error %q, want %s", sentence, reason, c.EndReason, c.Error, want)
			}
			if want != call.EndUnknown && (c.EndReasonRaw != sentence || string(c.Extensions["call"]) != left) {
				t.Errorf("%s beside %s: raw %q, left %s, want %s", sentence, reason, c.EndReasonRaw, c.Extensions["call"], left)
			}
		}
		c := decode(t, `{"error_message":"`+sentence+`","call":{"call_id":"1","status":"failed"}}`)
		if c.EndReason != want || c.Error != sentence {
			t.Errorf("%s alone: %s, error %q, want %s", sentence, c.EndReason, c.Error, want)
		}
	}
	c := decode(t, `{"error_message":"agent_goodbye","call":{"call_id":"1","status":"completed","end_call_reason":"undefined"}}`)
	if c.EndReason != call.EndAgentHangup || c.EndReasonRaw != "agent_goodbye" || c.Error != "" {
		t.Errorf("a word beside undefined: %s, raw %q, error %q", c.EndReason, c.EndReasonRaw, c.Error)
	}
}

// The derived end was in the year 10000, which no reader of the call could parse.
func TestDecodeEndBeyondTheLastYear(t *testing.T) {
	t.Parallel()
	for duration, want := range map[string]string{"0": "9999-12-31T23:59:59.000Z", "0.999": "9999-12-31T23:59:59.999Z", "1": "", "45": "", `"45"`: ""} {
		c := decode(t, `{"call":{"call_id":"1","status":"completed","start_time":"9999-12-31T23:59:59Z","duration":`+duration+`}}`)
		if c.StartedAt == nil || c.DurationMS == nil {
			t.Fatalf("%s: start %v, duration %v", duration, c.StartedAt, c.DurationMS)
		}
		got := ""
		if c.EndedAt != nil {
			got = c.EndedAt.String()
		}
		warned := slices.Contains(c.Warnings, "$.call.start_time: with the duration, an end beyond the year 9999")
		if got != want || slices.Contains(c.Derived, "ended_at") != (want != "") || warned != (want == "") {
			t.Errorf("%s: ended at %q, want %q; derived %q, warnings %q", duration, got, want, c.Derived, c.Warnings)
		}
	}
}

// A second, other reason is left where it stands.
func TestDecodeTwoReasons(t *testing.T) {
	t.Parallel()
	c := decode(t, `{"error_message":"voicemail","call":{"call_id":"1","status":"completed","end_call_reason":"agent_goodbye"}}`)
	if c.EndReason != call.EndAgentHangup || string(c.Extensions["error_message"]) != `"voicemail"` || len(c.Warnings) != 1 {
		t.Errorf("%s, extensions %s, warnings %q", c.EndReason, c.Extensions, c.Warnings)
	}
	c = decode(t, `{"error_message":"agent_goodbye","call":{"call_id":"1","status":"completed","end_call_reason":"busy"}}`)
	if c.EndReason != call.EndAgentHangup || string(c.Extensions["call"]) != `{"end_call_reason":"busy"}` {
		t.Errorf("%s, extensions %s", c.EndReason, c.Extensions)
	}
}

func TestDecodeHintOfTheJudge(t *testing.T) {
	t.Parallel()
	for verdict, want := range map[string]call.AnsweredBy{
		`"True"`: call.AnsweredByHuman, `true`: call.AnsweredByHuman, `"false"`: call.AnsweredByUnknown, `null`: call.AnsweredByUnknown,
	} {
		c := decode(t, `{"call":{"call_id":"1","status":"completed"},"analysis":{"answered_by_human":`+verdict+`}}`)
		if c.AnsweredBy != want {
			t.Errorf("%s: %s, want %s", verdict, c.AnsweredBy, want)
		}
	}
	c := decode(t, `{"call":{"call_id":"1","status":"no-answer"},"analysis":{"answered_by_human":"true"}}`)
	if c.AnsweredBy != call.AnsweredByNobody {
		t.Errorf("the status counts before the judge: %s", c.AnsweredBy)
	}
}

func TestDecodeVerdicts(t *testing.T) {
	t.Parallel()
	for sent, want := range map[string]call.Criterion{
		`"true"`:           {Verdict: call.VerdictMet, VerdictRaw: "true"},
		`"True"`:           {Verdict: call.VerdictMet, VerdictRaw: "True"},
		`true`:             {Verdict: call.VerdictMet, VerdictRaw: "true"},
		`false`:            {Verdict: call.VerdictNotMet, VerdictRaw: "false"},
		`"FALSE"`:          {Verdict: call.VerdictNotMet, VerdictRaw: "FALSE"},
		`"partial"`:        {Verdict: call.VerdictPartial, VerdictRaw: "partial"},
		`"not_applicable"`: {Verdict: call.VerdictNotApplicable, VerdictRaw: "not_applicable"},
		`null`:             {Verdict: call.VerdictNotApplicable},
		`""`:               {Verdict: call.VerdictUnknown},
		`"great"`:          {Verdict: call.VerdictUnknown, VerdictRaw: "great"},
		`3`:                {Verdict: call.VerdictUnknown, VerdictRaw: "3"},
	} {
		want.Name, want.Feedback = "goal", "why"
		c := decode(t, `{"call":{"call_id":"1"},"analysis":{"goal_feedback":"why","goal":`+sent+`}}`)
		if c.Analysis == nil || len(c.Analysis.Criteria) != 1 {
			t.Fatalf("%s: %+v", sent, c.Analysis)
		}
		if diff := cmp.Diff(want, c.Analysis.Criteria[0]); diff != "" {
			t.Errorf("%s: %s", sent, diff)
		}
	}
	c := decode(t, `{"call":{"call_id":"1"},"analysis":{"goal":{"v":1},"goal_feedback":"why"}}`)
	if c.Analysis != nil || string(c.Extensions["analysis"]) != `{"goal":{"v":1},"goal_feedback":"why"}` {
		t.Errorf("%+v, extensions %s", c.Analysis, c.Extensions)
	}
}

func TestDecodeVariables(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, sent, extracted, source, left string }{
		{"null", `null`, `null`, `null`, ``},
		{"flat", `{"a":{"value":"x","collected":true}}`, `{"a":"x"}`, `{"a":"variable"}`, ``},
		{"by agent", `{"ag":{"a":{"value":"x","collected":true}}}`, `{"a":"x"}`, `{"a":"variable:ag"}`, ``},
		{"both", `{"ag":{"a":{"value":1,"collected":true}},"b":{"value":null,"collected":true}}`, `{"a":1,"b":null}`, `{"a":"variable:ag","b":"variable"}`, ``},
		{"not collected", `{"a":{"value":"x","collected":false}}`, `null`, `null`, `{"a":{"value":"x","collected":false}}`},
		{"flag without value", `{"a":{"collected":true}}`, `null`, `null`, `{"a":{"collected":true}}`},
		{"flags as text", `{"a":{"value":1,"collected":"True"},"b":{"value":2,"collected":"false"}}`, `{"a":1}`, `{"a":"variable"}`, `{"b":{"value":2,"collected":"false"}}`},
		{"more in it", `{"a":{"value":1,"collected":true,"type":"int"}}`, `{"a":1}`, `{"a":"variable"}`, `{"a":{"type":"int"}}`},
		{"no variables", `{"ag":{"x":1,"y":{}}}`, `null`, `null`, `{"ag":{"x":1}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := decode(t, `{"call":{"call_id":"1"},"collected_variables":`+tt.sent+`}`)
			if got := marshal(t, c.Extracted); got != tt.extracted {
				t.Errorf("extracted %s, want %s", got, tt.extracted)
			}
			if got := marshal(t, c.ExtractedSource); got != tt.source {
				t.Errorf("source %s, want %s", got, tt.source)
			}
			if got := string(c.Extensions["collected_variables"]); got != tt.left {
				t.Errorf("left %s, want %s", got, tt.left)
			}
			if c.PayloadVersion != "synthflow/2026" {
				t.Errorf("version %s", c.PayloadVersion)
			}
		})
	}
}

func TestDecodeActions(t *testing.T) {
	t.Parallel()
	c := decode(t, `{"call":{"call_id":"1","timezone":"Europe/Berlin"},"executed_actions":{
		"extract_info_b":{"return_value":"{\"x\":1,\"y\":\"{\\\"z\\\":2}\"}","parameters_hard_coded":" [1, 2] "},
		"info_extractor_a":{"name":"other","return_value":{"x":null},"error_message":null},
		"c":{"return_value":"{'python': True}"},"d":{"return_value":"null"},"e":null,"f":[1]}}`)
	if got, want := marshal(t, c.Extracted), `{"x":null,"y":"{\"z\":2}"}`; got != want {
		t.Errorf("extracted %s, want %s", got, want)
	}
	if got, want := marshal(t, c.ExtractedSource), `{"x":"action:info_extractor_a","y":"action:extract_info_b"}`; got != want {
		t.Errorf("source %s, want %s", got, want)
	}
	if got, want := marshal(t, c.Actions), `[{"name":"extract_info_b","params":[1,2],"result":{"x":1,"y":"{\"z\":2}"}},`+
		`{"name":"other","result":{"x":null}},{"name":"c","result":"{'python': True}"},{"name":"d","result":"null"}]`; got != want {
		t.Errorf("actions %s\nwant %s", got, want)
	}
	if got, want := string(c.Extensions["executed_actions"]), `{"f":[1]}`; got != want {
		t.Errorf("left %s, want %s", got, want)
	}
}

func TestDecodeTranscript(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text string
		want       []string // role_raw/role: text
	}{
		{"label at once", "bot: Hi\nhuman: Yo", []string{"bot/agent: Hi", "human/customer: Yo"}},
		{"a new line first", "\nbot:  Hi \nhuman:Yo ", []string{"bot/agent: Hi", "human/customer: Yo"}},
		{"all labels", "assistant: a\nuser: b\nagent: c\nBot: d", []string{"assistant/agent: a", "user/customer: b", "agent/agent: c", "Bot/agent: d"}},
		{"several lines", "bot: one\ntwo\n\nthree\r\nhuman: four", []string{"bot/agent: one\ntwo\n\nthree", "human/customer: four"}},
		{"text before", "Recorded.\nbot: Hi", []string{"/unknown: Recorded.", "bot/agent: Hi"}},
		{"labels inside a line", "bot: the human: is here\nhumans: no", []string{"bot/agent: the human: is here\nhumans: no"}},
		{"no label", "Hello there", nil},
		{"an empty turn", "bot:\nhuman: x", []string{"bot/agent: ", "human/customer: x"}},
		{"only a label", "human:", []string{"human/customer: "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := decode(t, `{"call":{"call_id":"1","transcript":`+marshal(t, tt.text)+`}}`)
			var got []string
			for i, turn := range c.Transcript.Turns {
				if turn.I != i {
					t.Errorf("turn %d is numbered %d", i, turn.I)
				}
				got = append(got, fmt.Sprintf("%s/%s: %s", turn.RoleRaw, turn.Role, turn.Text))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if c.Transcript.Text != tt.text || c.Transcript.Form != call.TranscriptText {
				t.Errorf("text %q, form %s", c.Transcript.Text, c.Transcript.Form)
			}
			if slices.Contains(c.Derived, "transcript.turns") != (got != nil) {
				t.Errorf("derived %q", c.Derived)
			}
		})
	}
}

func TestDecodeStartTime(t *testing.T) {
	t.Parallel()
	for sent, want := range map[string]string{
		`"2025-10-27T10:59:46+01:00"`:        "2025-10-27T09:59:46.000Z",
		`"2024-03-28T18:17:46.205134+01:00"`: "2024-03-28T17:17:46.205Z",
		`"1761559186000"`:                    "2025-10-27T09:59:46.000Z",
		`1761559186000`:                      "2025-10-27T09:59:46.000Z",
		`1761559186`:                         "2025-10-27T09:59:46.000Z",
		`"2025-10-27T10:59:46"`:              "2025-10-27T09:59:46.000Z",
		`"2025-10-27 10:59:46.5"`:            "2025-10-27T09:59:46.500Z",
		`"27.10.2025"`:                       "",
		`null`:                               "",
	} {
		c := decode(t, `{"call":{"call_id":"1","status":"completed","duration":"1.5","timezone":"Europe/Berlin","start_time":`+sent+`}}`)
		got := ""
		if c.StartedAt != nil {
			got = c.StartedAt.String()
			if c.EndedAt == nil || c.EndedAt.Sub(c.StartedAt.Time).Milliseconds() != 1500 {
				t.Errorf("%s: ended at %v", sent, c.EndedAt)
			}
		} else if c.EndedAt != nil {
			t.Errorf("%s: ended at %v without a start", sent, c.EndedAt)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", sent, got, want)
		}
	}
}

func TestDecodeStatusesDiffer(t *testing.T) {
	t.Parallel()
	c := decode(t, `{"status":"failed","call":{"call_id":"1","status":"completed"}}`)
	if c.Status != call.StatusCompleted || !strings.Contains(strings.Join(c.Warnings, ""), "$.status: differs") {
		t.Errorf("%s, %q", c.Status, c.Warnings)
	}
	c = decode(t, `{"status":"no-answer","call":{"call_id":"1","status":null}}`)
	if c.Status != call.StatusNoAnswer || c.StatusRaw != "no-answer" || len(c.Warnings) > 0 {
		t.Errorf("%s, %q", c.Status, c.Warnings)
	}
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
