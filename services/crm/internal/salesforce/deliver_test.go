package salesforce

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/services/crm/internal/crmtest"
	"github.com/onhook/onhook/services/crm/internal/sink"
)

const rows = "composite/sobjects/Task"

func TestCallsBecomeTasksInRequestsOf200(t *testing.T) {
	f := setup(t)
	batch := calls(450)
	f.deliver(retry.Done, batch...)
	if n := len(f.tasks()); n != 450 {
		t.Errorf("%d Tasks of 450 calls", n)
	}
	var sizes []int
	for _, r := range f.sent(rows) {
		sizes = append(sizes, r.Records)
	}
	if fmt.Sprint(sizes) != "[200 200 50]" {
		t.Errorf("requests of %v records", sizes)
	}
	f.deliver(retry.Done, batch...)
	if n := len(f.tasks()); n != 450 {
		t.Errorf("%d Tasks after the batch came twice", n)
	}
}

func TestSameKeyTwiceInABatchIsOneRowAndTheLastOneWins(t *testing.T) {
	f := setup(t)
	first := newCall("a", func(c *call.Call) { c.Status = call.StatusBusy })
	out := f.deliver(retry.Done, first, newCall("b"), newCall("a"))
	if out[0].VendorID != out[2].VendorID || out[0].VendorID == out[1].VendorID {
		t.Errorf("ids %+v", out)
	}
	if got := f.tasks()[first.Key]["CallDisposition"]; got != "Completed" {
		t.Errorf("result %v", got)
	}
}

// Every answer to a row: what is counted, what is dead, what stops the sink, and how often the row was sent.
func TestRowErrors(t *testing.T) {
	for _, test := range []struct {
		code, message string
		fields        []string
		want          retry.Kind
		sent          int // requests in which the row was
	}{
		{code: "UNABLE_TO_LOCK_ROW", want: retry.Again, sent: 3},
		{code: "SERVER_UNAVAILABLE", want: retry.Again, sent: 3},
		{code: "QUERY_TIMEOUT", want: retry.Again, sent: 3},
		{code: "UNKNOWN_EXCEPTION", want: retry.Again, sent: 1},
		{code: "ALL_OR_NONE_OPERATION_ROLLED_BACK", want: retry.Again, sent: 1},
		{code: "PROCESSING_HALTED", want: retry.Again, sent: 1},
		{code: "REQUIRED_FIELD_MISSING", fields: []string{"Region__c"}, want: retry.Dead, sent: 1},
		{code: "FIELD_CUSTOM_VALIDATION_EXCEPTION", message: "A promise needs a date", want: retry.Dead, sent: 1},
		{code: "STRING_TOO_LONG", message: "Name__c: data value too large: Zoe Private (max length=10)", want: retry.Dead, sent: 1},
		{code: "INVALID_FIELD", message: "bad custom date", want: retry.Dead, sent: 1},
		{code: "INVALID_FIELD_FOR_INSERT_UPDATE", fields: []string{"TaskSubtype"}, want: retry.Dead, sent: 2},
		{code: "INACTIVE_OWNER_OR_USER", fields: []string{"OwnerId"}, want: retry.Dead, sent: 1},
		{code: "INVALID_CROSS_REFERENCE_KEY", fields: []string{"OwnerId"}, want: retry.Dead, sent: 1},
		{code: "INSUFFICIENT_ACCESS_OR_READONLY", want: retry.Dead, sent: 1},
		{code: "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", message: "MyTrigger: execution of BeforeInsert", want: retry.Dead, sent: 1},
		{code: "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", message: "MyTrigger: System.LimitException: Apex CPU time limit exceeded", want: retry.Again, sent: 3},
		{code: "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", message: "MyTrigger: first error: UNABLE_TO_LOCK_ROW, unable", want: retry.Again, sent: 3},
		{code: "DUPLICATE_VALUE", message: "duplicate value found: Onhook_Key__c duplicates value on record with id: 00T000000000001AAA", want: retry.Again, sent: 2},
		{code: "DUPLICATE_VALUE", message: "duplicate value found: Ticket__c duplicates value on record with id: 00T000000000001AAA", want: retry.Dead, sent: 1},
		{code: "DUPLICATE_EXTERNAL_ID", want: retry.Dead, sent: 1},
		{code: "SOMETHING_NEW", want: retry.Dead, sent: 1},
		{code: "STORAGE_LIMIT_EXCEEDED", want: retry.Paused, sent: 1},
		{code: "REQUEST_LIMIT_EXCEEDED", want: retry.Paused, sent: 1},
		{code: "API_CURRENTLY_DISABLED", want: retry.Paused, sent: 1},
	} {
		t.Run(test.code+" "+test.message, func(t *testing.T) {
			f := setup(t)
			f.org.RowError = func(_ string, record map[string]any) *crmtest.SalesforceRow {
				if record["CallObject"] == "bad" {
					return &crmtest.SalesforceRow{Code: test.code, Message: test.message, Fields: test.fields}
				}
				return nil
			}
			out := f.Deliver(t.Context(), []sink.Item{{Call: newCall("a")}, {Call: newCall("bad")}, {Call: newCall("z")}})
			wantKind(t, out[0].Err, retry.Done)
			wantKind(t, out[1].Err, test.want)
			wantKind(t, out[2].Err, retry.Done)
			if !strings.Contains(out[1].Err.Error(), test.code) || strings.Contains(out[1].Err.Error(), "Private") {
				t.Errorf("error %v", out[1].Err)
			}
			sent := 0
			for _, r := range f.sent(rows) {
				if strings.Contains(r.Body, `"CallObject":"bad"`) {
					sent++
				}
			}
			if sent != test.sent {
				t.Errorf("sent in %d requests, want %d", sent, test.sent)
			}
		})
	}
}

// Every answer to a whole request.
func TestStatusesOfAWholeRequest(t *testing.T) {
	for _, test := range []struct {
		status int
		code   string
		want   retry.Kind
	}{
		{301, "", retry.Paused}, {302, "", retry.Paused},
		{400, "JSON_PARSER_ERROR", retry.Dead}, {400, "INVALID_FIELD", retry.Dead}, {400, "", retry.Dead}, {400, "UNABLE_TO_LOCK_ROW", retry.Again},
		{401, "INVALID_SESSION_ID", retry.Paused}, {401, "INVALID_AUTH_HEADER", retry.Paused},
		{403, "REQUEST_LIMIT_EXCEEDED", retry.Paused}, {403, "API_DISABLED_FOR_ORG", retry.Paused}, {403, "", retry.Paused},
		{404, "NOT_FOUND", retry.Paused}, {405, "", retry.Paused}, {409, "", retry.Paused}, {410, "UNSUPPORTED_API_VERSION", retry.Paused}, {423, "", retry.Paused}, {422, "", retry.Dead}, {408, "", retry.Paused}, {413, "", retry.Dead}, {415, "UNSUPPORTED_MEDIA_TYPE", retry.Dead},
		{429, "", retry.Paused}, {500, "UNKNOWN_EXCEPTION", retry.Paused}, {502, "", retry.Paused}, {503, "SERVER_UNAVAILABLE", retry.Paused},
		{503, "", retry.Paused}, {504, "", retry.Paused}, {200, "", retry.Paused}, // a web page
	} {
		t.Run(fmt.Sprintf("%d %s", test.status, test.code), func(t *testing.T) {
			f := setup(t)
			f.org.Fail(crmtest.SalesforceFault{Path: rows, Times: -1, Status: test.status, Code: test.code, Text: "no"})
			out := f.deliver(test.want, newCall("a"), newCall("b"))
			if strings.Contains(out[0].Err.Error(), "<html") {
				t.Errorf("the error quotes a web page: %v", out[0].Err)
			}
			if len(f.tasks()) != 0 {
				t.Errorf("Tasks: %v", f.tasks())
			}
		})
	}
}

func TestAnswersThatDoNotSayWhatBecameOfARowAreRetried(t *testing.T) {
	for name, fault := range map[string]crmtest.SalesforceFault{
		"no body": {Path: rows, Empty: true}, "one row fewer": {Path: rows, Short: 1}, "no rows": {Path: rows, Short: 3},
	} {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			f.org.Fail(fault)
			batch := calls(3)
			f.deliver(retry.Again, batch...)
			f.deliver(retry.Done, batch...)
			if n := len(f.tasks()); n != 3 {
				t.Errorf("%d Tasks of 3 calls", n)
			}
		})
	}
}

// The org wrote everything, and nobody heard of it.
func TestConnectionCutAfterCommitStoresNothingTwice(t *testing.T) {
	f := setup(t, func(c *Config) { c.CreateMissing = createLead })
	f.org.Fail(crmtest.SalesforceFault{Path: "composite/sobjects/Lead", Cut: true}, crmtest.SalesforceFault{Path: rows, Times: 2, Cut: true})
	batch := calls(3, with(zoe))
	for range 3 {
		f.deliver(retry.Paused, batch...)
	}
	f.deliver(retry.Done, batch...)
	if n, leads := len(f.tasks()), len(f.org.Objects("Lead")); n != 3 || leads != 1 {
		t.Errorf("%d Tasks, %d Leads; want 3 and 1", n, leads)
	}
}

func TestSlowSalesforceIsAnOutage(t *testing.T) {
	f := setup(t, func(c *Config) { c.Timeout = 50 * time.Millisecond })
	f.client.timeout = time.Minute // the fake may need its time for what comes first
	if err := f.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.client.timeout = f.cfg.Timeout
	f.org.Fail(crmtest.SalesforceFault{Times: -1, Delay: time.Hour})
	f.deliver(retry.Paused, calls(3)...)
}

func TestAfterAnOutageNothingMoreIsSent(t *testing.T) {
	f := setup(t)
	f.org.Fail(crmtest.SalesforceFault{Path: rows, Times: -1, Status: 503})
	f.deliver(retry.Paused, calls(900)...)
	if n := len(f.sent(rows)); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

func TestCallsOfOnePersonGoInOneRequest(t *testing.T) {
	f := setup(t)
	numbers := []string{"+525512345678", "+525587654321", "+525511112222"}
	for _, n := range numbers {
		f.org.Add("Contact", map[string]any{phoneField: n, "LastName": "x"})
	}
	var batch []*call.Call
	for i := range 390 { // taken in turns: 130 each, two do not fit in one request
		batch = append(batch, newCall(fmt.Sprint(i), with(numbers[i%3])))
	}
	f.deliver(retry.Done, batch...)
	at := map[any]int{}
	for i, r := range f.sent(rows) {
		var body struct{ Records []map[string]any }
		if err := json.Unmarshal([]byte(r.Body), &body); err != nil {
			t.Fatal(err)
		}
		for _, record := range body.Records {
			who := record["WhoId"]
			if before, ok := at[who]; ok && before != i {
				t.Fatalf("%v is in requests %d and %d", who, before, i)
			}
			at[who] = i
		}
	}
	if len(at) != 3 {
		t.Errorf("people %v", at)
	}
}

func TestLockedRowsAreTriedAgainWithoutTheOthers(t *testing.T) {
	f := setup(t)
	id := f.org.Add("Contact", map[string]any{phoneField: zoe, "LastName": "x"})
	f.org.Lock(id, 4) // 3 in the first request, 1 in the second
	batch := append(calls(50), newCall("l1", with(zoe)), newCall("l2", with(zoe)), newCall("l3", with(zoe)))
	f.deliver(retry.Done, batch...)
	var sizes []int
	for _, r := range f.sent(rows) {
		sizes = append(sizes, r.Records)
	}
	if fmt.Sprint(sizes) != "[53 3 1]" {
		t.Errorf("requests of %v records", sizes)
	}
}

// Each attempt waits ten seconds for the lock in Salesforce, and each request is one of the org's.
func TestPersonWhoStaysLockedCostsFewRequests(t *testing.T) {
	f := setup(t)
	id := f.org.Add("Contact", map[string]any{phoneField: zoe, "LastName": "x"})
	f.org.Lock(id, 1_000_000)
	f.deliver(retry.Again, calls(200, with(zoe))...)
	if n := len(f.sent(rows)); n != 1+20+1 {
		t.Errorf("%d requests", n)
	}
}

// TaskSubtype can be given to a new Task only, and an upsert does not know which of its records are new.
func TestRedriveOfATaskLeavesOutWhatOnlyANewOneMayHave(t *testing.T) {
	f := setup(t)
	f.deliver(retry.Done, newCall("a"))
	f.deliver(retry.Done, newCall("a"), newCall("b"))
	for key, task := range f.tasks() {
		if task["TaskSubtype"] != "Call" {
			t.Errorf("%s: %v", key, task)
		}
	}
}

func TestKeyThatDoesNotFitIsNotCut(t *testing.T) {
	f := setup(t)
	f.deliver(retry.Dead, newCall(strings.Repeat("x", 250)))
	f.deliver(retry.Done, newCall(strings.Repeat("x", 246))) // with altur:mx: before it, 255
}

func TestConfiguredFieldsWinAndTheKeyIsNotTheirs(t *testing.T) {
	f := setup(t)
	f.org.Field("Task", "Score__c", func(s *crmtest.SalesforceField) { s.Type = "int" })
	give := func(fields map[string]any) sink.Result {
		return f.Deliver(t.Context(), []sink.Item{{Call: newCall("a"), Fields: fields}})[0]
	}
	wantKind(t, give(map[string]any{"Subject": "Our own", "Score__c": int64(7), "Priority": nil}).Err, retry.Done)
	if task := f.tasks()["altur:mx:a"]; task["Subject"] != "Our own" || task["Score__c"] != 7.0 || task["Priority"] != nil {
		t.Errorf("Task %v", task)
	}
	for _, name := range []string{keyField, "onhook_key__c", "Id", "attributes"} {
		wantKind(t, give(map[string]any{name: "x"}).Err, retry.Dead)
	}
}
