package crm_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/call"
)

func TestASinkGetsTheCallsThatItsConditionsChooseWithTheirFields(t *testing.T) {
	f := setup(t)
	r, address := f.receiver()
	f.start(hook("leads", address, `min_auth: token, when: 'call.extracted[?"agreed"].orValue(false) == true', `+
		`fields: {seconds: call.duration_ms / 1000, amount: 'call.extracted[?"amount"]', who: call.customer.name}`))
	extracted := func(text string) func(*call.Call) {
		return func(c *call.Call) {
			if err := json.Unmarshal([]byte(text), &c.Extracted); err != nil {
				t.Fatal(err)
			}
		}
	}
	f.publish(
		newCall("yes", extracted(`{"agreed":true,"amount":120.5}`)),
		newCall("no amount", extracted(`{"agreed":true}`)),
		newCall("no", extracted(`{"agreed":false}`)),
		newCall("silent"),
		newCall("unproven", extracted(`{"agreed":true}`), func(c *call.Call) { c.Auth = call.AuthNone }),
		newCall("under way", extracted(`{"agreed":true}`), func(c *call.Call) { c.Event, c.IsFinal = call.Progress, false }),
	)
	f.waitSettled("leads")
	if d := cmp.Diff(map[string]int{key("yes"): 1, key("no amount"): 1}, r.Records()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]any{"seconds": 60.0, "amount": 120.5, "who": "Xochitl Quetzal"}, fields(t, r, "yes")); d != "" {
		t.Error(d)
	}
	if got := fields(t, r, "no amount")["amount"]; got != nil {
		t.Errorf("amount is %v", got)
	}
	results := map[string]call.Result{}
	for id, os := range f.outcomes("leads") {
		if len(os) != 1 || os[0].Attempts != 1 || os[0].At == nil {
			t.Errorf("%s: %+v", id, os)
		}
		results[id] = os[0].Result
		if os[0].Result == call.ResultDelivered && !strings.HasPrefix(os[0].VendorID, "msg_") {
			t.Errorf("%s: %+v", id, os[0])
		}
	}
	want := map[string]call.Result{"yes": call.ResultDelivered, "no amount": call.ResultDelivered,
		"no": call.ResultSkipped, "silent": call.ResultSkipped, "unproven": call.ResultSkipped}
	if d := cmp.Diff(want, results); d != "" {
		t.Error(d)
	}
	if done, skipped := f.counted("leads", "done"), f.counted("leads", "skipped"); done != 2 || skipped != 4 {
		t.Errorf("%v done, %v skipped", done, skipped)
	}
}

// What cannot be evaluated is not taken for false: the call would be lost without a word.
func TestAnExpressionThatFailsKillsTheCallAndARedriveLandsIt(t *testing.T) {
	f := setup(t)
	r, address := f.receiver()
	stop := f.start(hook("leads", address, `when: call.extracted.score > 3`))
	f.publish(newCall("a"))
	f.waitSettled("leads")
	dead := f.dead("leads")
	if len(dead) != 1 || dead[0].Reason != "when: call.extracted.score > 3: no such key: score" || dead[0].Attempts != 1 {
		t.Fatalf("%+v", dead)
	}
	if o := f.outcomes("leads")["a"]; len(o) != 1 || o[0].Result != call.ResultDead || o[0].Error != dead[0].Reason {
		t.Errorf("%+v", o)
	}
	stop()
	f.start(hook("leads", address, `when: 'call.extracted[?"score"].orValue(4) > 3'`))
	if err := f.bus.RedriveDead(t.Context(), dead[0].Seq); err != nil {
		t.Fatal(err)
	}
	f.waitFor("the call", func() bool { return r.Records()[key("a")] == 1 })
	f.waitSettled("leads")
}

func TestNoRequestHoldsATranscriptUnlessConfigured(t *testing.T) {
	const said, link, attribute = "the card number is 4111", "https://recordings.example.com/1.mp3", "a-secret-attribute"
	f := setup(t)
	private := func(c *call.Call) {
		c.Transcript = call.Transcript{Form: call.TranscriptTurns, Text: "agent: " + said, URI: "https://example.com/t?" + said, Turns: []call.Turn{{Role: call.RoleAgent, Text: said}}}
		c.Recording = &call.Recording{URI: link, Access: call.AccessPublic}
		c.Extensions = map[string]json.RawMessage{"raw": json.RawMessage(`{"transcript":"` + said + `","recording":"` + link + `"}`)}
		c.Actions = []call.Action{{Name: "note", Params: json.RawMessage(`"` + said + `"`)}}
		c.Customer.Attributes = map[string]json.RawMessage{"x": json.RawMessage(`"` + attribute + `"`)}
		c.Analysis.Details = map[string]json.RawMessage{"quote": json.RawMessage(`"` + said + `"`)}
		c.Extracted = map[string]json.RawMessage{"amount": json.RawMessage(`7770777`), "password": json.RawMessage(`"hunter2"`)}
		c.ExtractedSource = map[string]string{"password": "variable"}
		c.Headers = map[string]string{"user-agent": "x-header"}
	}
	for _, body := range []string{"thin", "full", "vcon"} {
		silent, to := f.receiver()
		amount, toAmount := f.receiver()
		open, toOpen := f.receiver()
		all := "transcript: true, extensions: true, extracted: ['*']"
		if body != "vcon" {
			all += ", recording_link: true"
		}
		name := func(s string) string { return body + "-" + s }
		f.start(hook(name("silent"), to, "start: beginning, body: "+body), hook(name("amount"), toAmount, "start: beginning, extracted: [amount], body: "+body),
			hook(name("open"), toOpen, "start: beginning, "+all+", body: "+body))
		f.publish(newCall(body, private))
		for _, s := range []string{"silent", "amount", "open"} {
			f.waitSettled(name(s))
		}
		for _, text := range []string{said, link, attribute, "7770777", "hunter2", "password", "x-header"} {
			if silent.Saw(text) {
				t.Errorf("%s: a request holds %q, which nobody asked for", body, text)
			}
			if amount.Saw(text) != (text == "7770777" && body != "thin") {
				t.Errorf("%s: of the amount alone: %q is sent: %v", body, text, amount.Saw(text))
			}
		}
		if !silent.Saw(`call`) && !silent.Saw(`uuid`) {
			t.Errorf("%s: nothing was sent", body)
		}
		if body == "full" && (!open.Saw(said) || !open.Saw(link) || !open.Saw(attribute) || !open.Saw("hunter2")) {
			t.Error("what was asked for is not sent")
		}
		if body == "vcon" && (!open.Saw(said) || !open.Saw("hunter2")) {
			t.Error("what was asked for is not in the vCon")
		}
	}
}

// gate answers with a status while it is shut.
type gate struct{ status atomic.Int64 }

func (g *gate) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s := g.status.Load(); s != 0 {
			w.WriteHeader(int(s))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func TestAStoppedSinkKeepsItsCallsSaysWhyAndDelaysNoOther(t *testing.T) {
	for _, status := range []int64{401, 410, 302, 503} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			f := setup(t)
			var g gate
			g.status.Store(status)
			stopped, to := f.receiver(g.wrap)
			fine, toFine := f.receiver()
			f.start(hook("stopped", to, ""), hook("fine", toFine, ""))
			var calls []*call.Call
			for i := range 200 {
				calls = append(calls, newCall(fmt.Sprint(i)))
			}
			f.publish(calls...)
			f.waitSettled("fine")
			f.waitFor("a reason", func() bool { return f.status("stopped").Outage != nil })
			if o := f.status("stopped").Outage; !strings.Contains(o.Reason, fmt.Sprint(status)) {
				t.Errorf("%+v", o)
			}
			if len(fine.Records()) != 200 || len(stopped.Records()) != 0 || f.status("fine").Outage != nil {
				t.Errorf("%d and %d calls", len(fine.Records()), len(stopped.Records()))
			}
			if s := f.status("stopped"); s.Dead != 0 || s.Scheduled != 0 || s.Pending != 200 {
				t.Errorf("attempts were counted in an outage: %+v", s)
			}
			g.status.Store(0)
			f.waitSettled("stopped")
			if n := len(stopped.Records()); n != 200 {
				t.Errorf("%d calls", n)
			}
			f.waitFor("the end of the outage", func() bool { return f.status("stopped").Outage == nil })
		})
	}
}

func TestARefusedCallDiesAloneWithTheAnswer(t *testing.T) {
	f := setup(t)
	r, address := f.receiver(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.ContentLength > 100<<10 {
				w.WriteHeader(http.StatusRequestEntityTooLarge)
				return
			}
			next.ServeHTTP(w, req)
		})
	})
	f.start(hook("leads", address, "body: full"))
	f.publish(newCall("a"), newCall("large", func(c *call.Call) { c.Analysis.Summary = strings.Repeat("a", 200<<10) }), newCall("b"))
	f.waitSettled("leads")
	if d := cmp.Diff(map[string]int{key("a"): 1, key("b"): 1}, r.Records()); d != "" {
		t.Error(d)
	}
	if dead := f.dead("leads"); len(dead) != 1 || !strings.Contains(dead[0].Reason, "413") {
		t.Errorf("%+v", dead)
	}
}

func TestAPlainFailureIsCountedAndThenItIsDead(t *testing.T) {
	f := setup(t)
	var g gate
	g.status.Store(409)
	_, address := f.receiver(g.wrap)
	f.start(hook("leads", address, ""))
	f.publish(newCall("a"))
	f.waitSettled("leads")
	if o := f.outcomes("leads")["a"]; len(o) != 1 || o[0].Result != call.ResultDead || o[0].Attempts != 3 || !strings.Contains(o[0].Error, "409") {
		t.Errorf("%+v", o)
	}
}

// A call that the endpoint fails at every time looks like an outage while it is alone, and must not hold up the others.
func TestACallThatAnEndpointFailsAtDiesAloneOnceOthersAreTaken(t *testing.T) {
	f := setup(t)
	var asked atomic.Int64
	r, address := f.receiver(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.ContentLength > 100<<10 {
				asked.Add(1)
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
			next.ServeHTTP(w, req)
		})
	})
	f.start(hook("leads", address, "body: full"))
	f.publish(newCall("large", func(c *call.Call) { c.Analysis.Summary = strings.Repeat("a", 200<<10) }))
	f.waitFor("more looks than there are attempts", func() bool { return asked.Load() > 5 })
	if dead := f.dead("leads"); len(dead) != 0 {
		t.Errorf("dead before any was taken: %+v", dead)
	}
	taken := 0
	for ; taken < 100 && len(f.dead("leads")) == 0; taken++ {
		f.publish(newCall(fmt.Sprint(taken)))
		f.waitFor("the next one", func() bool { return len(r.Records()) == taken+1 })
	}
	f.waitSettled("leads")
	if dead := f.dead("leads"); len(dead) != 1 || dead[0].Attempts != 3 || len(r.Records()) != taken {
		t.Errorf("%+v; %d of %d taken", dead, len(r.Records()), taken)
	}
}

// A redriven call counts its attempts anew: what it died of the second time was once taken for the first, said again.
func TestACallThatDiesAgainAfterARedriveHasASecondOutcome(t *testing.T) {
	f := setup(t)
	var g gate
	g.status.Store(422)
	_, address := f.receiver(g.wrap)
	f.start(hook("leads", address, ""))
	f.publish(newCall("a"))
	f.waitSettled("leads")
	g.status.Store(413)
	if err := f.bus.RedriveDead(t.Context(), f.dead("leads")[0].Seq); err != nil {
		t.Fatal(err)
	}
	f.waitSettled("leads")
	o := f.outcomes("leads")["a"]
	if len(o) != 2 || !strings.Contains(o[0].Error, "422") || !strings.Contains(o[1].Error, "413") {
		t.Errorf("%+v", o)
	}
}

func TestASinkThatIsNewStartsWithNewCallsUnlessToldOtherwise(t *testing.T) {
	f := setup(t)
	f.publish(newCall("old"))
	recent, toRecent := f.receiver()
	history, toHistory := f.receiver()
	f.start(hook("recent", toRecent, ""), hook("history", toHistory, "start: beginning"))
	f.publish(newCall("new"))
	f.waitSettled("recent")
	f.waitSettled("history")
	if d := cmp.Diff(map[string]int{key("new"): 1}, recent.Records()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]int{key("old"): 1, key("new"): 1}, history.Records()); d != "" {
		t.Error(d)
	}
}

func TestRateLimit(t *testing.T) {
	f := setup(t)
	r, address := f.receiver()
	f.start(hook("slow", address, "rate_limit: 50, batch: 10"))
	var calls []*call.Call
	for i := range 100 {
		calls = append(calls, newCall(fmt.Sprint(i)))
	}
	began := time.Now()
	f.publish(calls...)
	f.waitSettled("slow")
	if took := time.Since(began); took < 900*time.Millisecond { // 50 at once, 50 at 50 per second
		t.Errorf("100 calls took %v", took)
	}
	if n := len(r.Records()); n != 100 {
		t.Errorf("%d calls", n)
	}
}

// The first call of a batch once waited for the tokens of all of it: of 100 calls at 0.1 per second, a quarter of an hour.
func TestABatchGoesOutAsItsTokensCome(t *testing.T) {
	f := setup(t)
	r, address := f.receiver()
	var calls []*call.Call
	for i := range 100 {
		calls = append(calls, newCall(fmt.Sprint(i)))
	}
	f.publish(calls...)
	stop := f.start(hook("slow", address, "rate_limit: 0.1, batch: 100, concurrency: 1, grace: 0s, start: beginning"))
	f.waitFor("the first", func() bool { return len(r.Records()) == 1 })
	stop()
	f.waitFor("the one to be settled", func() bool { return f.status("slow").Pending == 99 })
	if o := f.outcomes("slow"); len(o) != 1 || f.status("slow").Scheduled != 0 {
		t.Errorf("after a stop: outcomes %+v, %+v", o, f.status("slow"))
	}
}

func TestWithoutASinkItRunsAndDoesNothing(t *testing.T) {
	f := setup(t)
	stop := f.start("")
	stop()
	if orphans, err := f.bus.Orphans(t.Context(), nil); err != nil || len(orphans) != 0 {
		t.Errorf("%q %v", orphans, err)
	}
}

func TestASinkThatIsTakenOutOfTheConfigurationIsAnOrphan(t *testing.T) {
	f := setup(t)
	_, address := f.receiver()
	stop := f.start(hook("kept", address, ""), hook("gone", address, ""))
	stop()
	f.start(hook("kept", address, ""))
	if orphans, err := f.bus.Orphans(t.Context(), []string{"kept"}); err != nil || !cmp.Equal(orphans, []string{"gone"}) {
		t.Errorf("%q %v", orphans, err)
	}
	if s := f.status("gone"); s.Name != bus.CRM("gone").Name {
		t.Errorf("%+v", s)
	}
}
