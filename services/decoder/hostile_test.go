package decoder_test

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/onhook/onhook/pkg/bus"
)

func TestHostileCallIDsAreCallsOfTheirOwn(t *testing.T) {
	f := setup(t)
	f.start()
	ids := []string{
		strings.Repeat("x", 10_000), strings.Repeat("x", 10_001), strings.Repeat("ü", 5_000), strings.Repeat(".", 300),
		".", "..", "*", ">", "a b", "a\tb", "/", "a/b/", `a\b`, "📞", "a\x00", "a", "\x00", "%", "%-", "%2E", "%00", "a.b", "a%b", "-",
		"calls.ended.cllr.s.a", "\u202e", `"`, "null", "{}",
	}
	for _, id := range ids {
		f.publish(newDelivery("cllr", "s", cllrBody(id)), newDelivery("cllr", "s", cllrBody(id)))
	}
	var got []string
	for _, c := range f.calls() {
		got = append(got, c.CallID)
	}
	slices.Sort(ids)
	slices.Sort(got)
	if !slices.Equal(ids, got) || len(f.dead()) != 0 {
		t.Errorf("got %.200q, dead %+v", got, f.dead())
	}
}

func TestUndecodableBodiesAreDeadWithThePathAndBlockNobody(t *testing.T) {
	f := setup(t)
	d := f.start()
	random := make([]byte, 2<<20)
	_, _ = rand.Read(random) // never fails
	random[0] = 0xff         // should it ever begin as JSON does
	deep := strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)
	tests := []struct{ name, provider, body, reason string }{
		{"random", "cllr", string(random), "cllr: $: not JSON"},
		{"truncated", "cllr", `{"callId":"x","callerDetails":{"name":"Zo`, "cllr: $: not JSON"},
		{"10,000 levels", "cllr", `{"callId":"x","a":` + deep + `}`, "cllr: $: n"},
		{"1,000 levels", "cllr", `{"callId":"x","a":` + deep[9_500:10_500] + `}`, "cllr: $: nested more than 500 levels deep"},
		{"no id", "cllr", `{"callid":"x"}`, "cllr: $.callId: "},
		{"null id", "cllr", `{"callId":null}`, "cllr: $.callId: "},
		{"empty id", "cllr", `{"callId":""}`, "cllr: $.callId: "},
		{"object for an id", "cllr", `{"callId":{"$oid":"x"}}`, "cllr: $.callId: "},
		{"array for an id", "altur", `{"event_type":"on_call_end","id":["x"]}`, "altur: $.id: "},
		{"no event", "altur", `{"id":"x"}`, "altur: $.event_type: "},
		{"no call", "synthflow", `{"lead":{}}`, "synthflow: $.call"},
		{"boolean for an id", "synthflow", `{"call":{"call_id":true}}`, "synthflow: $.call.call_id: "},
		{"array", "cllr", `[{"callId":"x"}]`, "cllr: $: an array"},
		{"two objects", "cllr", `{"callId":"x"}{"callId":"y"}`, "cllr: $: not JSON"},
		{"white space", "cllr", " ", "cllr: $: not JSON"},
	}
	for i, test := range tests {
		f.publish(newDelivery(test.provider, fmt.Sprintf("bad-%d", i), test.body), newDelivery("cllr", "good", cllrBody(fmt.Sprint(i))))
	}
	if got := f.ids(); len(got) != len(tests) {
		t.Errorf("%d good calls, want %d", len(got), len(tests))
	}
	dead := map[string]bus.Dead{}
	for _, d := range f.dead() {
		dead[d.Source] = d
	}
	for i, test := range tests {
		got, ok := dead[fmt.Sprintf("bad-%d", i)]
		if !ok || !strings.HasPrefix(got.Reason, test.reason) || got.Attempts != 1 || got.Size != len(test.body) {
			t.Errorf("%s: %+v, want dead at once because %q", test.name, got, test.reason)
		}
	}
	if len(dead) != len(tests) || d.count(t, "cllr", "dead")+d.count(t, "altur", "dead")+d.count(t, "synthflow", "dead") != len(tests) {
		t.Errorf("%d dead", len(dead))
	}
}

func TestOddBodiesAreCallsWithWarnings(t *testing.T) {
	for name, test := range map[string]struct{ body, id, warning string }{
		"invalid UTF-8 in the id": {"{\"callId\":\"a\xff\xfeb\"}", "a\ufffdb", "invalid UTF-8"},
		"duplicate keys":          {`{"callId":"first","callId":"last"}`, "last", "sent more than once"},
		"duplicate escaped keys":  {`{"callId":"first","call\u0049d":"last"}`, "last", "sent more than once"},
		"half a surrogate pair":   {`{"callId":"a\ud83d"}`, "a\ufffd", "surrogate"},
	} {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			f.start()
			f.publish(newDelivery("cllr", "s", test.body))
			cs := f.calls()
			if len(cs) != 1 || cs[0].CallID != test.id || !strings.Contains(strings.Join(cs[0].Warnings, "\n"), test.warning) {
				t.Fatalf("calls %+v, dead %+v", cs, f.dead())
			}
		})
	}
}

// Each {} of a transcript becomes a turn of some sixty bytes: 1 MiB of them is a call that no broker takes. It is known
// all the same, without them.
func TestACallTooLargeForTheBrokerIsPublishedWithoutItsTurns(t *testing.T) {
	f := setup(t)
	d := f.start()
	turns := strings.TrimSuffix(strings.Repeat("{},", 1<<20/3), ",")
	f.publish(
		newDelivery("altur", "s", `{"event_type":"on_call_end","id":"huge","transcript":[`+turns+`]}`),
		newDelivery("cllr", "s", cllrBody("a")),
	)
	if got := slices.Sorted(slices.Values(f.ids())); !slices.Equal(got, []string{"ended altur:s:huge", "ended cllr:s:a"}) {
		t.Errorf("calls %q", got)
	}
	if dead := f.dead(); len(dead) != 0 || d.count(t, "altur", "error") != 0 {
		t.Errorf("dead %+v", dead)
	}
}
