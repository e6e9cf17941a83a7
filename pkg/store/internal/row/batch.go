package row

import (
	"cmp"
	"errors"
	"slices"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/retry"
)

// Batch is what one Save writes.
type Batch struct {
	// Rows hold each call once, the one that wins where the batch has several, in the order of the primary key: two
	// batches that share calls lock them in the same order.
	Rows []Row

	of   []place // of each call of the batch
	errs []error // of each call, where it never became a row
}

// place is where a call of the batch went.
type place struct {
	row  int
	lost bool // to another call with the same key
}

var errLost = errors.New("the call was set aside for another of the same batch with the same id, which could not be stored")

// NewBatch encodes calls. Texts of more than keyLimit bytes that are part of an index are abridged.
func NewBatch(calls []*call.Raw, keyLimit int) *Batch {
	b := &Batch{of: make([]place, len(calls)), errs: make([]error, len(calls))}
	enc := newEncoder(keyLimit)
	rows := make([]Row, len(calls))
	order := make([]int, 0, len(calls))
	for i, c := range calls {
		if rows[i], b.errs[i] = enc.row(c); b.errs[i] == nil {
			order = append(order, i)
		}
	}
	// Stable, and an ended call before the others of its key: so the first of a key is the one that wins.
	slices.SortStableFunc(order, func(i, j int) int {
		return cmp.Or(rows[i].compareKey(&rows[j]), cmp.Compare(rows[i].rank(), rows[j].rank()))
	})
	b.Rows = make([]Row, 0, len(order))
	for n, i := range order {
		lost := n > 0 && rows[i].compareKey(&rows[order[n-1]]) == 0
		if !lost {
			b.Rows = append(b.Rows, rows[i])
		}
		b.of[i] = place{row: len(b.Rows) - 1, lost: lost}
	}
	return b
}

// Results are the results of the calls, given those of Rows.
func (b *Batch) Results(rows []error) []error {
	for i, at := range b.of {
		if b.errs[i] != nil || rows[at.row] == nil {
			continue
		}
		b.errs[i] = rows[at.row]
		if kind, _ := retry.Classify(rows[at.row]); kind == retry.Dead && at.lost {
			b.errs[i] = errLost // nothing is known against this one yet
		}
	}
	return b.errs
}

func (r *Row) compareKey(o *Row) int {
	return cmp.Or(
		cmp.Compare(r.Text[source], o.Text[source]),
		cmp.Compare(r.Text[callID], o.Text[callID]),
		cmp.Compare(r.Text[provider], o.Text[provider]),
	)
}

func (r *Row) rank() int {
	if r.Text[event] == string(call.Ended) {
		return 0
	}
	return 1
}
