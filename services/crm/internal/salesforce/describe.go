package salesforce

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/onhook/onhook/pkg/retry"
)

// The fields that onhook needs of its own.
const (
	keyField   = "Onhook_Key__c"       // of Activity, and so of Task: the call's key
	phoneField = "Onhook_Phone_Key__c" // of Contact and Lead: their number in E.164
)

// object is what Salesforce says of one kind of record, as the integration user sees it.
type object struct {
	name       string
	createable bool
	fields     map[string]field
}

type field struct {
	Name          string  `json:"name"`
	Type          string  `json:"type"`
	Length        int     `json:"length"`
	Createable    bool    `json:"createable"`
	Updateable    bool    `json:"updateable"`
	ExternalID    bool    `json:"externalId"`
	IDLookup      bool    `json:"idLookup"`
	Unique        bool    `json:"unique"`
	CaseSensitive bool    `json:"caseSensitive"`
	Values        []value `json:"picklistValues"`
}

type value struct {
	Value  string `json:"value"`
	Active bool   `json:"active"`
}

// takes reports whether a value can be chosen. A field that lists none takes any.
func (f field) takes(v string) bool {
	return len(f.Values) == 0 || slices.Contains(f.Values, value{v, true})
}

// createOnly reports whether a field can be given to a new record and not to one that is there.
func (f field) createOnly() bool { return f.Createable && !f.Updateable }

// schema is what an org can hold of a call.
type schema struct {
	task          *object
	contact, lead *object // nil where its records cannot be matched: no key field, or not for this user
	zone          *time.Location
}

// describe asks for one kind of record.
func (c *client) describe(ctx context.Context, name string) (*object, error) {
	var answer struct {
		Createable bool    `json:"createable"`
		Fields     []field `json:"fields"`
	}
	if err := c.do(ctx, http.MethodGet, c.path("sobjects/"+name+"/describe"), nil, &answer); err != nil {
		return nil, err
	}
	o := &object{name: name, createable: answer.Createable, fields: map[string]field{}}
	for _, f := range answer.Fields {
		o.fields[f.Name] = f
	}
	return o, nil
}

// learn asks what the org has, and says all that a person must change before it can take calls.
func (s *Sink) learn(ctx context.Context) (*schema, error) {
	task, err := s.client.describe(ctx, "Task")
	if err != nil {
		return nil, err
	}
	errs := []error{task.checkKey(keyField, "Activity", 255, true), s.checkTask(task)}
	out := &schema{task: task}
	for _, person := range []struct {
		name, create string
		into         **object
	}{{"Contact", createContact, &out.contact}, {"Lead", createLead, &out.lead}} {
		wanted := s.cfg.CreateMissing == person.create
		o, err := s.client.describe(ctx, person.name)
		if no, ok := errors.AsType[*refusal](err); ok && no.status == http.StatusNotFound {
			if wanted {
				errs = append(errs, fmt.Errorf("the integration user sees no %s; give it read and create access, or set create_missing: none", person.name))
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		problem := o.checkKey(phoneField, person.name, 40, false)
		if wanted && !o.createable {
			problem = errors.Join(problem, fmt.Errorf("the integration user may not create a %s; give it that, or set create_missing: none", person.name))
		}
		switch {
		case problem == nil:
			*person.into = o
		case wanted:
			errs = append(errs, problem)
		}
	}
	out.zone, err = s.zone(ctx)
	if kind, _ := retry.Classify(err); kind == retry.Paused {
		return nil, err
	}
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	return out, nil
}

// checkKey says why a field cannot be what records are found by.
func (o *object) checkKey(name, on string, length int, caseSensitive bool) error {
	f, ok := o.fields[name]
	if !ok {
		return fmt.Errorf("%s has no field %s that the integration user can see: create it on %s as %s, and give the user edit access to it",
			o.name, name, on, keyType(length, caseSensitive))
	}
	var wrong []string
	for _, want := range []struct {
		ok   bool
		what string
	}{
		{f.ExternalID && f.IDLookup, "an External ID"},
		{f.Unique, "unique"},
		{f.CaseSensitive || !caseSensitive, "case sensitive, or calls whose ids differ in case overwrite each other"},
		{f.Createable && f.Updateable, "editable by the integration user"},
	} {
		if !want.ok {
			wrong = append(wrong, want.what)
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("the field %s of %s must be %s; it should be %s", name, on, strings.Join(wrong, ", and "), keyType(length, caseSensitive))
	}
	return nil
}

func keyType(length int, caseSensitive bool) string {
	kind := fmt.Sprintf("Text(%d), External ID, Unique", length)
	if caseSensitive {
		kind += ", case sensitive"
	}
	return kind
}

// checkTask says what of the configuration the org's Task does not take.
func (s *Sink) checkTask(task *object) error {
	var errs []error
	if !task.createable {
		errs = append(errs, errors.New("the integration user may not create Tasks; give it the permission Edit Tasks and access to Task"))
	}
	for _, set := range []struct{ key, field, value string }{{"status", "Status", s.cfg.Status}, {"priority", "Priority", s.cfg.Priority}} {
		if f, ok := task.fields[set.field]; ok && !f.takes(set.value) {
			var have []string
			for _, v := range f.Values {
				if v.Active {
					have = append(have, v.Value)
				}
			}
			errs = append(errs, fmt.Errorf("%s: Task.%s has no value %q; it has %q", set.key, set.field, set.value, have))
		}
	}
	return errors.Join(errs...)
}

// zone is where the day of a call is reckoned: as configured, or the org's own.
func (s *Sink) zone(ctx context.Context) (*time.Location, error) {
	if s.cfg.Timezone != "" {
		return time.LoadLocation(s.cfg.Timezone)
	}
	var answer struct {
		Records []struct {
			Zone string `json:"TimeZoneSidKey"`
		} `json:"records"`
	}
	query := url.Values{"q": {"SELECT TimeZoneSidKey FROM Organization LIMIT 1"}}
	err := s.client.do(ctx, http.MethodGet, s.client.path("query")+"?"+query.Encode(), nil, &answer)
	if kind, _ := retry.Classify(err); kind == retry.Paused {
		return nil, err
	}
	if err == nil && len(answer.Records) == 1 && answer.Records[0].Zone != "" {
		if zone, err := time.LoadLocation(answer.Records[0].Zone); err == nil {
			return zone, nil
		}
	}
	return nil, errors.New("timezone: the org does not say its own; set it to the IANA name of the zone that the users' days are in")
}
