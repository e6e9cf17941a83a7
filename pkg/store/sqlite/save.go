package sqlite

import (
	"context"
	"database/sql"
	"strings"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/pkg/store/internal/row"
)

// Save stores calls in one transaction. A call that SQLite refuses gets retry.Never and is left out of it; a refused
// statement undoes nothing but itself.
func (s *Store) Save(ctx context.Context, calls []*call.Raw) []error {
	batch := row.NewBatch(calls, keyLimit)
	errs := make([]error, len(batch.Rows))
	if err := s.save(ctx, batch.Rows, errs); err != nil {
		for i := range errs {
			if errs[i] == nil {
				errs[i] = err
			}
		}
	}
	return batch.Results(errs)
}

// save sets the errors of the rows that are refused. Its own error is that of all the others.
func (s *Store) save(ctx context.Context, rows []row.Row, errs []error) error {
	if len(rows) == 0 {
		return nil
	}
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return classify(ctx, err, "begin to save calls")
	}
	defer tx.Rollback() // does nothing after Commit
	insert := tx.StmtContext(ctx, s.insert)
	var args []any
	for i := range rows {
		args = arguments(args[:0], &rows[i])
		if _, err := insert.ExecContext(ctx, args...); err != nil {
			err = classify(ctx, err, "save calls")
			if kind, _ := retry.Classify(err); kind != retry.Dead {
				return err
			}
			errs[i] = err
		}
	}
	return classify(ctx, tx.Commit(), "save calls")
}

// arguments appends those of the insert statement.
func arguments(args []any, r *row.Row) []any {
	for _, t := range r.Text {
		args = append(args, nullable(t))
	}
	for _, t := range r.Time {
		if t == nil {
			args = append(args, nil)
		} else {
			args = append(args, t.String())
		}
	}
	for _, n := range r.Int {
		if n == nil {
			args = append(args, nil)
		} else {
			args = append(args, *n)
		}
	}
	for _, j := range r.JSON {
		args = append(args, nullable(j))
	}
	return args
}

func nullable(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }

// insertStatement stores one call. An ended call overwrites a progress, and nothing else overwrites anything.
func insertStatement() string {
	var columns, set []string
	texts, times, ints, jsons := row.Columns()
	for _, names := range [][]string{texts, times, ints, jsons} {
		for _, name := range names {
			columns = append(columns, name)
			set = append(set, name+" = excluded."+name)
		}
	}
	return "INSERT INTO calls (" + strings.Join(columns, ", ") + ", stored_at)" +
		" VALUES (" + strings.Repeat("?, ", len(columns)) + "strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))" +
		" ON CONFLICT (source, call_id, provider) DO UPDATE SET " + strings.Join(set, ", ") + ", stored_at = excluded.stored_at" +
		" WHERE calls.event <> 'ended' AND excluded.event = 'ended'"
}
