package expr

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/onhook/onhook/pkg/call"
)

func env(t testing.TB) *Env {
	t.Helper()
	e, err := NewEnv()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func full() *call.Call {
	return &call.Call{
		Provider: "altur", Source: "s", CallID: "c", Event: call.Ended, IsFinal: true, Auth: call.AuthToken,
		Direction: call.DirectionOutbound, Status: call.StatusCompleted,
		CustomerPhone: &call.Phone{E164: "+525512345678", Raw: "55"}, Customer: &call.Customer{Name: "Zoë"},
		StartedAt: call.At(time.Date(2026, 3, 1, 12, 0, 0, 5e6, time.UTC)), DurationMS: new(int64(61_000)), Tags: []string{"vip", "late"},
		Extracted: map[string]json.RawMessage{
			"Payment Amount": json.RawMessage(`120.5`), "days": json.RawMessage(`3`), "agreed": json.RawMessage(`true`), "note": json.RawMessage(`"ok"`),
			"deep": json.RawMessage(`{"a":[1,{"b":"x"}]}`), "nothing": json.RawMessage(`null`),
		},
		Transcript: call.Transcript{Form: call.TranscriptTurns, Turns: []call.Turn{{Role: call.RoleAgent, Text: "hello"}, {I: 1, Role: call.RoleCustomer, Text: "I will pay"}}},
		Analysis:   &call.Analysis{Score: new(87.5)},
	}
}

func TestTrue(t *testing.T) {
	t.Parallel()
	e := env(t)
	for _, tt := range []struct {
		text       string
		full, none bool // of a call with everything, and of one with nothing
	}{
		{`call.status == "completed"`, true, false},
		{`call.event == "ended" && call.is_final`, true, false},
		{`call.customer.name == "Zoë"`, true, false},
		{`has(call.customer)`, true, false},
		{`has(call.customer.name)`, true, false},
		{`has(call.duration_ms)`, true, false},
		{`call.duration_ms > 30000`, true, false},
		{`call.duration_ms > 30000.5`, true, false},
		{`call.analysis.score >= 80`, true, false},
		{`call.customer_phone.e164.startsWith("+52")`, true, false},
		{`"vip" in call.tags`, true, false},
		{`call.tags.size() == 0`, false, true},
		{`call.transcript.turns.exists(t, t.role == "customer" && t.text.contains("pay"))`, true, false},
		{`call.transcript.turns[?1].hasValue()`, true, false},
		{`"days" in call.extracted && call.extracted.days < 4`, true, false},
		{`call.extracted[?"Payment Amount"].orValue(0) > 100`, true, false},
		{`has(call.extracted.deep) && call.extracted.deep.a[1].b == "x"`, true, false},
		{`call.started_at > timestamp("2026-01-01T00:00:00Z")`, true, false},
		{`has(call.started_at) && call.started_at.getFullYear("America/Mexico_City") == 2026`, true, false},
		{`call.provider + ":" + call.call_id == "altur:c"`, true, false},
		{`call.customer == call.customer`, true, true},
	} {
		x, err := e.Bool(tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		for c, want := range map[*call.Call]bool{full(): tt.full, {}: tt.none} {
			if got, err := x.True(c); err != nil || got != want {
				t.Errorf("%s of a call by %q: %v, want %v; %v", tt.text, c.Provider, got, want, err)
			}
		}
	}
}

func TestValue(t *testing.T) {
	t.Parallel()
	e := env(t)
	for text, want := range map[string]any{
		`call.status`:                            "completed",
		`call.duration_ms / 1000`:                int64(61),
		`call.analysis.score`:                    87.5,
		`call.is_final`:                          true,
		`null`:                                   nil,
		`call.started_at`:                        "2026-03-01T12:00:00.005Z",
		`call.extracted["Payment Amount"]`:       120.5,
		`call.extracted.days`:                    int64(3),
		`call.extracted.note`:                    "ok",
		`call.extracted.nothing`:                 nil,
		`call.extracted[?"absent"]`:              nil,
		`call.extracted[?"agreed"]`:              true,
		`call.extracted[?"absent"].orValue("-")`: "-",
		`call.customer.name.upperAscii()`:        "ZOë",
		`call.tags.join(", ")`:                   "vip, late",
		`7u`:                                     int64(7),
	} {
		x, err := e.Field(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := x.Value(full()); err != nil || got != want {
			t.Errorf("%s: %v (%T), want %v; %v", text, got, got, want, err)
		}
	}
}

// What is wrong is said at start, with the expression and the place in it.
func TestWrongExpressionsDoNotCompile(t *testing.T) {
	t.Parallel()
	e := env(t)
	for text, want := range map[string]string{
		`call.staus == "completed"`:                         `line 1, column 5 of "call.staus == \"completed\"": undefined field 'staus'`,
		`call.customer.nme == ""`:                           `column 14`,
		"call.event == \"ended\" &&\n  call.agent.nam == 1": `line 2, column 13`,
		`call.status == 7`:                                  `no matching overload`,
		`call.status`:                                       `is string; want true or false`,
		`call.status = "x"`:                                 `Syntax error`,
		`calls.status == ""`:                                `undeclared reference to 'calls'`,
		``:                                                  `Syntax error`,
		`call.transcript.turns.exists(a, call.transcript.turns.exists(b, call.transcript.turns.exists(c, a.text == b.text + c.text)))`: `the limit is 1000000`,
	} {
		if _, err := e.Bool(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	for text, want := range map[string]string{
		`call.tags`:                `is list(string); want text`,
		`call.customer`:            `is call.Customer; want text`,
		`call.Phone{raw: "x"}.raw`: ``,
	} {
		x, err := e.Field(text)
		if want == "" && err == nil {
			_, err = x.Value(full())
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestWhatCannotBeEvaluatedIsAnError(t *testing.T) {
	t.Parallel()
	e := env(t)
	for text, want := range map[string]string{
		`call.extracted.absent > 3`:       `call.extracted.absent > 3: no such key: absent`,
		`call.extracted.note > 3`:         `no such overload`,
		`call.extracted.note`:             `is string, not true or false`,
		`1 / call.billed_duration_ms > 0`: `division by zero`,
	} {
		x, err := e.Bool(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if _, err := x.True(full()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// An expression that is cheap by its looks may meet a call that is not.
func TestCostIsBoundedWhenEvaluated(t *testing.T) {
	t.Parallel()
	x, err := env(t).Bool(`call.transcript.turns.exists(t, t.text.contains("never said"))`)
	if err != nil {
		t.Fatal(err)
	}
	c := full()
	for range 400 {
		c.Transcript.Turns = append(c.Transcript.Turns, call.Turn{Text: strings.Repeat("a", 64<<10)})
	}
	if _, err := x.True(c); err == nil || !strings.Contains(err.Error(), "cost") {
		t.Errorf("%v", err)
	}
}
