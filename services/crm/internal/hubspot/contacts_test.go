package hubspot_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/services/crm/internal/crmtest"
	"github.com/onhook/onhook/services/crm/internal/hubspot"
	"github.com/onhook/onhook/services/crm/internal/sink"
)

// of is a batch of one call with a customer's number.
func of(number string) []sink.Item {
	it := item(0)
	it.Call.CustomerPhone = &call.Phone{E164: number, Raw: number}
	return []sink.Item{it}
}

// TestExistingContactIsFoundByItsNumber: HubSpot's search compares less than the number; here the whole of it counts.
func TestExistingContactIsFoundByItsNumber(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		number string
		stored map[string]string
		key    string // that the contact is given; empty: it is not the one
	}{
		{"+525512345678", map[string]string{"phone": "+525512345678"}, "+525512345678"},
		{"+525512345678", map[string]string{"phone": "(55) 1234-5678"}, "+525512345678"},
		{"+525512345678", map[string]string{"mobilephone": "55 1234 5678"}, "+525512345678"},
		{"+525512345678", map[string]string{"phone": "+52 1 55 1234 5678"}, "+525512345678"},
		{"+5215512345678", map[string]string{"phone": "5512345678"}, "+525512345678"},
		{"+525512345678", map[string]string{"phone": "+1 551 234 5678"}, ""},
		{"+525512345678", map[string]string{"phone": "33 1234 5678"}, ""},
		{"+442071838750", map[string]string{"phone": "020 7183 8750"}, "+442071838750"},
		{"+442071838750", map[string]string{"phone": "0044 20 7183 8750"}, "+442071838750"},
		{"+525512345678", map[string]string{"phone": "512345678"}, ""},
		{"+525512345678", map[string]string{"phone": "call her office"}, ""},
	} {
		f := newFixture(t)
		id := f.contact(test.stored)
		results := f.client().Deliver(t.Context(), of(test.number))
		f.delivered(results)
		var want []string
		if test.key != "" {
			want = []string{id}
		}
		if got := f.account.ContactsOf(results[0].VendorID); !slices.Equal(got, want) {
			t.Errorf("%s and %v: the call has contacts %v, want %v", test.number, test.stored, got, want)
		}
		if test.key == "" && results[0].Note != "without a contact: none has its number" {
			t.Errorf("%s and %v: note %q", test.number, test.stored, results[0].Note)
		}
		if got := f.account.Objects("contacts")[0].Properties["onhook_phone_key"]; got != test.key {
			t.Errorf("%s and %v: key %q, want %q", test.number, test.stored, got, test.key)
		}
	}
}

func TestOldestOfSeveralContactsIsTaken(t *testing.T) {
	f := setup(t)
	for _, year := range []int{2024, 2021, 2023} {
		f.account.Add("contacts", time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC), map[string]string{"phone": phone(0), "lastname": fmt.Sprint(year)})
	}
	results := f.client().Deliver(t.Context(), items(1))
	f.delivered(results)
	oldest := f.account.Objects("contacts")[1]
	if got := f.account.ContactsOf(results[0].VendorID); !slices.Equal(got, []string{oldest.ID}) || !strings.Contains(results[0].Note, "several contacts") {
		t.Errorf("contacts %v, note %q", got, results[0].Note)
	}
}

// TestSearchOfManyPages: a number that hundreds of contacts end with is found behind them.
func TestSearchOfManyPages(t *testing.T) {
	f := setup(t)
	for i := range 450 {
		f.contact(map[string]string{"phone": fmt.Sprintf("%03d 123 0000", 100+i)})
	}
	id := f.contact(map[string]string{"phone": phone(0)})
	results := f.client().Deliver(t.Context(), items(1))
	f.delivered(results)
	if got := f.account.ContactsOf(results[0].VendorID); !slices.Equal(got, []string{id}) {
		t.Errorf("contacts %v", got)
	}
}

func TestCallWithoutACallableNumberHasNoContact(t *testing.T) {
	t.Parallel()
	for _, number := range []string{"", "+000000000000", "+521234567890", "+15005550"} {
		f := newFixture(t)
		f.cfg.CreateMissing = "contact"
		results := f.client().Deliver(t.Context(), of(number))
		f.delivered(results)
		if n := f.account.Requests(""); n != 1 || !strings.Contains(results[0].Note, "without a contact") {
			t.Errorf("%q: %d requests, note %q", number, n, results[0].Note)
		}
	}
}

func TestContactIsCreatedOnlyWhereConfigured(t *testing.T) {
	t.Parallel()
	for _, create := range []string{"none", "contact"} {
		f := newFixture(t)
		f.cfg.CreateMissing = create
		results := f.client().Deliver(t.Context(), items(1))
		f.delivered(results)
		got := f.account.Objects("contacts")
		if create == "none" {
			if len(got) != 0 {
				t.Errorf("%+v", got)
			}
			continue
		}
		want := map[string]string{"onhook_phone_key": phone(0), "phone": phone(0), "email": "zoila0@example.com", "firstname": "Zoila0", "lastname": "Quispe Mamani"}
		if len(got) != 1 || !maps.Equal(got[0].Properties, want) || got[0].Writes != 1 {
			t.Errorf("%+v, want %v", got, want)
		}
		if ids := f.account.ContactsOf(results[0].VendorID); !slices.Equal(ids, []string{got[0].ID}) {
			t.Errorf("the call has contacts %v", ids)
		}
	}
}

// TestContactThatHasTheAddressIsAdopted: HubSpot refuses a second contact with an e-mail address and names the first.
func TestContactThatHasTheAddressIsAdopted(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", "+525500000001"} { // it may be another number's already, and stays it
		f := newFixture(t)
		f.cfg.CreateMissing = "contact"
		properties := map[string]string{"email": "zoila3@example.com", "firstname": "Zoila"}
		if key != "" {
			properties["onhook_phone_key"] = key
		}
		id := f.contact(properties)
		results := f.client().Deliver(t.Context(), items(6))
		f.delivered(results)
		if got := f.account.ContactsOf(results[3].VendorID); !slices.Equal(got, []string{id}) {
			t.Errorf("the call has contacts %v, want %s", got, id)
		}
		want := key
		if key == "" {
			want = phone(3)
		}
		if c := f.account.Objects("contacts")[0].Properties; c["onhook_phone_key"] != want || c["firstname"] != "Zoila" {
			t.Errorf("%v", c)
		}
		if n := len(f.account.Objects("contacts")); n != 6 {
			t.Errorf("%d contacts", n)
		}
	}
}

func TestContactFieldsAreFilledOrOverwritten(t *testing.T) {
	f := setup(t)
	f.account.AddProperty("contacts", crmtest.HubSpotProperty{Name: "promise"})
	f.cfg.ContactFields = maps.Clone(f.cfg.ContactFields)
	f.cfg.ContactFields["promise"] = hubspot.ContactField{From: "extracted.Payment Amount", Mode: "overwrite"}
	f.contact(map[string]string{"phone": phone(0), "firstname": "Zoë", "promise": "1"})
	batch := items(1)
	c := f.client()
	for _, amount := range []string{"100", "200"} {
		batch[0].Call.Extracted = extracted("Payment Amount", amount)
		f.delivered(c.Deliver(t.Context(), batch))
		want := map[string]string{"onhook_phone_key": phone(0), "phone": phone(0), "firstname": "Zoë", "lastname": "Quispe Mamani", "email": "zoila0@example.com", "promise": amount}
		if got := f.account.Objects("contacts")[0].Properties; !maps.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	}
	if n := f.account.Requests(""); n != 5+3 {
		t.Errorf("%d requests", n)
	}
}

// TestContactThatIsGone: what memory says of it is forgotten, and the next attempt looks it up.
func TestContactThatIsGone(t *testing.T) {
	f := setup(t)
	id := f.contact(map[string]string{"phone": phone(1)})
	f.memory.ids[phone(0)] = "999999"
	f.memory.ids[phone(1)] = id
	c := f.client()
	results := c.Deliver(t.Context(), items(2))
	if got := kinds(results[:1]); got[retry.Again] != 1 {
		t.Errorf("%+v", results[0])
	}
	f.delivered(results[1:])
	results = c.Deliver(t.Context(), items(2))
	f.delivered(results)
	if results[0].Note != "without a contact: none has its number" {
		t.Errorf("note %q", results[0].Note)
	}
	f.wantCalls(keys(items(2))...)
}

// TestAssociationThatIsRefusedIsSaid: the call is there, and whoever reads of it learns what is missing.
func TestAssociationThatIsRefusedIsSaid(t *testing.T) {
	f := setup(t)
	f.contact(map[string]string{"onhook_phone_key": phone(0), "phone": phone(0)})
	f.account.Fault("associations", 1, crmtest.HubSpotAnswers(400, "VALIDATION_ERROR", "not these two"))
	results := f.client().Deliver(t.Context(), items(1))
	f.delivered(results)
	if got := results[0].Note; !strings.HasPrefix(got, "delivered without association: ") || !strings.Contains(got, "VALIDATION_ERROR") {
		t.Errorf("note %q", got)
	}
}

func TestAssociationThatFailsForNowIsTriedAgain(t *testing.T) {
	f := setup(t)
	id := f.contact(map[string]string{"onhook_phone_key": phone(0), "phone": phone(0)})
	f.account.Fault("associations", 1, crmtest.HubSpotEmpty())
	c := f.client()
	results := c.Deliver(t.Context(), items(1))
	if got := kinds(results); got[retry.Again] != 1 {
		t.Errorf("%+v", results)
	}
	results = c.Deliver(t.Context(), items(1))
	f.delivered(results)
	if got := f.account.ContactsOf(results[0].VendorID); !slices.Equal(got, []string{id}) {
		t.Errorf("contacts %v", got)
	}
	f.wantCalls(keys(items(1))...)
}

// TestContactThatIsRefusedDoesNotHoldItsCall: one that HubSpot will not have is said in the note.
func TestContactThatIsRefusedDoesNotHoldItsCall(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"contacts/batch/upsert", "contacts/batch/read", "contacts/search", "contacts/batch/update"} {
		f := newFixture(t)
		f.cfg.CreateMissing = "contact"
		if path == "contacts/batch/update" {
			f.contact(map[string]string{"phone": phone(0)})
		}
		f.account.Fault(path, 1, crmtest.HubSpotAnswers(400, "VALIDATION_ERROR", "no"))
		results := f.client().Deliver(t.Context(), items(1))
		f.delivered(results)
		if !strings.Contains(results[0].Note, "VALIDATION_ERROR") {
			t.Errorf("%s: note %q", path, results[0].Note)
		}
	}
}
