package salesforce

import (
	"cmp"
	"context"
	"fmt"
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

// newcomer is the Lead or Contact for a number that nobody has.
func (d *delivery) newcomer(kind string, as *object, number string, c *call.Call) map[string]any {
	out := map[string]any{"attributes": map[string]string{"type": kind}, phoneField: number}
	put := func(name, text string) {
		if f := as.fields[name]; f.Createable && text != "" {
			out[name] = cut(text, cmp.Or(f.Length, maxText))
		}
	}
	put(d.cfg.PhoneField, number)
	var first, last, email string
	if c.Customer != nil {
		first, last, _ = strings.Cut(clean(c.Customer.Name), " ")
		email = clean(c.Customer.Email)
	}
	if last = strings.TrimSpace(last); last == "" { // Salesforce asks for a last name alone
		first, last = "", first
	}
	put("FirstName", first)
	put("LastName", cmp.Or(last, "Unknown caller "+number))
	if a, err := mail.ParseAddress(email); err == nil && a.Address == email {
		put("Email", email)
	}
	if kind == "Lead" {
		put("Company", d.cfg.Company)
	}
	return out
}

// candidate is one hit of a search.
type candidate struct {
	kind, id, created, key string
}

// search looks for numbers as people have typed them, one request each, and gives whom it finds the number as key, so
// that the next time needs no search.
func (d *delivery) search(ctx context.Context, numbers []string, into map[string]person) error {
	var adopted []map[string]any
	var at []string // the numbers of adopted
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
		into[number] = p
		if best.key == "" {
			adopted = append(adopted, map[string]any{"attributes": map[string]string{"type": best.kind}, "id": best.id, phoneField: number})
			at = append(at, number)
		}
	}
	if len(adopted) == 0 {
		return nil
	}
	body := map[string]any{"allOrNone": false, "records": adopted}
	var results []rowResult
	err := d.client.do(ctx, http.MethodPatch, d.client.path("composite/sobjects"), body, &results)
	if kind, _ := retry.Classify(err); kind == retry.Paused {
		return err
	}
	for i, number := range at { // who it is, is known all the same
		if err == nil && len(results) == len(at) && results[i].Success {
			continue
		}
		p := into[number]
		p.note = strings.TrimPrefix(p.note+"; the number could not be written to "+phoneField, "; ")
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
			scopes = append(scopes, scope{s.o.name, append([]string{"Id", "CreatedDate", phoneField}, s.o.phones()...), s.where})
		}
	}
	body := map[string]any{"q": phone.National(number), "in": "PHONE", "sobjects": scopes}
	var answer struct {
		Records []map[string]any `json:"searchRecords"`
	}
	if err := d.client.do(ctx, http.MethodPost, d.client.path("parameterizedSearch"), body, &answer); err != nil {
		return nil, err
	}
	var hits []candidate
	for _, record := range answer.Records {
		text := func(name string) string { s, _ := record[name].(string); return s }
		attributes, _ := record["attributes"].(map[string]any)
		kind, _ := attributes["type"].(string)
		has := slices.ContainsFunc(phoneFields, func(name string) bool { return phone.Same(text(name), number) })
		if has && text("Id") != "" && (kind == "Contact" || kind == "Lead") {
			hits = append(hits, candidate{kind, text("Id"), text("CreatedDate"), text(phoneField)})
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
