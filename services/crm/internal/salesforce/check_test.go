package salesforce

import (
	"strings"
	"testing"

	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/services/crm/internal/crmtest"
)

func TestCheckSaysWhatToCreate(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*crmtest.Salesforce)
		config func(*Config)
		want   []string // all of them in the error; none means no error
	}{
		{name: "ready"},
		{name: "no key", change: func(o *crmtest.Salesforce) { o.Field("Task", keyField, nil) },
			want: []string{"no field Onhook_Key__c", "create it on Activity as Text(255), External ID, Unique, case sensitive"}},
		{name: "plain text key", change: func(o *crmtest.Salesforce) {
			o.Field("Task", keyField, func(f *crmtest.SalesforceField) {
				f.ExternalID, f.Unique, f.CaseSensitive = false, false, false
			})
		}, want: []string{"an External ID", "unique", "case sensitive"}},
		{name: "not looked up", change: func(o *crmtest.Salesforce) {
			o.Field("Task", keyField, func(f *crmtest.SalesforceField) { f.IDLookup = false })
		}, want: []string{"an External ID"}},
		{name: "key is read only", change: func(o *crmtest.Salesforce) {
			o.Field("Task", keyField, func(f *crmtest.SalesforceField) { f.Updateable = false })
		}, want: []string{"editable by the integration user"}},
		{name: "status", config: func(c *Config) { c.Status = "Erledigt" }, want: []string{`Task.Status has no value "Erledigt"`, `"Completed"`}},
		{name: "priority", config: func(c *Config) { c.Priority = "Urgent" }, want: []string{`Task.Priority has no value "Urgent"`}},
		{name: "all at once", config: func(c *Config) { c.Priority, c.Status = "Urgent", "x" },
			change: func(o *crmtest.Salesforce) { o.Field("Task", keyField, nil) }, want: []string{"Onhook_Key__c", "Task.Priority", "Task.Status"}},
		{name: "no phone key, not needed", change: func(o *crmtest.Salesforce) {
			o.Field("Contact", phoneField, nil)
			o.Field("Lead", phoneField, nil)
		}},
		{name: "no phone key for leads to be created", change: func(o *crmtest.Salesforce) { o.Field("Lead", phoneField, nil) },
			config: func(c *Config) { c.CreateMissing = createLead }, want: []string{"Lead has no field Onhook_Phone_Key__c", "Text(40)"}},
		{name: "no Leads", change: func(o *crmtest.Salesforce) { o.Hide("Lead") }},
		{name: "no Leads to create", change: func(o *crmtest.Salesforce) { o.Hide("Lead") }, config: func(c *Config) { c.CreateMissing = createLead },
			want: []string{"sees no Lead"}},
		{name: "zone unknown", change: func(o *crmtest.Salesforce) { o.Zone = "Mars/Olympus" }, want: []string{"timezone: "}},
		{name: "zone given", change: func(o *crmtest.Salesforce) { o.Zone = "" }, config: func(c *Config) { c.Timezone = "Europe/Berlin" }},
	} {
		t.Run(test.name, func(t *testing.T) {
			var change []func(*Config)
			if test.config != nil {
				change = append(change, test.config)
			}
			f := setup(t, change...)
			if test.change != nil {
				test.change(f.org)
			}
			err := f.Check(t.Context())
			if len(test.want) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				f.deliver(retry.Done, newCall("a", with(zoe)))
				return
			}
			wantKind(t, err, retry.Again) // a fault of the org's making, not of the moment
			for _, words := range test.want {
				if err != nil && !strings.Contains(err.Error(), words) {
					t.Errorf("%q is not in: %v", words, err)
				}
			}
			f.deliver(retry.Paused, newCall("a")) // in mid-run it costs no call
		})
	}
}

func TestCheckWithoutAnAnswerIsAnOutage(t *testing.T) {
	for name, fault := range map[string]crmtest.SalesforceFault{"503": {Status: 503}, "cut": {Cut: true}, "the zone's query": {Path: "/query", Status: 503}} {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			fault.Times = -1 // net/http itself tries a GET again
			f.org.Fail(fault)
			wantKind(t, f.Check(t.Context()), retry.Paused)
			f.org.Recover()
			wantKind(t, f.Check(t.Context()), retry.Done)
		})
	}
}

// Orgs without the call fields of Task, or with picklists of their own, still take calls.
func TestFieldsThatAreNotThereGoToDescription(t *testing.T) {
	f := setup(t)
	for _, name := range []string{"CallDurationInSeconds", "CallDisposition", "CallObject"} {
		f.org.Field("Task", name, nil)
	}
	f.org.Field("Task", "TaskSubtype", nil)
	f.org.Field("Task", "CallType", func(f *crmtest.SalesforceField) { f.Values = []map[string]any{{"value": "Outbound", "active": false}} })
	f.org.Field("Task", "Subject", func(f *crmtest.SalesforceField) { f.Length = 10 })
	f.deliver(retry.Done, newCall("a"))
	task := f.tasks()["altur:mx:a"]
	if task["Description"] != "Direction: Outbound\nDuration in seconds: 62\nResult: Completed\nCall id: a" || task["Subject"] != "Sofía – Ou" {
		t.Errorf("%q", task)
	}
}

func TestSetupSaysWhatIsLeftToDo(t *testing.T) {
	f := setup(t)
	todo := func(wantErr bool) string {
		t.Helper()
		f.forget()
		done, todo, err := f.Setup(t.Context())
		if len(done) != 0 || (err != nil) != wantErr {
			t.Errorf("done %q, error %v", done, err)
		}
		return strings.Join(todo, "\n")
	}
	if got := todo(false); got != "" {
		t.Errorf("an org with everything has to do: %s", got)
	}
	f.org.Field("Task", "CallType", nil)
	f.org.Field("Contact", phoneField, nil)
	if got := todo(false); !strings.Contains(got, `["CallType"]`) || !strings.Contains(got, "optional: to match a Contact") || strings.Contains(got, "match a Lead") {
		t.Error(got)
	}
	f.org.Field("Task", keyField, nil)
	if got := todo(false); !strings.Contains(got, "Task has no field Onhook_Key__c") || !strings.Contains(got, "External Client App") {
		t.Error(got)
	}
	f.org.ClientSecret = "another"
	f.org.ExpireTokens()
	if got := todo(true); !strings.Contains(got, "External Client App") {
		t.Error(got)
	}
}
