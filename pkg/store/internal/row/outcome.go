package row

import (
	"cmp"
	"slices"
	"time"

	"github.com/onhook/onhook/pkg/call"
)

// History is what is kept of a call beside the call.
type History struct {
	StoredAt time.Time
	Outcomes []call.Outcome // one per sink and event, in the order of the sinks
}

// OutcomeColumns are the columns of the table deliveries, in the order of OutcomeTexts, then attempts and at.
var OutcomeColumns = []string{"sink", "provider", "source", "call_id", "event", "result", "vendor_id", "note", "error", "attempts", "at"}

// OutcomeTexts are the texts of an outcome.
func OutcomeTexts(o *call.Outcome) []string {
	return []string{o.Sink, o.Provider, o.Source, o.CallID, string(o.Event), string(o.Result), o.VendorID, o.Note, o.Error}
}

// Outcomes is what one SaveOutcomes writes.
type Outcomes struct {
	// Rows hold each sink's outcome of a call once, the latest, in the order of the primary key.
	Rows []call.Outcome

	of []int // of each outcome of the batch, its row
}

// NewOutcomes folds outcomes. The ids of their calls become those of the table of calls.
func NewOutcomes(os []call.Outcome, keyLimit int) *Outcomes {
	b := &Outcomes{of: make([]int, len(os))}
	rows := make([]call.Outcome, len(os))
	order := make([]int, len(os))
	for i, o := range os {
		o.CallID = idKey(o.CallID, keyLimit)
		o.Event, o.Result = call.Event(text(string(o.Event))), call.Result(text(string(o.Result)))
		for _, s := range []*string{&o.Sink, &o.Provider, &o.Source, &o.VendorID, &o.Note, &o.Error} {
			*s = text(*s)
		}
		if o.At == nil {
			o.At = call.At(time.Unix(0, 0)) // any other is later
		}
		rows[i], order[i] = o, i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		return cmp.Or(compareOutcome(&rows[i], &rows[j]), rows[i].At.Compare(rows[j].At.Time))
	})
	for _, i := range order {
		if n := len(b.Rows); n > 0 && compareOutcome(&b.Rows[n-1], &rows[i]) == 0 {
			b.Rows[n-1] = rows[i]
		} else {
			b.Rows = append(b.Rows, rows[i])
		}
		b.of[i] = len(b.Rows) - 1
	}
	return b
}

func compareOutcome(a, b *call.Outcome) int {
	return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.CallID, b.CallID), cmp.Compare(a.Provider, b.Provider),
		cmp.Compare(a.Sink, b.Sink), cmp.Compare(a.Event, b.Event))
}

// Results are the results of the outcomes, given those of Rows.
func (b *Outcomes) Results(rows []error) []error {
	errs := make([]error, len(b.of))
	for i, at := range b.of {
		errs[i] = rows[at]
	}
	return errs
}

// SelectHistory is the query for when a call was stored.
func (d Dialect) SelectHistory(provider, source, callID string) (query string, args []any) {
	return "SELECT stored_at FROM calls WHERE " + d.callIs(), d.callArgs(provider, source, callID)
}

// SelectOutcomes is the query for the outcomes of a call: the texts but for the call's identity, attempts and at.
func (d Dialect) SelectOutcomes(provider, source, callID string) (query string, args []any) {
	return "SELECT sink, event, result, COALESCE(vendor_id, ''), COALESCE(note, ''), COALESCE(error, ''), attempts, at" +
		" FROM deliveries WHERE " + d.callIs() + " ORDER BY sink, event", d.callArgs(provider, source, callID)
}

func (d Dialect) callIs() string {
	return "source = " + d.Placeholder(1) + " AND call_id = " + d.Placeholder(2) + " AND provider = " + d.Placeholder(3)
}

func (d Dialect) callArgs(provider, source, callID string) []any {
	return []any{text(source), idKey(callID, d.KeyLimit), text(provider)}
}
