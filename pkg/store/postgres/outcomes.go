package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/store/internal/row"
)

// SaveOutcomes stores what became of calls, the latest of each sink and call, with one statement per 500.
func (s *Store) SaveOutcomes(ctx context.Context, outcomes []call.Outcome) []error {
	batch := row.NewOutcomes(outcomes, keyLimit)
	errs := make([]error, len(batch.Rows))
	for lo := 0; lo < len(batch.Rows); lo += maxRows {
		hi := min(lo+maxRows, len(batch.Rows))
		if err := halve(batch.Rows[lo:hi], errs[lo:hi], func(rows []call.Outcome) error {
			return s.failed(s.execOutcomes(ctx, rows), "save outcomes")
		}); err != nil {
			fill(errs[hi:], err)
			break
		}
	}
	return batch.Results(errs)
}

func (s *Store) execOutcomes(ctx context.Context, rows []call.Outcome) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	texts := make([][]string, len(row.OutcomeColumns)-2)
	attempts, at := make([]int64, len(rows)), make([]time.Time, len(rows))
	for i := range rows {
		for j, t := range row.OutcomeTexts(&rows[i]) {
			texts[j] = append(texts[j], t)
		}
		attempts[i], at[i] = int64(rows[i].Attempts), rows[i].At.Time
	}
	var args []any
	for _, t := range texts {
		args = append(args, t)
	}
	_, err := s.pool.Exec(ctx, outcomesStatement(), append(args, attempts, at)...)
	return err
}

// outcomesStatement stores a batch. A later outcome takes the place of an earlier one.
func outcomesStatement() string {
	var arrays, values, set []string
	for i, name := range row.OutcomeColumns {
		kind, value := "text", "x."+name
		switch name {
		case "attempts":
			kind = "bigint"
		case "at":
			kind = "timestamptz"
		case "vendor_id", "note", "error":
			value = "NULLIF(" + value + ", '')"
		}
		arrays = append(arrays, fmt.Sprintf("$%d::%s[]", i+1, kind))
		values = append(values, value)
		set = append(set, name+" = excluded."+name)
	}
	names := strings.Join(row.OutcomeColumns, ", ")
	return "INSERT INTO deliveries (" + names + ") SELECT " + strings.Join(values, ", ") +
		" FROM unnest(" + strings.Join(arrays, ", ") + ") AS x(" + names + ")" +
		" ON CONFLICT (source, call_id, provider, sink, event) DO UPDATE SET " + strings.Join(set, ", ") +
		" WHERE excluded.at >= deliveries.at"
}

// History returns what is kept of a call beside the call, or row.ErrNotFound.
func (s *Store) History(ctx context.Context, provider, source, callID string) (h row.History, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	query, args := dialect().SelectHistory(provider, source, callID)
	if err := s.pool.QueryRow(ctx, query, args...).Scan(&h.StoredAt); errors.Is(err, pgx.ErrNoRows) {
		return h, row.ErrNotFound
	} else if err != nil {
		return h, s.failed(err, "get a call's history")
	}
	query, args = dialect().SelectOutcomes(provider, source, callID)
	rows, err := s.pool.Query(ctx, query, args...)
	if err != nil {
		return h, s.failed(err, "get a call's outcomes")
	}
	h.Outcomes, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (call.Outcome, error) {
		o := call.Outcome{Provider: provider, Source: source, CallID: callID}
		var at time.Time
		err := r.Scan(&o.Sink, &o.Event, &o.Result, &o.VendorID, &o.Note, &o.Error, &o.Attempts, &at)
		o.At = call.At(at)
		return o, err
	})
	return h, s.failed(err, "get a call's outcomes")
}
