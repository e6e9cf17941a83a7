package salesforce

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/services/crm/internal/phone"
)

// leadPrefix begins the ids of Leads. A Task names a Contact or a Lead in the same field.
const leadPrefix = "00Q"

// person is who has a number.
type person struct {
	id    string // empty when nobody has it
	note  string
	err   error          // it is not known who has it: the calls of the number come again
	lacks map[string]any // what the record is to be given
	again bool           // that could not be written now: the person is looked up once more for the next call
}

// say adds to the note.
func (p *person) say(note string) {
	if p.note != "" {
		note = p.note + "; " + note
	}
	p.note = note
}

// match finds out who each call was with. Its error is one for the whole batch.
func (d *delivery) match(ctx context.Context, rows []*row) error {
	if d.schema.contact == nil && d.schema.lead == nil {
		return nil
	}
	calls := map[string]*call.Call{} // one for each number
	for _, r := range rows {
		if _, configured := r.extra["WhoId"]; configured {
			continue
		}
		if r.phone = customer(r.call); r.phone == "" {
			r.say("no contact: the call has no valid number with a country code")
			continue
		}
		calls[r.phone] = r.call
	}
	if len(calls) == 0 {
		return nil
	}
	known, err := d.contacts.Get(ctx, slices.Sorted(maps.Keys(calls)))
	if err != nil {
		return retry.Outage(outageWait, fmt.Errorf("cannot read the map of contacts: %w", err))
	}
	people := map[string]person{}
	for number, id := range known {
		people[number] = person{id: id}
		delete(calls, number)
	}
	if err := d.find(ctx, calls, people); err != nil {
		return err
	}
	for _, r := range rows {
		if r.phone != "" {
			d.meet(r, people[r.phone])
		}
	}
	return nil
}

func (d *delivery) meet(r *row, p person) {
	r.who = p.id
	if p.note != "" {
		r.say(p.note)
	}
	if p.err != nil {
		r.fail(p.err)
		return
	}
	d.assign(r)
}

// rematch looks once more for the people whom Salesforce did not take: a Contact may be deleted, a Lead converted.
func (d *delivery) rematch(ctx context.Context, rows []*row) {
	calls := map[string]*call.Call{}
	rows = slices.DeleteFunc(slices.Clone(rows), func(r *row) bool { return r.size == 0 || r.rejected == "" || r.who != r.rejected })
	for _, r := range rows {
		calls[r.phone] = r.call
	}
	if len(calls) == 0 {
		return
	}
	_ = d.contacts.Delete(ctx, slices.Sorted(maps.Keys(calls))...) // what stays is overwritten, or refused once more
	people := map[string]person{}
	err := d.find(ctx, calls, people)
	for _, r := range rows {
		switch p := people[r.phone]; {
		case err != nil:
			r.fail(err)
		case p.id == r.rejected: // there, but not for this user
			r.fail(retry.Never(r.err))
		default:
			d.meet(r, p)
		}
	}
}

// customer is the number of the human side, if people can be matched by it.
func customer(c *call.Call) string {
	if c.CustomerPhone == nil {
		return ""
	}
	if n := phone.E164(c.CustomerPhone.E164); n != "" {
		return n
	}
	return phone.E164(c.CustomerPhone.Raw)
}

// find asks Salesforce who has the numbers of calls, which it empties, and says so in people.
func (d *delivery) find(ctx context.Context, calls map[string]*call.Call, people map[string]person) error {
	if len(calls) == 0 {
		return nil
	}
	fresh := map[string]person{}
	steps := []func(context.Context, []string, map[string]*call.Call, map[string]person) error{d.byKey}
	if d.cfg.MatchExisting {
		steps = append(steps, d.search)
	}
	if d.cfg.CreateMissing != createNone {
		steps = append(steps, d.create)
	}
	for _, step := range steps {
		for numbers := range slices.Chunk(slices.Sorted(maps.Keys(calls)), maxRecords) {
			missing := slices.DeleteFunc(numbers, func(n string) bool { return fresh[n].id != "" })
			if len(missing) == 0 {
				continue
			}
			if err := step(ctx, missing, calls, fresh); err != nil {
				return err
			}
		}
	}
	if err := d.fill(ctx, calls, fresh); err != nil {
		return err
	}
	ids := map[string]string{}
	for number := range calls {
		p := fresh[number]
		if p.id != "" && !p.again {
			ids[number] = p.id
		} else if p.id == "" && p.note == "" && p.err == nil {
			p.note = "no contact has the number"
		}
		people[number] = p
	}
	clear(calls)
	if len(ids) > 0 {
		_ = d.contacts.Put(ctx, ids) // what is not remembered is looked up again
	}
	return nil
}

// byKey asks for those whose key is the number, Contacts and Leads in one request. A Lead that has been converted
// stands for its Contact, of which no more is known then.
func (d *delivery) byKey(ctx context.Context, numbers []string, calls map[string]*call.Call, into map[string]person) error {
	type subrequest struct {
		Method string `json:"method"`
		URL    string `json:"url"`
		ID     string `json:"referenceId"`
	}
	in := "('" + strings.Join(numbers, "','") + "')" // digits and a plus: nothing to escape
	var asked []subrequest
	var objects []*object // of each query
	ask := func(o *object, more ...string) {
		names := strings.Join(slices.Concat([]string{"Id", phoneField}, o.fillable(), more), ", ")
		query := url.Values{"q": {"SELECT " + names + " FROM " + o.name + " WHERE " + phoneField + " IN " + in}}
		asked = append(asked, subrequest{http.MethodGet, d.client.path("query") + "?" + query.Encode(), o.name})
		objects = append(objects, o)
	}
	if d.schema.contact != nil {
		ask(d.schema.contact)
	}
	if d.schema.lead != nil {
		ask(d.schema.lead, "IsConverted", "ConvertedContactId")
	}
	var answers struct {
		List []subanswer `json:"compositeResponse"`
	}
	err := d.client.do(ctx, http.MethodPost, d.client.path("composite"), map[string]any{"allOrNone": false, "compositeRequest": asked}, &answers)
	if err != nil {
		return d.unmatched(err)
	}
	if len(answers.List) != len(asked) {
		return errors.New("cannot look up contacts: Salesforce did not answer each query")
	}
	for i, a := range answers.List {
		var found struct {
			Records []record `json:"records"`
		}
		if err := d.client.judge(answer{status: a.Status, body: a.Body}, &found, nil); err != nil {
			return d.unmatched(err)
		}
		for _, has := range found.Records {
			number := has.text(phoneField)
			p := person{id: has.text("Id")}
			if converted, _ := has["IsConverted"].(bool); converted {
				p.id = has.text("ConvertedContactId")
			} else if c := calls[number]; c != nil {
				p.lacks = d.lacking(objects[i], has, number, c)
			}
			if p.id != "" && into[number].id == "" { // a Contact is answered before a Lead
				into[number] = p
			}
		}
	}
	return nil
}

type subanswer struct {
	Body   json.RawMessage `json:"body"`
	Status int             `json:"httpStatusCode"`
}

// unmatched is for a lookup that failed. A refusal is no call's fault: a key field may be gone, so what is known of the
// org is asked anew.
func (d *delivery) unmatched(err error) error {
	err = fmt.Errorf("cannot look up contacts: %w", err)
	if _, ok := errors.AsType[*refusal](err); ok {
		d.forget()
		return asOutage(err)
	}
	return err
}

// create makes a Lead or Contact for each number, as configured. Where the org refuses one the call goes without.
func (d *delivery) create(ctx context.Context, numbers []string, calls map[string]*call.Call, into map[string]person) error {
	kind, as := "Lead", d.schema.lead
	if d.cfg.CreateMissing == createContact {
		kind, as = "Contact", d.schema.contact
	}
	var records []map[string]any
	var hide []string
	for _, number := range numbers {
		record := d.newcomer(kind, as, number, calls[number])
		records, hide = append(records, record), append(hide, hidden(calls[number], record, nil)...)
	}
	results, err := d.client.upsert(ctx, kind, phoneField, records, hide)
	if no, ok := err.(*refusal); ok { //nolint:errorlint // wrapped, it is an outage or a plain error
		d.forget()
		for _, number := range numbers {
			into[number] = person{note: fmt.Sprintf("no %s was created: %v", kind, no)}
		}
		return nil
	}
	if err != nil {
		return d.unmatched(err)
	}
	for i, result := range results {
		no := d.client.refusal(0, result.Errors, hidden(calls[numbers[i]], records[i], nil))
		p := person{id: result.ID}
		if !result.Success || result.ID == "" {
			p.id = ""
			switch judgeRow(no) {
			case locked, again, collided:
				p.err = fmt.Errorf("cannot create a %s: %w", kind, no)
			case down:
				return retry.Outage(deniedWait, fmt.Errorf("cannot create a %s: %w", kind, no))
			default:
				p.note = fmt.Sprintf("no %s was created: %v", kind, no)
			}
		}
		into[numbers[i]] = p
	}
	return nil
}
