package salesforce

import (
	"fmt"
	"strings"
	"testing"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/services/crm/internal/crmtest"
	"github.com/onhook/onhook/services/crm/internal/sink"
)

func TestOneBadRecordInARefusedRequestIsFound(t *testing.T) {
	f := setup(t)
	batch := calls(200)
	items := make([]sink.Item, len(batch))
	for i, c := range batch {
		items[i] = sink.Item{Call: c}
	}
	items[137].Fields = map[string]any{"Strange__c": "x"}
	f.org.RefuseUnknown = true
	out := f.Deliver(t.Context(), items)
	for i, r := range out {
		if i == 137 {
			wantKind(t, r.Err, retry.Dead)
			if !strings.Contains(r.Err.Error(), "No such column 'Strange__c'") {
				t.Errorf("error %v", r.Err)
			}
			continue
		}
		wantKind(t, r.Err, retry.Done)
	}
	if n := len(f.sent(rows)); n != 2 {
		t.Errorf("%d requests; the named field says which record it is", n)
	}
}

// Salesforce names no field here, so the record is found by halving.
func TestRefusedRequestIsHalved(t *testing.T) {
	f := setup(t)
	batch := calls(64)
	items := make([]sink.Item, len(batch))
	for i, c := range batch {
		items[i] = sink.Item{Call: c}
	}
	items[20].Call.CallID = "poison"
	refuse := &picky{next: f.client.http.Transport, word: `"poison"`}
	f.client.http.Transport = refuse
	out := f.Deliver(t.Context(), items)
	for i, r := range out {
		want := retry.Done
		if i == 20 {
			want = retry.Dead
		}
		wantKind(t, r.Err, want)
	}
	if refuse.n != 7 { // 64, 32, 16, 8, 4, 2, 1
		t.Errorf("%d refusals", refuse.n)
	}
	if n := len(f.tasks()); n != 63 {
		t.Errorf("%d Tasks", n)
	}
}

// Salesforce repeats the value that it dislikes, in words that are not fixed, and a dead letter told it to everyone.
func TestRefusalThatRepeatsAValueTellsNoneOfThem(t *testing.T) {
	for name, status := range map[string]int{"row": 0, "request": 400, "outage": 500} {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			f.org.Field("Task", "Promise__c", func(*crmtest.SalesforceField) {})
			text := "Promise Date: value not of required type: Maria Lopez owes 300, said LOPEZ of 300. bad bearer 00Dfake!token " + secret
			f.org.RowError = func(string, map[string]any) *crmtest.SalesforceRow {
				return &crmtest.SalesforceRow{Code: "INVALID_TYPE_ON_FIELD_IN_RECORD", Message: text}
			}
			if status != 0 {
				f.org.Fail(crmtest.SalesforceFault{Path: rows, Times: -1, Status: status, Code: "INVALID_TYPE", Text: text})
			}
			item := sink.Item{Call: newCall("a"), Fields: map[string]any{"Promise__c": "Maria Lopez owes 300", "Amount__c": int64(300)}}
			f.org.Field("Task", "Amount__c", func(*crmtest.SalesforceField) {})
			item.Call.Customer = &call.Customer{Name: "Maria Lopez"}
			said := fmt.Sprint(f.Deliver(t.Context(), []sink.Item{item})[0].Err)
			if !strings.Contains(said, "Promise Date: value not of required type: ***") {
				t.Errorf("error %s", said)
			}
			for _, word := range []string{"Maria", "Lopez", "LOPEZ", "300", "00D", secret} {
				if strings.Contains(said, word) {
					t.Errorf("%q is in: %s", word, said)
				}
			}
		})
	}
}

func TestConfiguredFieldRemovedInMidRunKillsOnlyTheCallsThatHaveIt(t *testing.T) {
	for name, whole := range map[string]bool{"refused as a whole": true, "refused by row": false} {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			f.org.RefuseUnknown = whole
			f.org.Field("Task", "Promise__c", func(*crmtest.SalesforceField) {})
			var items []sink.Item
			for i, c := range calls(100) {
				item := sink.Item{Call: c}
				if i%2 == 0 {
					item.Fields = map[string]any{"Promise__c": "50"}
				}
				items = append(items, item)
			}
			f.Deliver(t.Context(), items[:10])
			f.org.Field("Task", "Promise__c", nil)
			before := len(f.org.Requests())
			for i, r := range f.Deliver(t.Context(), items) {
				want := retry.Done
				if i%2 == 0 {
					want = retry.Dead
				}
				wantKind(t, r.Err, want)
				if i == 0 && !strings.Contains(r.Err.Error(), "INVALID_FIELD: No such column 'Promise__c'") {
					t.Errorf("error %v", r.Err)
				}
			}
			if n := len(f.org.Requests()) - before; n > 3 { // refused, written, and the five that were there before without TaskSubtype
				t.Errorf("%d requests", n)
			}
			f.org.Field("Task", "Promise__c", func(*crmtest.SalesforceField) {}) // mended, and redriven
			for _, r := range f.Deliver(t.Context(), items) {
				wantKind(t, r.Err, retry.Done)
			}
		})
	}
}

func TestOwnFieldRemovedInMidRunGoesToDescription(t *testing.T) {
	for name, whole := range map[string]bool{"refused as a whole": true, "refused by row": false} {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			f.org.RefuseUnknown = whole
			f.deliver(retry.Done, newCall("before"))
			f.org.Field("Task", "CallDisposition", nil)
			f.deliver(retry.Done, calls(20)...)
			task := f.tasks()["altur:mx:c0003"]
			if text, _ := task["Description"].(string); !strings.Contains(text, "Result: Completed") {
				t.Errorf("Task %v", task)
			}
		})
	}
}

func TestKeyFieldRemovedInMidRunStopsTheSink(t *testing.T) {
	f := setup(t)
	f.deliver(retry.Done, newCall("before"))
	f.org.Field("Task", keyField, nil)
	out := f.deliver(retry.Paused, calls(20)...)
	if !strings.Contains(out[0].Err.Error(), keyField) {
		t.Errorf("error %v", out[0].Err)
	}
}

func TestHundredsOfRefusedRecordsDoNotEatTheAllowance(t *testing.T) {
	f := setup(t)
	f.client.http.Transport = &picky{next: f.client.http.Transport, word: "altur:mx:c"}
	var items []sink.Item
	for _, c := range calls(200) {
		items = append(items, sink.Item{Call: c})
	}
	var dead, again int
	for _, r := range f.Deliver(t.Context(), items) {
		switch kind, _ := retry.Classify(r.Err); kind {
		case retry.Dead:
			dead++
		case retry.Again:
			again++
		default:
			t.Errorf("%v", r.Err)
		}
	}
	if n := f.client.http.Transport.(*picky).n; n != 1+maxExtra || dead < 20 || dead+again != 200 {
		t.Errorf("%d requests, %d dead, %d again", n, dead, again)
	}
}

// A call that makes Salesforce crash is no outage, or nothing would be delivered after it.
func TestCallThatCrashesSalesforceStopsNoOther(t *testing.T) {
	f := setup(t)
	batch := calls(60)
	batch[20].CallID = "poison"
	f.client.http.Transport = &picky{next: f.client.http.Transport, word: `"poison"`, status: 500, code: "UNKNOWN_EXCEPTION"}
	var items []sink.Item
	for _, c := range batch {
		items = append(items, sink.Item{Call: c})
	}
	for i, r := range f.Deliver(t.Context(), items) {
		want := retry.Done
		if i == 20 {
			want = retry.Again // counted: dead in the end
		}
		wantKind(t, r.Err, want)
	}
	f.org.Fail(crmtest.SalesforceFault{Path: rows, Times: -1, Status: 500, Code: "UNKNOWN_EXCEPTION"}) // an outage is still one
	before := len(f.sent(rows))
	f.deliver(retry.Paused, newCall("x"), newCall("y"), newCall("z"))
	if n := len(f.sent(rows)) - before; n != 2 {
		t.Errorf("%d requests", n)
	}
}
