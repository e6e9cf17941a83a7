package hubspot_test

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/services/crm/internal/crmtest"
	"github.com/onhook/onhook/services/crm/internal/hubspot"
	"github.com/onhook/onhook/services/crm/internal/sink"
)

func extracted(pairs ...string) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = json.RawMessage(pairs[i+1])
	}
	return out
}

// full is a call with something in every field that HubSpot could be given.
func full() sink.Item {
	it := item(0)
	c := it.Call
	c.From = &call.Phone{Raw: "55 8765 4321"}
	c.DurationMS = new(int64(57_432))
	c.EndedAt, c.ReceivedAt = call.At(time.Date(2026, 3, 1, 12, 5, 0, 0, time.UTC)), call.At(time.Date(2026, 3, 1, 12, 6, 0, 0, time.UTC))
	c.Analysis = &call.Analysis{Summary: "Owes <100> & \"pays\"\nsoon\x00", Outcome: "promise"}
	c.Extracted = extracted("Payment Amount", `100.50`, "Date", `"2026-04-01"`, "secret", `{"pin": 1234}`, "<b>", `null`)
	c.Transcript = call.Transcript{Form: call.TranscriptText, Text: "agent: hello\ncustomer: I <am> her"}
	c.Recording = &call.Recording{URI: "https://rec.example.com/1.mp3?a=1", Access: call.AccessPublic}
	return it
}

func TestCallBecomesProperties(t *testing.T) {
	t.Parallel()
	base := map[string]string{
		"onhook_key": "altur:mx:call-0000", "hs_timestamp": "1772366400000", "hs_call_title": "Sofía – outbound – promise",
		"hs_call_body":     "<p>Owes &lt;100&gt; &amp; &#34;pays&#34;<br>soon</p>",
		"hs_call_duration": "57432", "hs_call_direction": "OUTBOUND", "hs_call_status": "COMPLETED",
		"hs_call_disposition": "f240bbac-87c9-4f6e-bf70-924b57d47db7", "hs_call_from_number": "55 8765 4321", "hs_call_to_number": "+525551230000",
		"onhook_provider": "altur", "onhook_agent": "Sofía", "onhook_outcome": "promise", "onhook_answered_by": "human",
	}
	with := func(pairs ...string) map[string]string { // a value that is empty is one that is not there
		out := maps.Clone(base)
		for i := 0; i < len(pairs); i += 2 {
			if out[pairs[i]] = pairs[i+1]; pairs[i+1] == "" {
				delete(out, pairs[i])
			}
		}
		return out
	}
	for name, test := range map[string]struct {
		change func(it *sink.Item, cfg *hubspot.Config)
		want   map[string]string
	}{
		"by default": {func(*sink.Item, *hubspot.Config) {}, base},
		"all that can be shown": {func(_ *sink.Item, cfg *hubspot.Config) {
			cfg.RecordingLink, cfg.Transcript, cfg.Extracted = true, true, []string{"*"}
		}, with("hs_call_recording_url", "https://rec.example.com/1.mp3?a=1",
			"hs_call_body", base["hs_call_body"]+"<ul><li>&lt;b&gt;: </li><li>Date: 2026-04-01</li><li>Payment Amount: 100.50</li><li>secret: {&#34;pin&#34;: 1234}</li></ul>"+
				"<p>agent: hello<br>customer: I &lt;am&gt; her</p>",
			"onhook_extracted", `{"\u003cb\u003e":null,"Date":"2026-04-01","Payment Amount":100.50,"secret":{"pin":1234}}`)},
		"extracted that are allowed": {func(_ *sink.Item, cfg *hubspot.Config) { cfg.Extracted = []string{"Date", "Not There"} },
			with("hs_call_body", base["hs_call_body"]+"<ul><li>Date: 2026-04-01</li></ul>", "onhook_extracted", `{"Date":"2026-04-01"}`)},
		"recording without TLS": {func(it *sink.Item, cfg *hubspot.Config) {
			cfg.RecordingLink, it.Call.Recording.URI = true, "http://rec.example.com/1.mp3"
		}, base},
		"configured fields": {func(it *sink.Item, _ *hubspot.Config) {
			it.Fields = map[string]any{"hs_call_title": "A\x00 title", "f_bool": true, "f_int": int64(-3), "f_float": 1.25, "f_nil": nil, "f_nan": math.NaN(),
				"onhook_key": "another", "onhook_link": "https://onhook.example.com/c/1?a=1&b=2", "hs_call_status": ""}
		}, with("hs_call_title", "A title", "f_bool", "true", "f_int", "-3", "f_float", "1.25", "onhook_link", "https://onhook.example.com/c/1?a=1&b=2",
			"hs_call_body", base["hs_call_body"]+`<p><a href="https://onhook.example.com/c/1?a=1&amp;b=2">https://onhook.example.com/c/1?a=1&amp;b=2</a></p>`, "hs_call_status", "")},
		"owner": {func(_ *sink.Item, cfg *hubspot.Config) {
			cfg.Owners = map[string]string{"asst_1": "77", "asst_2": "78"}
		}, with("hubspot_owner_id", "77")},
		"nothing known": {func(it *sink.Item, _ *hubspot.Config) {
			c := it.Call
			*c = call.Call{Key: c.Key, Provider: "altur", ReceivedAt: c.ReceivedAt, Direction: call.DirectionUnknown, Status: call.StatusUnknown, AnsweredBy: call.AnsweredByUnknown}
		}, map[string]string{"onhook_key": "altur:mx:call-0000", "hs_timestamp": "1772366760000", "onhook_provider": "altur"}},
		"ended is the time without started": {func(it *sink.Item, _ *hubspot.Config) { it.Call.StartedAt = nil }, with("hs_timestamp", "1772366700000")},
		"web": {func(it *sink.Item, _ *hubspot.Config) { it.Call.Direction = call.DirectionWeb },
			with("hs_call_direction", "", "hs_call_title", "Sofía – web – promise")},
		"voicemail without a message": {func(it *sink.Item, _ *hubspot.Config) {
			it.Call.Status, it.Call.AnsweredBy = call.StatusVoicemail, call.AnsweredByMachine
		}, with("hs_call_disposition", "", "onhook_answered_by", "machine")},
		"voicemail with a message": {func(it *sink.Item, _ *hubspot.Config) {
			it.Call.Status, it.Call.EndReason = call.StatusVoicemail, call.EndVoicemailMessageLeft
		}, with("hs_call_disposition", "b2cf5968-551e-4856-9783-52b3da59a7d0")},
		"no answer": {func(it *sink.Item, _ *hubspot.Config) { it.Call.Status, it.Call.Analysis = call.StatusNoAnswer, nil },
			with("hs_call_status", "NO_ANSWER", "hs_call_disposition", "73a0d17f-1163-4015-bdd5-ec830791da20", "onhook_outcome", "", "hs_call_body", "", "hs_call_title", "Sofía – outbound – no_answer")},
		"busy": {func(it *sink.Item, _ *hubspot.Config) { it.Call.Status = call.StatusBusy },
			with("hs_call_status", "BUSY", "hs_call_disposition", "9d9162e7-6cf3-4944-bf63-4dff82258764")},
		"failed": {func(it *sink.Item, _ *hubspot.Config) { it.Call.Status = call.StatusFailed }, with("hs_call_status", "FAILED", "hs_call_disposition", "")},
		"wrong number": {func(it *sink.Item, _ *hubspot.Config) { it.Call.Analysis.Outcome = "wrong_number" },
			with("hs_call_disposition", "17b47fee-58de-441e-a44c-c6300d46f273", "onhook_outcome", "wrong_number", "hs_call_title", "Sofía – outbound – wrong_number")},
		"disposition of the account": {func(_ *sink.Item, cfg *hubspot.Config) {
			cfg.Dispositions = map[string]string{"promise": "guid-1", "connected": "guid-2"}
		}, with("hs_call_disposition", "guid-1")},
		"default label of the account": {func(_ *sink.Item, cfg *hubspot.Config) { cfg.Dispositions = map[string]string{"connected": "guid-2"} }, with("hs_call_disposition", "guid-2")},
	} {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			for _, field := range []string{"f_bool", "f_int", "f_float"} {
				f.account.AddProperty("calls", crmtest.HubSpotProperty{Name: field})
			}
			it := full()
			test.change(&it, &f.cfg)
			f.delivered(f.client().Deliver(t.Context(), []sink.Item{it}))
			got := f.account.Objects("calls")[0].Properties
			maps.DeleteFunc(got, func(_, v string) bool { return v == "" })
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestLongTextsAreCutOnARune: never within a character, its escape or an element.
func TestLongTextsAreCutOnARune(t *testing.T) {
	t.Parallel()
	for _, unit := range []string{"é", "😀", "&\n"} {
		for _, link := range []string{"", "https://onhook.example.com/c/1"} {
			f := newFixture(t)
			f.cfg.Transcript, f.cfg.Extracted = true, []string{"*"}
			it := full()
			it.Call.Agent.Name = strings.Repeat("😀", 300)
			it.Call.Transcript.Text = strings.Repeat(unit, 70_000)
			it.Call.Extracted = extracted("long", `"`+strings.Repeat("x", 66_000)+`"`)
			for range 2 { // the list alone is too long, then the transcript is
				if link != "" {
					it.Fields = map[string]any{"onhook_link": link}
				}
				f.delivered(f.client().Deliver(t.Context(), []sink.Item{it}))
				p := f.account.Objects("calls")[0].Properties
				body := p["hs_call_body"]
				if n := len(utf16.Encode([]rune(body))); n > 65_000 || n < 64_900 || !utf8.ValidString(body) || strings.Contains(body, "\uFFFD") {
					t.Errorf("%q: %d units", unit, n)
				}
				want := "… truncated</p>"
				if link != "" {
					want = `… truncated, full transcript: <a href="` + link + `">` + link + "</a></p>"
				}
				if !strings.HasSuffix(body, want) {
					t.Errorf("%q: ends with %q", unit, body[len(body)-100:])
				}
				for _, e := range []string{"p", "ul", "li"} {
					if a, b := strings.Count(body, "<"+e+">"), strings.Count(body, "</"+e+">"); a != b {
						t.Errorf("%q: %d <%s>, %d closed", unit, a, e, b)
					}
				}
				if rest := strings.NewReplacer("&lt;", "", "&amp;", "", "&#34;", "", "&gt;", "").Replace(body); strings.Contains(rest, "&") {
					t.Errorf("%q: half an escape in it", unit)
				}
				if n := len(utf16.Encode([]rune(p["hs_call_title"]))); n > 255 || n < 254 || !utf8.ValidString(p["hs_call_title"]) {
					t.Errorf("%q: the title has %d units", unit, n)
				}
				it.Call.Extracted = nil
			}
		}
	}
}

// TestKeysThatAreTooLong keep apart what differs only at the end, and are the same each time.
func TestKeysThatAreTooLong(t *testing.T) {
	f := setup(t)
	batch := items(3)
	for i := range batch {
		batch[i].Call.Key = "altur:mx:" + strings.Repeat("é", 400) + string(rune('a'+i))
	}
	c := f.client()
	f.delivered(c.Deliver(t.Context(), batch))
	f.delivered(c.Deliver(t.Context(), batch))
	var got []string
	for _, o := range f.account.Objects("calls") {
		got = append(got, o.Properties["onhook_key"])
		if n := len([]rune(o.Properties["onhook_key"])); n > 255 {
			t.Errorf("a key of %d characters", n)
		}
	}
	if slices.Sort(got); len(slices.Compact(got)) != 3 {
		t.Errorf("%d keys", len(got))
	}
}

// A field whose expression was null or "" for a call killed it, though the call has a time of its own.
func TestEmptyTimestampFromTheFieldsKillsNoCall(t *testing.T) {
	f := setup(t)
	c := f.client()
	for _, v := range []any{"", " ", nil} {
		batch := items(1)
		batch[0].Fields = map[string]any{"hs_timestamp": v}
		f.delivered(c.Deliver(t.Context(), batch))
	}
}
