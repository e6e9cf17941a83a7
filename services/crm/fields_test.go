package crm_test

import (
	"strings"
	"testing"
)

// A name that the vendor takes for no field passed the check, and then every call died of it, or it was dropped without a word.
func TestFieldThatTheVendorCannotHaveIsRefusedByCheck(t *testing.T) {
	t.Parallel()
	sinks := map[string]string{
		"hubspot":    "token: pat-1",
		"salesforce": "url: 'https://acme.my.salesforce.com', client_id: id, client_secret: pa55word",
		"webhook":    "url: 'https://example.com/hook', secrets: [" + secret + "]",
	}
	for _, tt := range []struct{ kind, field, want string }{
		{"hubspot", "promise_date", ""},
		{"hubspot", "hs_timestamp", ""},
		{"hubspot", "onhook_key", "onhook_key is set by onhook"},
		{"hubspot", "Promise", "want the internal name"},
		{"hubspot", "no such name", "want the internal name"},
		{"salesforce", "Promise_Date__c", ""},
		{"salesforce", "ns__Promise__c", ""},
		{"salesforce", "WhoId", ""},
		{"salesforce", "Subject", ""},
		{"salesforce", "whoid", "write it WhoId"},
		{"salesforce", "SUBJECT", "write it Subject"},
		{"salesforce", "Onhook_Key__c", "Onhook_Key__c is set by onhook"},
		{"salesforce", "onhook_key__C", "onhook_key__C is set by onhook"},
		{"salesforce", "id", "id is set by onhook"},
		{"salesforce", "attributes", "attributes is set by onhook"},
		{"salesforce", "no such name", "want the API name"},
		{"salesforce", "Who.Name", "want the API name"},
		{"webhook", "any name", ""},
	} {
		_, err := parse("  a: {kind: " + tt.kind + ", fields: {'" + tt.field + "': call.status}, " + sinks[tt.kind] + "}\n")
		switch {
		case err == nil && tt.want == "":
		case err == nil || tt.want == "" || !strings.Contains(err.Error(), "crm.a.fields."+tt.field+": "+tt.want):
			t.Errorf("%s %s: %v, want %q", tt.kind, tt.field, err, tt.want)
		}
	}
}

// Salesforce was sent one field with two values, and kept either.
func TestOneFieldOfSalesforceInTwoSpellingsIsRefusedByCheck(t *testing.T) {
	t.Parallel()
	const twice = "fields: {Promise__c: call.status, promise__C: call.status}, "
	_, err := parse("  a: {kind: salesforce, " + twice + "url: 'https://acme.my.salesforce.com', client_id: id, client_secret: pa55word}\n")
	if err == nil || !strings.Contains(err.Error(), "crm.a.fields.promise__C: it is the same field of salesforce as Promise__c") {
		t.Errorf("%v", err)
	}
	if _, err := parse("  a: {kind: webhook, " + twice + "url: 'https://example.com/hook', secrets: [" + secret + "]}\n"); err != nil {
		t.Errorf("a webhook tells one from the other: %v", err)
	}
}
