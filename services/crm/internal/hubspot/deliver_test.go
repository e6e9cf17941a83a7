package hubspot_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/services/crm/internal/crmtest"
)

func TestHundredCallsOfKnownContactsCostTwoRequests(t *testing.T) {
	f := setup(t)
	batch := items(100)
	for i := range batch {
		f.memory.ids[phone(i)] = f.contact(map[string]string{"phone": phone(i)})
	}
	results := f.client().Deliver(t.Context(), batch)
	f.delivered(results)
	if n := f.account.Requests(""); n != 2 {
		t.Errorf("%d requests", n)
	}
	for i, r := range results {
		if got := f.account.ContactsOf(r.VendorID); !slices.Equal(got, []string{f.memory.ids[phone(i)]}) {
			t.Errorf("call %d has contacts %v", i, got)
		}
	}
	f.wantCalls(keys(batch)...)
}

// TestHundredCallsOfContactsThatHaveTheirKey: with an empty memory the contacts are read once, by key.
func TestHundredCallsOfContactsThatHaveTheirKey(t *testing.T) {
	f := setup(t)
	batch := items(100)
	for i := range batch {
		f.contact(map[string]string{"phone": phone(i), "onhook_phone_key": phone(i), "email": "x" + phone(i), "firstname": "a", "lastname": "b"})
	}
	c := f.client()
	f.delivered(c.Deliver(t.Context(), batch))
	if n := f.account.Requests(""); n != 3 {
		t.Errorf("%d requests", n)
	}
	if len(f.memory.knows()) != 100 {
		t.Errorf("%d contacts are remembered", len(f.memory.knows()))
	}
	f.delivered(c.Deliver(t.Context(), batch))
	if n := f.account.Requests(""); n != 5 {
		t.Errorf("%d requests after another batch", n)
	}
}

func TestItemsOfOneKeyAreOneRecordAndTheLastWins(t *testing.T) {
	f := setup(t)
	batch := items(3)
	batch[2] = item(0)
	batch[2].Call.Agent.Name = "Marta"
	results := f.client().Deliver(t.Context(), batch)
	f.delivered(results)
	if results[0] != results[2] {
		t.Errorf("%+v is not %+v", results[0], results[2])
	}
	f.wantCalls(keys(batch)...)
	if got := f.account.Objects("calls")[0].Properties["onhook_agent"]; got != "Marta" {
		t.Errorf("the agent is %q", got)
	}
}

func TestMoreThanHundredAreSentInHundreds(t *testing.T) {
	f := setup(t)
	batch := items(250)
	f.cfg.MatchExisting = false
	f.delivered(f.client().Deliver(t.Context(), batch))
	f.wantCalls(keys(batch)...)
	if n := f.account.Requests("calls/batch/upsert"); n != 3 {
		t.Errorf("%d requests", n)
	}
}

func TestReplayedBatchesWriteNothingTwice(t *testing.T) {
	f := setup(t)
	f.cfg.CreateMissing = "contact"
	batch := items(40)
	c := f.client()
	first := c.Deliver(t.Context(), batch)
	f.delivered(first)
	if again := c.Deliver(t.Context(), batch); !slices.Equal(first, again) {
		t.Errorf("the second time: %+v", again)
	}
	f.memory.ids = map[string]string{} // and with the memory lost
	f.delivered(c.Deliver(t.Context(), batch))
	f.wantCalls(keys(batch)...)
	if n := len(f.account.Objects("contacts")); n != 40 {
		t.Errorf("%d contacts", n)
	}
}

// TestConnectionCutAfterCommit: what was written before the connection was cut is not written a second time.
func TestConnectionCutAfterCommit(t *testing.T) {
	for _, path := range []string{"calls/batch/upsert", "contacts/batch/upsert", "contacts/batch/read", "associations"} {
		t.Run(path, func(t *testing.T) {
			f := setup(t)
			f.cfg.CreateMissing = "contact"
			f.account.Fault(path, 1, crmtest.HubSpotCut())
			batch := items(10)
			c := f.client()
			results := c.Deliver(t.Context(), batch)
			if got := kinds(results); got[retry.Paused] != 10 {
				t.Fatalf("%v: %+v", got, results[0])
			}
			results = c.Deliver(t.Context(), batch)
			f.delivered(results)
			f.wantCalls(keys(batch)...)
			if n := len(f.account.Objects("contacts")); n != 10 {
				t.Errorf("%d contacts", n)
			}
			for i, r := range results {
				if len(f.account.ContactsOf(r.VendorID)) != 1 {
					t.Errorf("call %d has contacts %v", i, f.account.ContactsOf(r.VendorID))
				}
			}
		})
	}
}

// TestOneBadRecordAmongHundred: whatever way HubSpot refuses a record, the others are delivered.
func TestOneBadRecordAmongHundred(t *testing.T) {
	for name, test := range map[string]struct {
		fields map[string]any
		want   []string
		most   int // requests
	}{
		"refused by itself":         {map[string]any{"hs_call_status": "PONDERING"}, []string{"VALIDATION_ERROR", "options for hs_call_status", crmtest.HubSpotCorrelationID}, 2},
		"refuses the whole batch":   {map[string]any{"promise": "x"}, []string{"400 VALIDATION_ERROR promise", crmtest.HubSpotCorrelationID}, 3},
		"with a time that is none":  {map[string]any{"hs_timestamp": "soon"}, []string{"MISSING_REQUIRED_PROPERTY"}, 2},
		"with a text over its room": {map[string]any{"hs_call_title": strings.Repeat("x", 70_000)}, nil, 2},
	} {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			f.cfg.MatchExisting = false
			batch := items(100)
			for i := range batch {
				batch[i].Call.CustomerPhone = nil
			}
			batch[37].Fields = test.fields
			results := f.client().Deliver(t.Context(), batch)
			if n := f.account.Requests(""); n > test.most {
				t.Errorf("%d requests", n)
			}
			if test.want == nil {
				f.delivered(results)
				return
			}
			if got := kinds(results); got[retry.Done] != 99 || got[retry.Dead] != 1 {
				t.Fatalf("%v", got)
			}
			for _, want := range test.want {
				if got := results[37].Err.Error(); !strings.Contains(got, want) {
					t.Errorf("error %q, want %q", got, want)
				}
			}
			f.wantCalls(keys(slices.Delete(batch, 37, 38))...)
		})
	}
}

// TestConflictOfTheWholeBatchIsHalvedDownToItsRecord stands for a 409 that names no property.
func TestConflictOfTheWholeBatchIsHalvedDownToItsRecord(t *testing.T) {
	for _, status := range []int{http.StatusBadRequest, http.StatusConflict} {
		f := newFixture(t)
		f.cfg.MatchExisting = false
		batch := items(100)
		f.account.Fault("calls/batch/upsert", 1000, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if f.lastBodyHas(batch[61].Call.Key) {
				crmtest.HubSpotAnswers(status, "CONFLICT", "one of them is not to be had")(w, r, next)
				return
			}
			next.ServeHTTP(w, r)
		})
		results := f.client().Deliver(t.Context(), batch)
		if got := kinds(results); got[retry.Done] != 99 || got[retry.Dead] != 1 {
			t.Fatalf("%d: %v", status, got)
		}
		if k, _ := retry.Classify(results[61].Err); k != retry.Dead {
			t.Errorf("%d: %v", status, results[61].Err)
		}
		if n := f.account.Requests("calls/batch/upsert"); n > 2*8 {
			t.Errorf("%d: %d requests", status, n)
		}
	}
}

// TestCallThatHubSpotStumblesOver stops no other: a 500 is an outage only where no record alone is answered.
func TestCallThatHubSpotStumblesOver(t *testing.T) {
	t.Parallel()
	for _, at := range []int{0, 1, 37, 98, 99} {
		f := newFixture(t)
		f.cfg.MatchExisting = false
		batch := items(100)
		f.account.Fault("calls/batch/upsert", 1000, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if f.lastBodyHas(batch[at].Call.Key) {
				crmtest.HubSpotAnswers(http.StatusInternalServerError, "", "oops")(w, r, next)
				return
			}
			next.ServeHTTP(w, r)
		})
		results := f.client().Deliver(t.Context(), batch)
		if got := kinds(results); got[retry.Done] != 99 || got[retry.Again] != 1 || !strings.Contains(fmt.Sprint(results[at].Err), "stumbles") {
			t.Errorf("%d: %v: %v", at, got, results[at].Err)
		}
		if n := f.account.Requests("calls/batch/upsert"); n > 20 {
			t.Errorf("%d: %d requests", at, n)
		}
	}
}

func TestCrashIsAnOutageAfterThreeRequests(t *testing.T) {
	f := setup(t)
	f.account.Fault("calls/batch/upsert", 1000, crmtest.HubSpotAnswers(http.StatusInternalServerError, "", "oops"))
	if got := kinds(f.client().Deliver(t.Context(), items(250))); got[retry.Paused] != 250 {
		t.Errorf("%v", got)
	}
	if n := f.account.Requests("calls/batch/upsert"); n != 3 {
		t.Errorf("%d requests", n)
	}
}

func (f *fixture) lastBodyHas(s string) bool {
	f.sent.mu.Lock()
	defer f.sent.mu.Unlock()
	return strings.Contains(f.sent.bodies[len(f.sent.bodies)-1], `"`+s+`"`)
}

// TestConflictWithAnotherWriteOfThatMoment: two writers of one key at a time, of which one is refused, lose nothing.
func TestConflictWithAnotherWriteOfThatMoment(t *testing.T) {
	f := setup(t)
	f.account.Fault("calls/batch/upsert", 1, crmtest.HubSpotAnswers(http.StatusConflict, "CONFLICT", "try again"))
	batch := items(1)
	f.delivered(f.client().Deliver(t.Context(), batch))
	f.wantCalls(keys(batch)...)
}

func TestPropertyRemovedInMidRun(t *testing.T) {
	f := setup(t)
	f.cfg.MatchExisting = false
	f.account.AddProperty("calls", crmtest.HubSpotProperty{Name: "promise"})
	batch := items(100)
	for i := range batch {
		if i%4 == 0 {
			batch[i].Fields = map[string]any{"promise": "100"}
		}
	}
	c := f.client()
	f.delivered(c.Deliver(t.Context(), batch[:50]))
	f.account.RemoveProperty("calls", "promise")
	before := f.account.Requests("")
	results := c.Deliver(t.Context(), batch)
	for i, r := range results {
		kind, _ := retry.Classify(r.Err)
		if affected := i%4 == 0; affected != (kind == retry.Dead) {
			t.Errorf("call %d: %v", i, r.Err)
		}
	}
	if got := results[0].Err.Error(); !strings.Contains(got, "promise") || !strings.Contains(got, "does not exist") || !strings.Contains(got, crmtest.HubSpotCorrelationID) {
		t.Errorf("error %q", got)
	}
	if n := f.account.Requests("") - before; n > 4 {
		t.Errorf("%d requests", n)
	}
	f.account.AddProperty("calls", crmtest.HubSpotProperty{Name: "promise"}) // and they are redriven
	f.delivered(c.Deliver(t.Context(), batch))
	f.wantCalls(keys(batch)...)
}

// TestKeyPropertyRemovedInMidRunStopsTheSink: no call could be written, and none may die for it.
func TestKeyPropertyRemovedInMidRunStopsTheSink(t *testing.T) {
	for object, key := range map[string]string{"calls": "onhook_key", "contacts": "onhook_phone_key"} {
		f := newFixture(t)
		f.cfg.CreateMissing = "contact"
		c := f.client()
		f.account.RemoveProperty(object, key)
		results := c.Deliver(t.Context(), items(10))
		if got := kinds(results); got[retry.Paused] != 10 {
			t.Errorf("%v: %v", got, results[0].Err)
		}
		if got := fmt.Sprint(results[0].Err); !strings.Contains(got, "onhook crm setup main") {
			t.Errorf("error %q", got)
		}
		f.account.SetUp()
		f.delivered(c.Deliver(t.Context(), items(10)))
	}
}

// TestErrorsThatDoNotSayWhose: an error without a trace id is that of the one record that is alone with it.
func TestErrorsThatDoNotSayWhose(t *testing.T) {
	f := setup(t)
	batch := items(20)
	f.account.Fault("calls/batch/upsert", 1000, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if f.lastBodyHas(batch[7].Call.Key) {
			crmtest.HubSpotBody(http.StatusMultiStatus, `{"status":"COMPLETE","results":[],"numErrors":1,"errors":[{"category":"VALIDATION_ERROR","message":"no"}]}`)(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	})
	results := f.client().Deliver(t.Context(), batch)
	if got := kinds(results); got[retry.Done] != 19 || got[retry.Dead] != 1 || !strings.Contains(fmt.Sprint(results[7].Err), "VALIDATION_ERROR") {
		t.Errorf("%v: %v", got, results[7].Err)
	}
}

func TestMemoryThatIsDownCostsRequestsAndNothingElse(t *testing.T) {
	f := setup(t)
	f.cfg.CreateMissing = "contact"
	f.memory.err = errors.New("no quorum")
	batch := items(5)
	c := f.client()
	f.delivered(c.Deliver(t.Context(), batch))
	f.delivered(c.Deliver(t.Context(), batch))
	f.wantCalls(keys(batch)...)
	if n := len(f.account.Objects("contacts")); n != 5 {
		t.Errorf("%d contacts", n)
	}
}

func TestContactsAreRememberedWhenTheirCallIsNot(t *testing.T) {
	f := setup(t)
	id := f.contact(map[string]string{"onhook_phone_key": phone(0), "phone": phone(0)})
	f.account.Fault("calls/batch/upsert", 1, crmtest.HubSpotEmpty())
	results := f.client().Deliver(t.Context(), items(1))
	if got := kinds(results); got[retry.Again] != 1 {
		t.Errorf("%+v", results)
	}
	if got := f.memory.knows(); !maps.Equal(got, map[string]string{phone(0): id}) {
		t.Errorf("%v", got)
	}
}
