package salesforce

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/services/crm/internal/crmtest"
	"github.com/onhook/onhook/services/crm/internal/sink"
)

func lookups(f *fixture) int {
	n := 0
	for _, r := range f.org.Requests() {
		if strings.HasSuffix(r.Path, "/composite") {
			n++
		}
	}
	return n
}

func (f *fixture) who(id string) any { return f.tasks()["altur:mx:"+id]["WhoId"] }

func TestPeopleAreLookedUpOnceAndThenRemembered(t *testing.T) {
	f := setup(t)
	contact := f.org.Add("Contact", map[string]any{phoneField: zoe, "LastName": "x"})
	lead := f.org.Add("Lead", map[string]any{phoneField: "+525587654321", "LastName": "x"})
	f.org.Add("Lead", map[string]any{phoneField: zoe, "LastName": "also a lead"})
	f.deliver(retry.Done, newCall("a", with(zoe)), newCall("b", with("+525587654321")), newCall("c", with(zoe)))
	if f.who("a") != contact || f.who("c") != contact || f.who("b") != lead {
		t.Errorf("Tasks %v", f.tasks())
	}
	if n := lookups(f); n != 1 {
		t.Errorf("%d lookups, want 1 for Contacts and Leads", n)
	}
	before := len(f.org.Requests())
	f.deliver(retry.Done, newCall("d", with(zoe)))
	if n := len(f.org.Requests()) - before; n != 1 || f.who("d") != contact {
		t.Errorf("%d requests for a call of somebody known, with %v", n, f.who("d"))
	}
}

func TestUnknownNumbersAreDeliveredWithoutAPerson(t *testing.T) {
	f := setup(t)
	for _, test := range []struct{ number, note string }{
		{zoe, "no contact has the number"},
		{"5512345678", "no valid number"}, {"+000000000000", "no valid number"}, {"+521234567890", "no valid number"}, {"", "no valid number"},
	} {
		c := newCall("n"+test.number, func(c *call.Call) { c.CustomerPhone = &call.Phone{Raw: test.number} })
		if out := f.deliver(retry.Done, c); !strings.Contains(out[0].Note, test.note) {
			t.Errorf("%s: note %q", test.number, out[0].Note)
		}
		if got := f.who("n" + test.number); got != nil {
			t.Errorf("%s: with %v", test.number, got)
		}
	}
}

func TestLegacyMexicanMobileIsTheSameNumber(t *testing.T) {
	f := setup(t)
	id := f.org.Add("Contact", map[string]any{phoneField: zoe, "LastName": "x"})
	f.deliver(retry.Done, newCall("a", with("+5215512345678")))
	if f.who("a") != id {
		t.Errorf("with %v", f.who("a"))
	}
}

func TestConvertedLeadStandsForItsContact(t *testing.T) {
	f := setup(t)
	contact := f.org.Add("Contact", map[string]any{"LastName": "x"})
	f.org.Add("Lead", map[string]any{phoneField: zoe, "LastName": "x", "IsConverted": true, "ConvertedContactId": contact})
	f.deliver(retry.Done, newCall("a", with(zoe)))
	if f.who("a") != contact {
		t.Errorf("with %v", f.who("a"))
	}
}

func TestDeletedContactIsMatchedAnew(t *testing.T) {
	f := setup(t)
	old := f.org.Add("Contact", map[string]any{phoneField: zoe, "LastName": "x"})
	f.deliver(retry.Done, newCall("a", with(zoe)))
	f.org.Delete("Contact", old)

	out := f.deliver(retry.Done, newCall("b", with(zoe)), newCall("other"))
	if f.who("b") != nil || !strings.Contains(out[0].Note, "no contact") {
		t.Errorf("with %v: %q", f.who("b"), out[0].Note)
	}
	if len(f.contacts.ids) != 0 {
		t.Errorf("the map still has %v", f.contacts.ids)
	}

	f.contacts.ids = map[string]string{zoe: old}
	fresh := f.org.Add("Contact", map[string]any{phoneField: zoe, "LastName": "x"})
	f.deliver(retry.Done, newCall("c", with(zoe)))
	if f.who("c") != fresh || f.contacts.ids[zoe] != fresh {
		t.Errorf("with %v, map %v", f.who("c"), f.contacts.ids)
	}
}

// The Contact is there, but the integration user may not use it: for a person to mend.
func TestContactOutOfReachIsARefusal(t *testing.T) {
	f := setup(t)
	f.org.Add("Contact", map[string]any{phoneField: zoe, "LastName": "x"})
	f.org.RowError = func(_ string, record map[string]any) *crmtest.SalesforceRow {
		if record["WhoId"] != nil {
			return &crmtest.SalesforceRow{Code: "INSUFFICIENT_ACCESS_OR_READONLY", Message: "insufficient access rights on object id"}
		}
		return nil
	}
	out := f.deliver(retry.Dead, newCall("a", with(zoe)))
	if !strings.Contains(out[0].Err.Error(), "insufficient access rights") {
		t.Errorf("error %v", out[0].Err)
	}
}

func TestMissingPeopleAreCreatedOnce(t *testing.T) {
	for _, kind := range []string{"Lead", "Contact"} {
		t.Run(kind, func(t *testing.T) {
			f := setup(t, func(c *Config) { c.CreateMissing, c.PhoneField = strings.ToLower(kind), "MobilePhone" })
			named := func(c *call.Call) {
				c.Customer = &call.Customer{Name: "Zoë O'Neill Ruiz", Email: "zoe@example.com"}
			}
			odd := func(c *call.Call) { c.Customer = &call.Customer{Name: "Zoë", Email: "none"} }
			f.deliver(retry.Done, newCall("a", with(zoe), named), newCall("b", with(zoe), named), newCall("c", with("+525587654321"), odd), newCall("d", with("+525511112222")))
			f.contacts.ids = nil
			f.deliver(retry.Done, newCall("e", with(zoe)))
			people := f.org.Objects(kind)
			if len(people) != 3 {
				t.Fatalf("%d created, want 3: %v", len(people), people)
			}
			slices.SortFunc(people, func(a, b map[string]any) int { return strings.Compare(a[phoneField].(string), b[phoneField].(string)) })
			unnamed, full, one := people[0], people[1], people[2]
			if full["FirstName"] != "Zoë" || full["LastName"] != "O'Neill Ruiz" || full["Email"] != "zoe@example.com" || full["MobilePhone"] != zoe || full["Phone"] != nil {
				t.Errorf("%v", full)
			}
			if one["LastName"] != "Zoë" || one["FirstName"] != nil || one["Email"] != nil || unnamed["LastName"] != "Unknown caller +525511112222" {
				t.Errorf("%v, %v", one, unnamed)
			}
			if kind == "Lead" && full["Company"] != "Unknown" {
				t.Errorf("%v", full)
			}
			if f.who("a") != full["Id"] || f.who("b") != full["Id"] || f.who("e") != full["Id"] {
				t.Errorf("Tasks %v", f.tasks())
			}
		})
	}
}

func TestRefusalToCreateSomebodyIsNoRefusalOfTheCall(t *testing.T) {
	for _, test := range []struct {
		code string
		want retry.Kind
	}{{"DUPLICATES_DETECTED", retry.Done}, {"FIELD_CUSTOM_VALIDATION_EXCEPTION", retry.Done}, {"UNABLE_TO_LOCK_ROW", retry.Again}, {"STORAGE_LIMIT_EXCEEDED", retry.Paused}} {
		t.Run(test.code, func(t *testing.T) {
			f := setup(t, func(c *Config) { c.CreateMissing = createLead })
			f.org.RowError = func(kind string, _ map[string]any) *crmtest.SalesforceRow {
				if kind == "Lead" {
					return &crmtest.SalesforceRow{Code: test.code, Message: "Use one of these records? +52 55 1234 5678"}
				}
				return nil
			}
			out := f.deliver(test.want, newCall("a", with(zoe)))
			if test.want == retry.Done && (!strings.Contains(out[0].Note, test.code) || strings.Contains(out[0].Note, "1234")) {
				t.Errorf("note %q", out[0].Note)
			}
		})
	}
}

func TestExistingPeopleAreFoundHoweverTheirNumberIsTyped(t *testing.T) {
	f := setup(t, func(c *Config) { c.MatchExisting = true })
	typed := map[string]string{}
	for i, phone := range []string{"5512345601", "+52 5512345602", "525512345603", "+5215512345604", "0052 5512345605"} {
		typed[fmt.Sprintf("+52551234560%d", i+1)] = f.org.Add("Contact", map[string]any{"LastName": "x", "Phone": phone})
	}
	f.org.Add("Contact", map[string]any{"LastName": "abroad", "Phone": "+1 5512345606"})
	var batch []*call.Call
	for n := range typed {
		batch = append(batch, newCall(n, with(n)))
	}
	f.deliver(retry.Done, append(batch, newCall("+525512345606", with("+525512345606")))...)
	for n, id := range typed {
		if f.who(n) != id {
			t.Errorf("%s is with %v, want %v", n, f.who(n), id)
		}
	}
	if who := f.who("+525512345606"); who != nil {
		t.Errorf("a number of another country was taken for this one: %v", who)
	}
	f.contacts.ids = nil // the number is their key by now
	before := len(f.sent("parameterizedSearch"))
	f.deliver(retry.Done, newCall("again", with("+525512345601")))
	if n := len(f.sent("parameterizedSearch")) - before; n != 0 || f.who("again") != typed["+525512345601"] {
		t.Errorf("%d searches, with %v", n, f.who("again"))
	}
}

func TestSeveralPeopleOfANumber(t *testing.T) {
	f := setup(t, func(c *Config) { c.MatchExisting = true })
	f.org.Add("Lead", map[string]any{"LastName": "x", "Phone": zoe, "CreatedDate": "2020-01-01T00:00:00.000+0000"})
	f.org.Add("Contact", map[string]any{"LastName": "x", "Phone": zoe, "CreatedDate": "2024-01-01T00:00:00.000+0000"})
	oldest := f.org.Add("Contact", map[string]any{"LastName": "x", "MobilePhone": zoe, "CreatedDate": "2022-01-01T00:00:00.000+0000", phoneField: "+525599999999"})
	out := f.deliver(retry.Done, newCall("a", with(zoe)))
	if f.who("a") != oldest || !strings.Contains(out[0].Note, "3 people have the number") {
		t.Errorf("with %v: %q", f.who("a"), out[0].Note)
	}
	for _, c := range f.org.Objects("Contact") {
		if c["Id"] == oldest && c[phoneField] != "+525599999999" {
			t.Errorf("the key of a person who had one was overwritten: %v", c)
		}
	}
}

func TestSearchesPerBatchAreBounded(t *testing.T) {
	f := setup(t, func(c *Config) { c.MatchExisting, c.MatchLimit = true, 3 })
	var batch []*call.Call
	for i := range 10 {
		n := fmt.Sprintf("+52551234561%d", i)
		batch = append(batch, newCall(n, with(n)))
	}
	out := f.deliver(retry.Done, batch...)
	if n := len(f.sent("parameterizedSearch")); n != 3 {
		t.Errorf("%d searches", n)
	}
	if !strings.Contains(out[9].Note, "match_limit") {
		t.Errorf("note %q", out[9].Note)
	}
}

func TestLeadTakesNoWhatID(t *testing.T) {
	f := setup(t)
	lead := f.org.Add("Lead", map[string]any{phoneField: zoe, "LastName": "x"})
	out := f.Deliver(t.Context(), []sink.Item{{Call: newCall("a", with(zoe)), Fields: map[string]any{"WhatId": "500000000000001AAA"}}})
	wantKind(t, out[0].Err, retry.Done)
	if task := f.tasks()["altur:mx:a"]; task["WhoId"] != lead || task["WhatId"] != nil || !strings.Contains(out[0].Note, "WhatId") {
		t.Errorf("%v: %q", task, out[0].Note)
	}
}

func TestMapOfContactsOutOfReachIsAnOutage(t *testing.T) {
	f := setup(t)
	f.contacts.fail = true
	f.deliver(retry.Paused, newCall("a", with(zoe)))
}

func TestLookupThatFailsFailsTheBatch(t *testing.T) {
	for _, test := range []struct {
		fault crmtest.SalesforceFault
		want  retry.Kind
	}{
		{crmtest.SalesforceFault{Status: 503}, retry.Paused}, {crmtest.SalesforceFault{Empty: true}, retry.Again}, {crmtest.SalesforceFault{Status: 400, Code: "X"}, retry.Paused},
	} {
		t.Run(fmt.Sprint(test.fault.Status), func(t *testing.T) {
			f := setup(t)
			if err := f.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			f.org.Add("Contact", map[string]any{phoneField: zoe, "LastName": "x"})
			test.fault.Path = "/composite"
			f.org.Fail(test.fault)
			f.deliver(test.want, newCall("a", with(zoe)))
			f.deliver(retry.Done, newCall("a", with(zoe)))
			if f.who("a") == nil {
				t.Error("a call that waited is with nobody")
			}
		})
	}
}

func TestPhoneKeyRemovedInMidRunCostsTheMatchOnly(t *testing.T) {
	f := setup(t)
	f.org.Add("Contact", map[string]any{phoneField: zoe, "LastName": "x"})
	f.deliver(retry.Done, newCall("a"))
	f.org.Field("Lead", phoneField, nil)
	f.deliver(retry.Paused, newCall("b", with(zoe)))
	f.deliver(retry.Done, newCall("b", with(zoe)))
	if f.who("b") == nil {
		t.Error("the Contact was not found")
	}
}

func TestRefusedSearchCostsTheMatchOnly(t *testing.T) {
	f := setup(t, func(c *Config) { c.MatchExisting = true })
	f.org.Fail(crmtest.SalesforceFault{Path: "parameterizedSearch", Status: 400, Code: "INVALID_SEARCH", Text: "no"})
	if out := f.deliver(retry.Done, newCall("a", with(zoe))); !strings.Contains(out[0].Note, "INVALID_SEARCH") {
		t.Errorf("note %q", out[0].Note)
	}
}

func named(c *call.Call) {
	c.Customer = &call.Customer{Name: "Zoë Quispe Ruiz", Email: "zoe@example.com"}
}

// Only a person that onhook itself had made had a name and an address.
func TestEmptyFieldsOfAPersonAreFilledAndNothingIsOverwritten(t *testing.T) {
	const email, first = "old@example.com", "Zoila"
	for _, test := range []struct {
		name   string
		kind   string
		has    map[string]any
		change func(*Config)
		want   map[string]any // of what it has afterwards
		writes int
	}{
		{name: "all but a last name is empty", kind: "Contact", has: map[string]any{phoneField: zoe, "LastName": "x"},
			want: map[string]any{"FirstName": "Zoë", "LastName": "x", "Email": "zoe@example.com", "Phone": zoe}, writes: 1},
		{name: "a Lead", kind: "Lead", has: map[string]any{phoneField: zoe, "LastName": "x", "Email": email},
			want: map[string]any{"FirstName": "Zoë", "LastName": "x", "Email": email, "Phone": zoe}, writes: 1},
		{name: "nothing is empty", kind: "Contact", has: map[string]any{phoneField: zoe, "FirstName": first, "LastName": "x", "Email": email, "Phone": "1"},
			want: map[string]any{"FirstName": first, "LastName": "x", "Email": email, "Phone": "1"}},
		{name: "the number is in another field", kind: "Contact", has: map[string]any{phoneField: zoe, "FirstName": first, "LastName": "x", "Email": email, "MobilePhone": "55 1234 5678"},
			want: map[string]any{"Phone": nil, "MobilePhone": "55 1234 5678"}},
		{name: "mobile numbers", kind: "Contact", has: map[string]any{phoneField: zoe, "FirstName": first, "LastName": "x", "Email": email},
			change: func(c *Config) { c.PhoneField = "MobilePhone" }, want: map[string]any{"Phone": nil, "MobilePhone": zoe}, writes: 1},
		{name: "found by a search", kind: "Contact", has: map[string]any{"LastName": "x", "Phone": zoe, "Email": email},
			change: func(c *Config) { c.MatchExisting = true },
			want:   map[string]any{phoneField: zoe, "FirstName": "Zoë", "LastName": "x", "Email": email, "Phone": zoe}, writes: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			var change []func(*Config)
			if test.change != nil {
				change = append(change, test.change)
			}
			f := setup(t, change...)
			id := f.org.Add(test.kind, test.has)
			out := f.deliver(retry.Done, newCall("a", with(zoe), named))
			if f.who("a") != id || out[0].Note != "" {
				t.Errorf("with %v: %q", f.who("a"), out[0].Note)
			}
			people := f.org.Objects(test.kind)
			for name, want := range test.want {
				if got := people[0][name]; got != want {
					t.Errorf("%s is %v, want %v", name, got, want)
				}
			}
			if n := fills(f); n != test.writes || lookups(f) != 1 {
				t.Errorf("%d writes to people, want %d; %d lookups", n, test.writes, lookups(f))
			}
			f.deliver(retry.Done, newCall("b", with(zoe), named))
			if n := fills(f); n != test.writes || lookups(f) != 1 {
				t.Errorf("%d writes and %d lookups after a call of somebody known", n, lookups(f))
			}
		})
	}
}

func fills(f *fixture) int {
	n := 0
	for _, r := range f.org.Requests() {
		if strings.HasSuffix(r.Path, "composite/sobjects") {
			n++
		}
	}
	return n
}

func TestTheEmptyFieldsOfABatchAreFilledInOneRequest(t *testing.T) {
	f := setup(t, func(c *Config) { c.MatchExisting = true })
	var batch []*call.Call
	for i := range 100 {
		n := fmt.Sprintf("+5255123457%02d", i)
		f.org.Add([]string{"Contact", "Lead"}[i%2], map[string]any{phoneField: n, "LastName": "x"})
		batch = append(batch, newCall(n, with(n), named))
	}
	twice := f.org.Add("Contact", map[string]any{"LastName": "x", "Phone": "+525587654321", "MobilePhone": zoe}) // of two numbers
	f.deliver(retry.Done, append(batch, newCall("x", with(zoe), named), newCall("y", with("+525587654321"), named))...)
	if n := fills(f); n != 1 || f.who("x") != twice || f.who("y") != twice {
		t.Errorf("%d writes, with %v and %v", n, f.who("x"), f.who("y"))
	}
	for _, kind := range []string{"Contact", "Lead"} {
		for _, p := range f.org.Objects(kind) {
			if p["FirstName"] != "Zoë" || p["Email"] != "zoe@example.com" || p[phoneField] == nil {
				t.Errorf("%v", p)
			}
		}
	}
}

func TestAPersonThatCannotBeFilledInCostsNoCall(t *testing.T) {
	for _, test := range []struct {
		name  string
		row   string // the code of the row's error, or else
		fault crmtest.SalesforceFault
		again bool // whether the next call's batch tries once more
	}{
		{name: "refused", row: "FIELD_CUSTOM_VALIDATION_EXCEPTION"},
		{name: "locked", row: "UNABLE_TO_LOCK_ROW", again: true},
		{name: "request refused", fault: crmtest.SalesforceFault{Status: 400, Code: "INVALID_FIELD", Text: "No such column 'Email': zoe@example.com Quispe"}, again: true},
		{name: "crashed", fault: crmtest.SalesforceFault{Status: 500, Code: "UNKNOWN_EXCEPTION", Text: "Quispe"}, again: true},
		{name: "empty", fault: crmtest.SalesforceFault{Empty: true}, again: true},
		{name: "short", fault: crmtest.SalesforceFault{Short: 1}, again: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := setup(t)
			id := f.org.Add("Contact", map[string]any{phoneField: zoe, "LastName": "x"})
			f.deliver(retry.Done, newCall("first"))
			if test.row != "" {
				f.org.RowError = func(kind string, _ map[string]any) *crmtest.SalesforceRow {
					if kind == "Contact" {
						return &crmtest.SalesforceRow{Code: test.row, Message: "Zoë Quispe Ruiz <zoe@example.com> is not welcome"}
					}
					return nil
				}
			} else {
				test.fault.Path = "composite/sobjects"
				f.org.Fail(test.fault)
			}
			out := f.deliver(retry.Done, newCall("a", with(zoe), named))
			if note := out[0].Note; f.who("a") != id || !strings.Contains(note, "contact") || strings.Contains(note, "Quispe") || strings.Contains(note, "zoe@") {
				t.Errorf("with %v: %q", f.who("a"), note)
			}
			f.org.RowError = nil
			f.deliver(retry.Done, newCall("b", with(zoe), named))
			if filled := f.org.Objects("Contact")[0]["FirstName"] == "Zoë"; filled != test.again {
				t.Errorf("filled in for the next call: %t", filled)
			}
		})
	}
	f := setup(t)
	f.org.Add("Contact", map[string]any{phoneField: zoe, "LastName": "x"})
	f.deliver(retry.Done, newCall("first"))
	f.org.Fail(crmtest.SalesforceFault{Path: "composite/sobjects", Status: 503})
	f.deliver(retry.Paused, newCall("a", with(zoe), named))
}
