package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/pkg/store/internal/row"
)

// SaveOutcomes stores what became of calls in one transaction, the latest of each sink and call.
func (s *Store) SaveOutcomes(ctx context.Context, outcomes []call.Outcome) []error {
	batch := row.NewOutcomes(outcomes, keyLimit)
	errs := make([]error, len(batch.Rows))
	if err := s.saveOutcomes(ctx, batch.Rows, errs); err != nil {
		for i := range errs {
			if errs[i] == nil {
				errs[i] = err
			}
		}
	}
	return batch.Results(errs)
}

func (s *Store) saveOutcomes(ctx context.Context, rows []call.Outcome, errs []error) error {
	if len(rows) == 0 {
		return nil
	}
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return classify(ctx, err, "begin to save outcomes")
	}
	defer tx.Rollback() // does nothing after Commit
	insert, err := tx.PrepareContext(ctx, outcomesStatement())
	if err != nil {
		return classify(ctx, err, "prepare to save outcomes")
	}
	for i := range rows {
		var args []any
		for _, t := range row.OutcomeTexts(&rows[i]) {
			args = append(args, nullable(t))
		}
		args = append(args, rows[i].Attempts, rows[i].At.String())
		if _, err := insert.ExecContext(ctx, args...); err != nil {
			err = classify(ctx, err, "save outcomes")
			if kind, _ := retry.Classify(err); kind != retry.Dead {
				return err
			}
			errs[i] = err
		}
	}
	return classify(ctx, tx.Commit(), "save outcomes")
}

// outcomesStatement stores one outcome. A later one takes the place of an earlier one.
func outcomesStatement() string {
	var set []string
	for _, name := range row.OutcomeColumns {
		set = append(set, name+" = excluded."+name)
	}
	return "INSERT INTO deliveries (" + strings.Join(row.OutcomeColumns, ", ") + ")" +
		" VALUES (" + strings.TrimSuffix(strings.Repeat("?, ", len(row.OutcomeColumns)), ", ") + ")" +
		" ON CONFLICT (source, call_id, provider, sink, event) DO UPDATE SET " + strings.Join(set, ", ") +
		" WHERE excluded.at >= deliveries.at"
}

// History returns what is kept of a call beside the call, or row.ErrNotFound.
func (s *Store) History(ctx context.Context, provider, source, callID string) (h row.History, err error) {
	query, args := dialect().SelectHistory(provider, source, callID)
	var at string
	if err := s.reader.QueryRowContext(ctx, query, args...).Scan(&at); errors.Is(err, sql.ErrNoRows) {
		return h, row.ErrNotFound
	} else if err != nil {
		return h, classify(ctx, err, "get a call's history")
	}
	if h.StoredAt, err = time.Parse(time.RFC3339, at); err != nil {
		return h, err
	}
	query, args = dialect().SelectOutcomes(provider, source, callID)
	rows, err := s.reader.QueryContext(ctx, query, args...)
	if err != nil {
		return h, classify(ctx, err, "get a call's outcomes")
	}
	defer rows.Close()
	for rows.Next() {
		o := call.Outcome{Provider: provider, Source: source, CallID: callID}
		if err := rows.Scan(&o.Sink, &o.Event, &o.Result, &o.VendorID, &o.Note, &o.Error, &o.Attempts, &at); err != nil {
			return h, classify(ctx, err, "get a call's outcomes")
		}
		t, err := time.Parse(time.RFC3339, at)
		if err != nil {
			return h, err
		}
		o.At = call.At(t)
		h.Outcomes = append(h.Outcomes, o)
	}
	return h, classify(ctx, rows.Err(), "get a call's outcomes")
}
