package salesforce

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/mail"
	"slices"
	"strings"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/services/crm/internal/phone"
)

// phoneFields are where people keep numbers; MobilePhone and the rest are not on every object.
var phoneFields = []string{"Phone", "MobilePhone", "HomePhone", "OtherPhone"}

// record is a Lead or Contact as Salesforce answers it.
type record map[string]any

// text is a field's, where it is one and not empty.
func (r record) text(name string) string { s, _ := r[name].(string); return s }

// details are what the call says of its customer, by field.
func (d *delivery) details(number string, c *call.Call) map[string]string {
	out := map[string]string{d.cfg.PhoneField: number}
	if c.Customer == nil {
		return out
	}
	first, last, _ := strings.Cut(clean(c.Customer.Name), " ")
	if last = strings.TrimSpace(last); last == "" { // Salesforce asks for a last name alone
		first, last = "", first
	}
	out["FirstName"], out["LastName"] = first, last
	email := clean(c.Customer.Email)
	if a, err := mail.ParseAddress(email); err == nil && a.Address == email {
		out["Email"] = email
	}
	return out
}

// newcomer is the Lead or Contact for a number that nobody has.
func (d *delivery) newcomer(kind string, as *object, number string, c *call.Call) map[string]any {
	out := map[string]any{"attributes": map[string]string{"type": kind}, phoneField: number}
	values := d.details(number, c)
	values["LastName"] = cmp.Or(values["LastName"], "Unknown caller "+number)
	if kind == "Lead" {
		values["Company"] = d.cfg.Company
	}
	for name, text := range values {
		if f := as.fields[name]; f.Createable && text != "" {
			out[name] = cut(text, cmp.Or(f.Length, maxText))
		}
	}
	return out
}

// lacking is what the call says of a person whose record is there, where the record has nothing. A telephone number that it
// has in any of its fields is not written to another.
func (d *delivery) lacking(o *object, has record, number string, c *call.Call) map[string]any {
	out := map[string]any{}
	known := slices.ContainsFunc(o.phones(), func(name string) bool { return phone.Same(has.text(name), number) })
	for name, text := range d.details(number, c) {
		f := o.fields[name]
		if !f.Updateable || text == "" || has[name] != nil && has[name] != "" || name == d.cfg.PhoneField && known {
			continue
		}
		out[name] = cut(text, cmp.Or(f.Length, maxText))
	}
	return out
}

// fill gives people what their records lack. What is refused costs no call.
func (d *delivery) fill(ctx context.Context, calls map[string]*call.Call, people map[string]person) error {
	seen := map[string]bool{} // by the record's id
	var numbers []string
	for _, number := range slices.Sorted(maps.Keys(calls)) {
		p := people[number]
		if p.id == "" || len(p.lacks) == 0 || seen[p.id] { // of two numbers of one person, Salesforce takes the record once
			continue
		}
		seen[p.id] = true
		numbers = append(numbers, number)
	}
	slices.SortStableFunc(numbers, func(a, b string) int { return strings.Compare(people[a].id, people[b].id) }) // Contacts, then Leads
	for some := range slices.Chunk(numbers, maxRecords) {
		var records []map[string]any
		var hide []string
		for _, number := range some {
			p := people[number]
			kind := "Contact"
			if strings.HasPrefix(p.id, leadPrefix) {
				kind = "Lead"
			}
			out := maps.Clone(p.lacks)
			out["attributes"], out["id"] = map[string]string{"type": kind}, p.id
			records, hide = append(records, out), append(hide, hidden(calls[number], out, nil)...)
		}
		var results []rowResult
		body := map[string]any{"allOrNone": false, "records": records}
		err := d.client.do(ctx, http.MethodPatch, d.client.path("composite/sobjects"), body, &results, hide...)
		if kind, _ := retry.Classify(err); kind == retry.Paused && !stumbled(err) {
			return err
		}
		if err != nil {
			d.forget() // a field may be gone
		}
		for i, number := range some { // who it is, is known all the same
			p := people[number]
			switch {
			case err != nil:
				p.say("the contact was not completed: " + err.Error())
				p.again = true
			case len(results) != len(some):
				p.say("it is not known whether the contact was completed")
				p.again = true
			case !results[i].Success:
				no := d.client.refusal(0, results[i].Errors, hidden(calls[number], records[i], nil))
				p.say("the contact was not completed: " + no.Error())
				p.again = judgeRow(no) == locked || judgeRow(no) == again
			}
			people[number] = p
		}
	}
	return nil
}

// candidate is one hit of a search.
type candidate struct {
	kind, id, created string
	has               record
}

// search looks for numbers as people have typed them, one request each. Whom it finds is given the number as key, so that
// the next time needs no search.
func (d *delivery) search(ctx context.Context, numbers []string, calls map[string]*call.Call, into map[string]person) error {
	for _, number := range numbers {
		if d.searches == d.cfg.MatchLimit {
			into[number] = person{note: "no contact has the number as its key; it was not searched for, as match_limit is reached"}
			continue
		}
		d.searches++
		hits, err := d.searchOne(ctx, number)
		if no, ok := err.(*refusal); ok { //nolint:errorlint // wrapped, it is an outage or a plain error
			into[number] = person{note: fmt.Sprintf("no contact has the number as its key; the search for it was refused: %v", no)}
			continue
		}
		if err != nil {
			return d.unmatched(err)
		}
		if len(hits) == 0 {
			continue
		}
		best := hits[0]
		p := person{id: best.id}
		if n := len(hits); n > 1 {
			p.note = fmt.Sprintf("%d people have the number; the call is with the oldest %s", n, best.kind)
		}
		o := d.schema.contact
		if best.kind == "Lead" {
			o = d.schema.lead
		}
		p.lacks = d.lacking(o, best.has, number, calls[number])
		if best.has.text(phoneField) == "" {
			p.lacks[phoneField] = number
		}
		into[number] = p
	}
	return nil
}

// searchOne answers those who have the number: Contacts first, the oldest first.
func (d *delivery) searchOne(ctx context.Context, number string) ([]candidate, error) {
	type scope struct {
		Name   string   `json:"name"`
		Fields []string `json:"fields"`
		Where  string   `json:"where,omitempty"`
	}
	var scopes []scope
	for _, s := range []struct {
		o     *object
		where string
	}{{d.schema.contact, ""}, {d.schema.lead, "IsConverted = false"}} {
		if s.o != nil {
			scopes = append(scopes, scope{s.o.name, append([]string{"Id", "CreatedDate", phoneField}, s.o.fillable()...), s.where})
		}
	}
	body := map[string]any{"q": phone.National(number), "in": "PHONE", "sobjects": scopes}
	var answer struct {
		Records []record `json:"searchRecords"`
	}
	if err := d.client.do(ctx, http.MethodPost, d.client.path("parameterizedSearch"), body, &answer); err != nil {
		return nil, err
	}
	var hits []candidate
	for _, has := range answer.Records {
		attributes, _ := has["attributes"].(map[string]any)
		kind, _ := attributes["type"].(string)
		found := slices.ContainsFunc(phoneFields, func(name string) bool { return phone.Same(has.text(name), number) })
		if found && has.text("Id") != "" && (kind == "Contact" && d.schema.contact != nil || kind == "Lead" && d.schema.lead != nil) {
			hits = append(hits, candidate{kind, has.text("Id"), has.text("CreatedDate"), has})
		}
	}
	slices.SortFunc(hits, func(a, b candidate) int {
		return cmp.Or(strings.Compare(a.kind, b.kind), strings.Compare(a.created, b.created), strings.Compare(a.id, b.id))
	})
	return hits, nil
}

func (o *object) phones() []string {
	return slices.DeleteFunc(slices.Clone(phoneFields), func(name string) bool { _, ok := o.fields[name]; return !ok })
}

// fillable are the fields of a person that may be filled in, and all that may hold the number already.
func (o *object) fillable() []string {
	names := o.phones()
	for _, name := range []string{"Email", "FirstName", "LastName"} {
		if _, ok := o.fields[name]; ok {
			names = append(names, name)
		}
	}
	return names
}
