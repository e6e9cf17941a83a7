package salesforce

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/services/crm/internal/sink"
)

const (
	fewRecords = 10 // in a request, after another one's lock was met

	// maxExtra is how many requests a batch may cost beyond its first ones, to find out which records are at fault. What
	// is then still unsettled comes again with another batch: the allowance is the whole org's.
	maxExtra = 64

	lockJitter = 500 * time.Millisecond // before locks are tried again
)

// row is one key of a batch: what is written, and what became of it.
type row struct {
	call  *call.Call
	extra map[string]any // the configured fields
	at    []int          // its places in the batch

	phone    string // in E.164; empty when there is none to match by
	who      string // the id of the Contact or Lead
	rejected string // a who that Salesforce did not take
	fields   map[string]any

	size     int // of the next request that it goes in; 0 when it is settled
	stripped bool
	raced    bool
	rebuilt  bool
	err      error
	id       string
	note     string
}

func (r *row) fail(err error) { r.size, r.err = 0, err }

func (r *row) say(note string) {
	if strings.Contains(r.note, note) {
		return
	}
	if r.note != "" {
		note = r.note + "; " + note
	}
	r.note = note
}

// delivery is one batch on its way.
type delivery struct {
	*Sink
	schema    *schema
	relearned bool
	searches  int
	busy      map[string]error // people whose lock was met by a record alone: the others of theirs are not tried
	extra     int              // requests left, once the first ones are sent
	first     bool             // the first ones are still being sent
	crashed   bool
	alive     bool  // Salesforce has written something since it crashed
	stopped   error // an outage: nothing more is sent
}

// Deliver upserts one Task per key, in requests of up to 200.
//
// A field that has gone from the org in mid-run: where it is one of ours, its content moves to Description; where it
// comes from the configured fields, the calls that have it die with Salesforce's words and the others go on.
func (s *Sink) Deliver(ctx context.Context, batch []sink.Item) []sink.Result {
	rows := fold(batch)
	d := &delivery{Sink: s, extra: maxExtra, first: true, busy: map[string]error{}}
	if err := d.run(ctx, rows); err != nil {
		for _, r := range rows {
			r.fail(err)
		}
	}
	out := make([]sink.Result, len(batch))
	for _, r := range rows {
		for _, i := range r.at {
			out[i] = sink.Result{Err: r.err, VendorID: r.id, Note: r.note}
		}
	}
	return out
}

// fold makes one row of all items with the same key; the last one is written.
func fold(batch []sink.Item) []*row {
	var rows []*row
	byKey := map[string]*row{}
	for i, item := range batch {
		r, ok := byKey[item.Call.Key]
		if !ok {
			r = &row{}
			byKey[item.Call.Key], rows = r, append(rows, r)
		}
		r.call, r.extra, r.at = item.Call, item.Fields, append(r.at, i)
	}
	return rows
}

// run settles every row. Its error is one for all of them.
func (d *delivery) run(ctx context.Context, rows []*row) error {
	var err error
	if d.schema, err = d.known(ctx); err != nil {
		return err
	}
	for _, r := range rows {
		r.size = maxRecords
		d.build(r)
	}
	rows = unsettled(rows)
	if err := d.match(ctx, rows); err != nil {
		return err
	}
	for rows = unsettled(rows); len(rows) > 0; rows = unsettled(rows) {
		bySize := map[int][]*row{}
		for _, r := range rows {
			bySize[r.size] = append(bySize[r.size], r)
		}
		for _, size := range []int{maxRecords, fewRecords, 1} {
			if size < maxRecords && len(bySize[size]) > 0 {
				pause(ctx, rand.N(lockJitter))
			}
			for _, chunk := range chunks(bySize[size], size) {
				d.send(ctx, chunk)
			}
		}
		d.first = false
		d.rematch(ctx, rows)
	}
	return nil
}

func unsettled(rows []*row) []*row {
	return slices.DeleteFunc(slices.Clone(rows), func(r *row) bool { return r.size == 0 })
}

// build makes what is written of a call; or settles it, when it cannot be written.
func (d *delivery) build(r *row) {
	var err error
	if r.fields, err = d.task(r.call, r.extra, d.schema); err != nil {
		r.fail(retry.Never(err))
		return
	}
	if r.stripped {
		d.strip(r)
	}
	d.assign(r)
}

// assign writes who the call was with. A Task of a Lead can be about nothing else.
func (d *delivery) assign(r *row) {
	delete(r.fields, "WhoId")
	if r.who == "" || !d.schema.task.fields["WhoId"].Createable {
		return
	}
	if _, configured := r.extra["WhoId"]; configured {
		r.fields["WhoId"] = r.extra["WhoId"]
		return
	}
	r.fields["WhoId"] = r.who
	if _, about := r.fields["WhatId"]; about && strings.HasPrefix(r.who, leadPrefix) {
		delete(r.fields, "WhatId")
		r.say("the number is a Lead's, so WhatId was left out")
	}
}

// strip takes out what only a new record may be given.
func (d *delivery) strip(r *row) {
	for name := range r.fields {
		if f, ok := d.schema.task.fields[name]; ok && f.createOnly() {
			delete(r.fields, name)
		}
	}
}

// chunks divides rows into requests. The rows of one person go in one request, one after the other, as their writing
// locks the person's record.
func chunks(rows []*row, size int) [][]*row {
	slices.SortStableFunc(rows, func(a, b *row) int { return strings.Compare(b.who, a.who) }) // those of nobody last, to fill up
	var out [][]*row
	var open []*row
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && rows[0].who != "" && rows[n].who == rows[0].who {
			n++
		}
		n = min(n, size)
		if len(open)+n > size {
			out, open = append(out, open), nil
		}
		open, rows = append(open, rows[:n]...), rows[n:]
	}
	if len(open) > 0 {
		out = append(out, open)
	}
	return out
}

// rowResult is what Salesforce answers to one record of a collection.
type rowResult struct {
	ID      string        `json:"id"`
	Success bool          `json:"success"`
	Created bool          `json:"created"`
	Errors  []vendorError `json:"errors"`
}

// upsert sends records of one kind, and answers one result per record. See client.do for the error.
func (c *client) upsert(ctx context.Context, kind, key string, records []map[string]any, hide []string) ([]rowResult, error) {
	body := map[string]any{"allOrNone": false, "records": records}
	var results []rowResult
	if err := c.do(ctx, http.MethodPatch, c.path("composite/sobjects/"+kind+"/"+key), body, &results, hide...); err != nil {
		return nil, err
	}
	if len(results) != len(records) {
		return nil, fmt.Errorf("what became of the records is unknown: Salesforce gave %d answers to %d", len(results), len(records))
	}
	return results, nil
}

// send writes rows in one request, and smaller ones where Salesforce refuses it as a whole.
func (d *delivery) send(ctx context.Context, rows []*row) {
	fail := func(err error) {
		for _, r := range rows {
			r.fail(err)
		}
	}
	if d.stopped != nil {
		fail(d.stopped)
		return
	}
	if len(rows) == 1 && rows[0].who != "" && d.busy[rows[0].who] != nil {
		fail(d.busy[rows[0].who])
		return
	}
	if !d.first {
		if d.extra == 0 {
			fail(errors.New("not tried: too many records of this batch were refused, and each is worth a request of its own"))
			return
		}
		d.extra--
	}
	records := make([]map[string]any, len(rows))
	var hide []string
	for i, r := range rows {
		records[i], hide = r.fields, append(hide, hidden(r.call, r.fields, r.extra)...)
	}
	slices.Sort(hide)
	results, err := d.client.upsert(ctx, "Task", keyField, records, slices.Compact(hide))
	no, refused := err.(*refusal) //nolint:errorlint // wrapped, it is an outage or a plain error
	switch kind, _ := retry.Classify(err); {
	case kind == retry.Paused && stumbled(err) && len(rows) > 1:
		d.isolate(ctx, rows)
	case kind == retry.Paused && stumbled(err) && d.alive:
		rows[0].fail(fmt.Errorf("salesforce takes others, but stumbles over this call: %v", err)) //nolint:errorlint // plain: no longer an outage
	case kind == retry.Paused:
		d.stopped = err
		fail(err)
	case refused:
		d.divide(ctx, rows, no)
	case err != nil:
		fail(err)
	default:
		d.alive = true
		for i, r := range rows {
			d.settle(ctx, r, results[i])
		}
	}
}

// stumbled reports whether Salesforce answered that something of its own, or of the org's, has crashed.
func stumbled(err error) bool {
	no, ok := errors.AsType[*refusal](err)
	return ok && no.status == http.StatusInternalServerError && no.has("UNKNOWN_EXCEPTION")
}

// isolate tells an outage from a record that makes Salesforce crash: one record alone is tried, and if that is answered
// the others are halved. Else one such call would stop the sink.
func (d *delivery) isolate(ctx context.Context, rows []*row) {
	d.first = false
	if !d.crashed {
		d.crashed, d.alive = true, false
		d.send(ctx, rows[:1])
		d.send(ctx, rows[1:]) // fails them all, if it is an outage
		return
	}
	mid := len(rows) / 2
	d.send(ctx, rows[:mid])
	d.send(ctx, rows[mid:])
}

// divide finds out what of a refused request is at fault: by the field that Salesforce names, or by halving.
func (d *delivery) divide(ctx context.Context, rows []*row, no *refusal) {
	d.first = false
	if names := no.missingFields(); len(names) > 0 {
		var lost bool
		for _, r := range rows {
			if has(r.fields, names) {
				lost = true
				d.lostField(ctx, r, no)
			}
		}
		if lost {
			return // the others are sent again as they are: their size is unchanged
		}
	}
	if len(rows) == 1 {
		rows[0].fail(retry.Never(fmt.Errorf("salesforce refuses the call: %w", no)))
		return
	}
	mid := len(rows) / 2
	d.send(ctx, rows[:mid])
	d.send(ctx, rows[mid:])
}

func has(fields map[string]any, names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool { _, ok := fields[name]; return ok })
}

// lostField settles a row with a field that the org no longer has, or makes it anew when the field is ours.
func (d *delivery) lostField(ctx context.Context, r *row, no *refusal) {
	names := no.missingFields()
	if r.rebuilt || has(r.extra, names) || slices.Contains(names, keyField) {
		r.fail(retry.Never(fmt.Errorf("salesforce refuses the call: %w", no)))
		return
	}
	r.rebuilt = true
	gone := d.relearn(ctx, names)
	if d.stopped != nil {
		r.fail(d.stopped)
		return
	}
	if !gone {
		r.fail(fmt.Errorf("salesforce refuses the call: %w", no)) // plain: describe still says that the field is there
		return
	}
	d.build(r)
}

// relearn asks what the org has by now, unless what is known lacks the fields already. It reports whether they are gone.
func (d *delivery) relearn(ctx context.Context, names []string) bool {
	gone := func() bool {
		return !slices.ContainsFunc(names, func(name string) bool { return d.schema.task.fields[name].Createable })
	}
	if d.relearned || gone() {
		return gone()
	}
	d.relearned = true
	d.forget()
	fresh, err := d.known(ctx)
	if err != nil {
		d.stopped = err
		return false
	}
	d.schema = fresh
	return gone()
}

// pause waits, or less if ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
