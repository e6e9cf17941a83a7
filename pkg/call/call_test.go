package call_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/onhook/onhook/pkg/call"
)

func TestTimeRoundTrip(t *testing.T) {
	t.Parallel()
	for sent, want := range map[string]string{
		"2026-03-04T16:20:05Z":             "2026-03-04T16:20:05.000Z",
		"2026-06-08T14:23:15.482999-06:00": "2026-06-08T20:23:15.482Z",
		"2024-02-29T23:59:59.9999999Z":     "2024-02-29T23:59:59.999Z",
	} {
		var v, again call.Time
		if err := json.Unmarshal([]byte(`"`+sent+`"`), &v); err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if string(b) != `"`+want+`"` || v.String() != want {
			t.Errorf("%s: JSON %s, String %s, want %s", sent, b, v, want)
		}
		if err := json.Unmarshal(b, &again); err != nil || !again.Equal(v.Time) || again.Location() != time.UTC {
			t.Errorf("%s: %v again is %v (%v)", sent, v, again, err)
		}
	}
	for _, sent := range []string{`"2026-03-04"`, `"2026-03-04T16:20:05"`, `1772641205`, `""`} {
		var v call.Time
		if err := json.Unmarshal([]byte(sent), &v); err == nil {
			t.Errorf("%s: read as %s", sent, v)
		}
	}
}

func TestTimeOfAnotherZoneIsWrittenInUTC(t *testing.T) {
	t.Parallel()
	moment := time.Date(2026, 1, 1, 1, 0, 0, 1999999, time.FixedZone("", 2*60*60))
	if got, want := call.At(moment).String(), "2025-12-31T23:00:00.001Z"; got != want {
		t.Errorf("At: %s, want %s", got, want)
	}
	if got, want := (call.Time{Time: moment}).String(), "2025-12-31T23:00:00.001Z"; got != want {
		t.Errorf("Time: %s, want %s", got, want)
	}
}

func TestTimeIsWrittenToJSONAsItIsToText(t *testing.T) {
	t.Parallel()
	for _, moment := range []time.Time{
		{}, time.Unix(0, 0), time.Date(1969, 12, 31, 23, 59, 59, 999_999_999, time.UTC), time.Date(2026, 1, 1, 0, 0, 0, 50_000_000, time.FixedZone("", -7*60*60)),
		time.Date(9999, 12, 31, 23, 59, 59, 7_000_000, time.UTC),
	} {
		v := call.Time{Time: moment}
		if b, err := v.MarshalJSON(); err != nil || string(b) != `"`+v.String()+`"` {
			t.Errorf("%s, %v, want %q", b, err, v)
		}
	}
}

func TestIsE164(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{
		"+1234567": true, "+123456789012345": true, "+123456": false, "+1234567890123456": false,
		"+0123456789": false, "1234567890": false, "+12345 6789": false, "+1234567\n": false, "": false, "+١٢٣٤٥٦٧": false,
	} {
		if got := call.IsE164(s); got != want {
			t.Errorf("%q: %t", s, got)
		}
	}
}

func valid() *call.Call {
	return &call.Call{
		Schema: call.Schema, Key: "cllr:leads:1", Provider: "cllr", Source: "leads", CallID: "1", PayloadVersion: "cllr/1",
		Event: call.Ended, IsFinal: true, Direction: call.DirectionUnknown, Status: call.StatusCompleted, EndReason: call.EndUnknown,
		AnsweredBy: call.AnsweredByUnknown, Transcript: call.Transcript{Form: call.TranscriptNone},
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	if err := valid().Validate(); err != nil {
		t.Fatalf("a valid call: %v", err)
	}
	minus, notANumber := int64(-1), math.NaN()
	for name, tt := range map[string]struct {
		spoil func(*call.Call)
		path  string
	}{
		"schema":      {func(c *call.Call) { c.Schema = "onhook.call/2" }, "schema: "},
		"no provider": {func(c *call.Call) { c.Provider = "" }, "provider: empty"},
		"no source":   {func(c *call.Call) { c.Source = "" }, "source: empty"},
		"no id":       {func(c *call.Call) { c.CallID = "" }, "call_id: empty"},
		"no version":  {func(c *call.Call) { c.PayloadVersion = "" }, "payload_version: empty"},
		"another key": {func(c *call.Call) { c.Key = "cllr:other:1" }, "key: "},
		"final":       {func(c *call.Call) { c.Event = call.Progress }, "is_final: "},
		"not final":   {func(c *call.Call) { c.IsFinal = false }, "is_final: "},
		"event":       {func(c *call.Call) { c.Event, c.IsFinal = "over", false }, "event: "},
		"auth":        {func(c *call.Call) { c.Auth = "trust_me" }, "auth: "},
		"direction":   {func(c *call.Call) { c.Direction = "" }, "direction: "},
		"status":      {func(c *call.Call) { c.Status = "ended" }, "status: "},
		"end reason":  {func(c *call.Call) { c.EndReason = "" }, "end_reason: "},
		"answered by": {func(c *call.Call) { c.AnsweredBy = "fax" }, "answered_by: "},
		"form":        {func(c *call.Call) { c.Transcript.Form = "" }, "transcript.form: "},
		"role":        {func(c *call.Call) { c.Transcript.Turns = []call.Turn{{Role: "bot"}} }, "transcript.turns[0].role: "},
		"turn number": {func(c *call.Call) { c.Transcript.Turns = []call.Turn{{I: 1, Role: call.RoleAgent}} }, "transcript.turns[0].i: "},
		"offset":      {func(c *call.Call) { c.Transcript.Turns = []call.Turn{{Role: call.RoleAgent, OffsetMS: &minus}} }, "transcript.turns[0].offset_ms: "},
		"recording":   {func(c *call.Call) { c.Recording = &call.Recording{Access: call.AccessUnknown} }, "recording.uri: empty"},
		"access":      {func(c *call.Call) { c.Recording = &call.Recording{URI: "x"} }, "recording.access: "},
		"verdict":     {func(c *call.Call) { c.Analysis = &call.Analysis{Criteria: []call.Criterion{{Name: "x"}}} }, "analysis.criteria[0].verdict: "},
		"score":       {func(c *call.Call) { s := 100.5; c.Analysis = &call.Analysis{Score: &s} }, "analysis.score: "},
		"score NaN":   {func(c *call.Call) { c.Analysis = &call.Analysis{Score: &notANumber} }, "analysis.score: "},
		"phone":       {func(c *call.Call) { c.To = &call.Phone{} }, "to.raw: empty"},
		"e164":        {func(c *call.Call) { c.CustomerPhone = &call.Phone{E164: "0155", Raw: "0155"} }, "customer_phone.e164: "},
		"duration":    {func(c *call.Call) { c.DurationMS = &minus }, "duration_ms: negative"},
		"billed":      {func(c *call.Call) { c.BilledDurationMS = &minus }, "billed_duration_ms: negative"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := valid()
			tt.spoil(c)
			if err := c.Validate(); err == nil || !strings.Contains("\n"+err.Error(), "\n"+tt.path) {
				t.Errorf("got %v, want an error of %s", err, tt.path)
			}
		})
	}
}

// A time of the year 10000 was published, and whoever read the call could not read it.
func TestValidateTimesThatCannotBeReadBack(t *testing.T) {
	t.Parallel()
	for path, spoil := range map[string]func(*call.Call, *call.Time){
		"received_at": func(c *call.Call, v *call.Time) { c.ReceivedAt = v },
		"created_at":  func(c *call.Call, v *call.Time) { c.CreatedAt = v },
		"started_at":  func(c *call.Call, v *call.Time) { c.StartedAt = v },
		"ended_at":    func(c *call.Call, v *call.Time) { c.EndedAt = v },
		"transcript.turns[1].at": func(c *call.Call, v *call.Time) {
			c.Transcript.Turns = []call.Turn{{Role: call.RoleAgent}, {I: 1, Role: call.RoleAgent, At: v}}
		},
		"actions[0].at": func(c *call.Call, v *call.Time) { c.Actions = []call.Action{{Name: "x", At: v}} },
	} {
		for sent, ok := range map[time.Time]bool{
			time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC):                              true,
			time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC):              true,
			time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC):                          false,
			time.Date(0, 12, 31, 0, 0, 0, 0, time.UTC):                            false,
			time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC):                             false,
			time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -12*60*60)): false,
		} {
			c := valid()
			spoil(c, &call.Time{Time: sent})
			err := c.Validate()
			if ok && err != nil || !ok && (err == nil || err.Error() != path+": outside the years 1 to 9999") {
				t.Errorf("%s of %v: %v", path, sent, err)
			}
			if !ok {
				continue
			}
			b, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(b, new(call.Call)); err != nil {
				t.Errorf("%s of %v is valid and cannot be read back: %v", path, sent, err)
			}
		}
	}
}

func TestValidateNamesEveryFault(t *testing.T) {
	t.Parallel()
	err := (&call.Call{}).Validate()
	for _, path := range []string{"schema", "provider", "source", "call_id", "key", "event", "direction", "status", "end_reason", "answered_by", "transcript.form"} {
		if err == nil || !strings.Contains("\n"+err.Error(), "\n"+path+": ") {
			t.Errorf("nothing of %s in %v", path, err)
		}
	}
}

func TestTerminal(t *testing.T) {
	t.Parallel()
	for _, s := range call.Statuses {
		if want := s != call.StatusInProgress && s != call.StatusUnknown; s.Terminal() != want {
			t.Errorf("%s: %t", s, s.Terminal())
		}
	}
}

func TestAuthAtLeast(t *testing.T) {
	t.Parallel()
	for i, a := range call.Auths {
		for j, least := range call.Auths {
			if got := a.AtLeast(least); got != (i <= j) {
				t.Errorf("%s is at least %s: %v", a, least, got)
			}
		}
	}
	if call.Auth("").AtLeast(call.AuthNone) {
		t.Error("a call from a file proves something")
	}
}
