package hubspot

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/mail"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/services/crm/internal/mask"
)

// phoneKey is the unique property of contacts: a number in E.164.
const phoneKey = "onhook_phone_key"

// searchNumbers keeps a search below the 3,000 characters that HubSpot reads.
const searchNumbers = 50

// person is the contact of one number. Without an id there is none, and the note says why.
type person struct {
	number     string
	call       *record // the last of the batch with this number
	id         string
	note       string
	err        error           // what keeps its calls from being delivered now
	remembered bool            // the id is from memory, its properties are not known
	has        map[string]text // its properties, where it was looked up
}

// people finds the contact of each number among the records. The error is an outage.
func (c *Client) people(ctx context.Context, records []*record) (map[string]*person, error) {
	all := map[string]*person{}
	for _, r := range records {
		if r.number == "" {
			continue
		}
		if all[r.number] == nil {
			all[r.number] = &person{number: r.number}
		}
		all[r.number].call = r
	}
	c.recall(ctx, all)
	steps := []func(context.Context, []*person) error{c.readByKey}
	if c.cfg.MatchExisting {
		steps = append(steps, c.searchByNumber)
	}
	if c.cfg.CreateMissing == createContact {
		steps = append(steps, c.create)
	}
	for _, step := range steps {
		missing := pick(all, func(p *person) bool { return p.id == "" && p.err == nil && p.note == "" })
		if len(missing) == 0 {
			break
		}
		if err := step(ctx, missing); err != nil {
			return nil, err
		}
	}
	for _, p := range all {
		if p.id == "" && p.note == "" {
			p.note = "without a contact: none has its number"
		}
	}
	if err := c.update(ctx, pick(all, func(p *person) bool { return p.id != "" })); err != nil {
		return nil, err
	}
	c.remember(ctx, all)
	return all, nil
}

// pick are the people that are meant, by number.
func pick(all map[string]*person, meant func(*person) bool) []*person {
	var out []*person
	for _, number := range slices.Sorted(maps.Keys(all)) {
		if p := all[number]; meant(p) {
			out = append(out, p)
		}
	}
	return out
}

// recall fills in what is remembered. Without a memory all is looked up, which costs requests and nothing else.
func (c *Client) recall(ctx context.Context, all map[string]*person) {
	if len(all) == 0 {
		return
	}
	ids, err := c.contacts.Get(ctx, slices.Sorted(maps.Keys(all)))
	if err != nil {
		c.log.Warn("cannot recall contacts; looking them up", zap.Error(err))
	}
	for number, id := range ids {
		if p := all[number]; p != nil {
			p.id, p.remembered = id, true
		}
	}
}

func (c *Client) remember(ctx context.Context, all map[string]*person) {
	ids := map[string]string{}
	for number, p := range all {
		if p.id != "" && !p.remembered && p.err == nil {
			ids[number] = p.id
		}
	}
	if len(ids) == 0 {
		return
	}
	if err := c.contacts.Put(ctx, ids); err != nil {
		c.log.Warn("cannot remember contacts; they are looked up again", zap.Error(err))
	}
}

func (c *Client) forget(ctx context.Context, number string) {
	if err := c.contacts.Delete(ctx, number); err != nil {
		c.log.Warn("cannot forget a contact that is gone", zap.Error(err))
	}
}

// wanted are the properties that a look at a contact has to bring.
func (c *Client) wanted(others ...string) []string {
	names := slices.AppendSeq(append(others, phoneKey), maps.Keys(c.cfg.ContactFields))
	slices.Sort(names)
	return slices.Compact(names)
}

// readByKey finds contacts that have our key. What the answer does not have is not there.
func (c *Client) readByKey(ctx context.Context, people []*person) error {
	var numbers []string
	for _, p := range people {
		numbers = append(numbers, p.number)
	}
	ans, err := c.readContacts(ctx, phoneKey, numbers)
	if f, ok := errors.AsType[*failure](err); ok && f.status == http.StatusNotFound && isPlain(err) {
		return nil
	}
	if err != nil {
		return spread(people, err)
	}
	byNumber := map[string]*result{}
	for i := range ans.Results {
		byNumber[string(ans.Results[i].Properties[phoneKey])] = &ans.Results[i]
	}
	for _, p := range people {
		if r := byNumber[p.number]; r != nil {
			p.id, p.has = string(r.ID), r.Properties
		}
	}
	return nil
}

// readContacts reads contacts by their ids, or by a unique property.
func (c *Client) readContacts(ctx context.Context, idProperty string, ids []string) (*batchAnswer, error) {
	inputs := make([]objectInput, len(ids))
	for i, id := range ids {
		inputs[i] = objectInput{ID: id}
	}
	body := map[string]any{"properties": c.wanted(), "inputs": inputs}
	if idProperty != "" {
		body["idProperty"] = idProperty
	}
	var ans batchAnswer
	err := c.do(ctx, http.MethodPost, contactsRead, body, &ans)
	return &ans, err
}

// spread gives an error that is no outage to each of the people. A look that HubSpot refuses leaves them without a
// contact; their calls are logged all the same.
func spread(people []*person, err error) error {
	if kind, _ := retry.Classify(err); kind == retry.Paused {
		return err
	}
	f, refused := errors.AsType[*failure](err)
	for _, p := range people {
		if refused && isPlain(err) {
			p.note = "without a contact: HubSpot refused to look it up: " + f.Error()
		} else {
			p.err = err
		}
	}
	return nil
}

// create makes contacts, by the key, so that a second attempt finds those of the first.
func (c *Client) create(ctx context.Context, people []*person) error {
	var inputs []input
	for _, p := range people {
		values := c.contactValues(p)
		values[phoneKey] = p.number
		inputs = append(inputs, input{
			what: "the contact", key: p.number, trace: p.number, properties: values, hidden: secret(p, values),
			body: objectInput{ID: p.number, IDProperty: phoneKey, Properties: values, Trace: p.number},
		})
	}
	outcomes := c.write(ctx, contactsUpsert, func(r *result) string { return string(r.Properties[phoneKey]) }, inputs)
	for _, p := range people {
		o := outcomes[p.number]
		r, final := isRefusal(o.err)
		kind, _ := retry.Classify(o.err)
		switch {
		case kind == retry.Paused:
			return o.err
		case existing(o.err) != "":
			if err := c.adopt(ctx, p, existing(o.err)); err != nil {
				return err
			}
		case final:
			p.note = "without a contact: " + r.text
		default:
			p.id, p.err = o.id, o.err
			p.has = map[string]text{phoneKey: text(p.number)}
			for name, v := range c.contactValues(p) {
				p.has[name] = text(v)
			}
		}
	}
	return nil
}

// secret is what no error about a contact may repeat: all that is written of it, whatever its properties are called.
func secret(p *person, values map[string]string) []string {
	return slices.AppendSeq(mask.Names(p.call.call), maps.Values(values))
}

// existing is the id of the contact that is in the way of a new one, by its e-mail address.
func existing(err error) string {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.existing
	}
	return ""
}

// adopt takes the contact that has the person's e-mail address, and perhaps another number's key, which it keeps.
func (c *Client) adopt(ctx context.Context, p *person, id string) error {
	ans, err := c.readContacts(ctx, "", []string{id})
	if err != nil {
		return spread([]*person{p}, err)
	}
	p.id = id
	for i := range ans.Results {
		if string(ans.Results[i].ID) == id {
			p.has = ans.Results[i].Properties
		}
	}
	return nil
}

// update gives contacts what they lack: our key, and the configured fields. A contact from memory is only given what is
// to be overwritten: to see what it lacks would cost a request.
func (c *Client) update(ctx context.Context, people []*person) error {
	byID := map[string]*input{}
	var inputs []*input
	for _, p := range people {
		values := c.changes(p)
		if len(values) == 0 {
			continue
		}
		if in := byID[p.id]; in != nil { // two numbers of one contact; HubSpot takes it once
			for name, v := range values {
				if _, set := in.properties[name]; !set {
					in.properties[name] = v
				}
			}
			continue
		}
		byID[p.id] = &input{
			what: "the contact", key: p.id, trace: p.id, properties: values, hidden: secret(p, values),
			body: objectInput{ID: p.id, Properties: values, Trace: p.id},
		}
		inputs = append(inputs, byID[p.id])
	}
	flat := make([]input, len(inputs))
	for i, in := range inputs {
		flat[i] = *in
	}
	outcomes := c.write(ctx, contactsUpdate, func(r *result) string { return string(r.ID) }, flat)
	for _, p := range people {
		o := outcomes[p.id]
		r, final := isRefusal(o.err)
		kind, _ := retry.Classify(o.err)
		switch {
		case kind == retry.Paused:
			return o.err
		case final && r.missing && p.remembered:
			c.forget(ctx, p.number)
			p.err = errors.New("the contact is gone, and is looked up again")
		case final:
			p.note = strings.TrimPrefix(p.note+"; contact not updated: "+r.text, "; ")
		default:
			if o.err != nil {
				p.err = o.err
			}
		}
	}
	return nil
}

// changes are the properties that a contact is to be given.
func (c *Client) changes(p *person) map[string]string {
	out := map[string]string{}
	if p.has != nil && p.has[phoneKey] == "" {
		out[phoneKey] = p.number
	}
	for name, v := range c.contactValues(p) {
		looked := p.has != nil
		switch {
		case looked && string(p.has[name]) == v:
		case c.cfg.ContactFields[name].Mode == overwrite, looked && p.has[name] == "":
			out[name] = v
		}
	}
	return out
}

// contactValues are the configured fields of a contact that the call has a value for.
func (c *Client) contactValues(p *person) map[string]string {
	out := map[string]string{}
	k := p.call.call
	for name, f := range c.cfg.ContactFields {
		var v string
		if key, ok := strings.CutPrefix(f.From, fromExtracted); ok {
			v = scalar(k.Extracted[key])
		} else if f.From == "phone" {
			v = p.number
		} else if k.Customer != nil {
			first, last, _ := strings.Cut(strings.TrimSpace(k.Customer.Name), " ")
			switch f.From {
			case "first_name":
				v = first
			case "last_name":
				v = last
			case "email":
				if a, err := mail.ParseAddress(k.Customer.Email); err == nil && a.Address == k.Customer.Email {
					v = a.Address // HubSpot refuses the whole contact for one that is none
				}
			}
		}
		if v = clean(v); v != "" {
			out[name] = v
		}
	}
	return out
}
