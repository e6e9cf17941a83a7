package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/pkg/store/internal/row"
)

// The most that one statement carries. A parameter may have 1 GB, but memory is needed several times over.
const (
	maxRows  = 500
	maxBytes = 16 << 20
)

// Save stores calls with one statement per 500 calls or 16 MiB. Calls that PostgreSQL refuses are found by halving and
// get retry.Never; the others are stored. Of one that is refused for a number that is too large, the number is stored as
// a string.
func (s *Store) Save(ctx context.Context, calls []*call.Raw) []error {
	batch := row.NewBatch(calls, keyLimit)
	errs := make([]error, len(batch.Rows))
	for lo := 0; lo < len(batch.Rows); {
		hi := statementEnd(batch.Rows, lo)
		if err := s.save(ctx, batch.Rows[lo:hi], errs[lo:hi]); err != nil {
			fill(errs[hi:], err)
			break
		}
		lo = hi
	}
	return batch.Results(errs)
}

// statementEnd is where the statement that begins with rows[lo] ends.
func statementEnd(rows []row.Row, lo int) int {
	bytes := 0
	for hi := lo; hi < len(rows); hi++ {
		for _, j := range rows[hi].JSON {
			bytes += len(j)
		}
		if hi > lo && (bytes > maxBytes || hi-lo == maxRows) {
			return hi
		}
	}
	return len(rows)
}

// save stores rows and sets their errors. Its own error says that the database is down: what is left would fare no better.
func (s *Store) save(ctx context.Context, rows []row.Row, errs []error) error {
	return halve(rows, errs, func(rows []row.Row) error {
		err := s.exec(ctx, rows)
		if len(rows) == 1 && outOfRange(err) {
			err = s.saveQuoted(ctx, rows[0], err)
		}
		return s.failed(err, "save calls")
	})
}

// halve finds the rows that are refused. Its own error is that of all that are left.
func halve[R any](rows []R, errs []error, exec func([]R) error) error {
	err := exec(rows)
	if err == nil {
		return nil
	}
	switch kind, _ := retry.Classify(err); {
	case kind == retry.Dead && len(rows) > 1:
		mid := len(rows) / 2
		if err := halve(rows[:mid], errs[:mid], exec); err != nil {
			fill(errs[mid:], err)
			return err
		}
		return halve(rows[mid:], errs[mid:], exec)
	case kind == retry.Paused:
		fill(errs, err)
		return err
	default:
		fill(errs, err)
		return nil
	}
}

// saveQuoted stores a row that was refused for a number that jsonb cannot hold, with the number as a string. Where
// there is none, refusal stands.
func (s *Store) saveQuoted(ctx context.Context, r row.Row, refusal error) error {
	quoted, ok, err := r.QuoteNumbers(beyondNumeric)
	if err != nil || !ok {
		return refusal
	}
	return s.exec(ctx, []row.Row{quoted})
}

func fill(errs []error, err error) {
	for i := range errs {
		errs[i] = err
	}
}

func (s *Store) exec(ctx context.Context, rows []row.Row) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	_, err := s.pool.Exec(ctx, s.insert, columns(rows)...)
	return err
}

// columns are the arguments of the insert statement.
func columns(rows []row.Row) []any {
	var r row.Row
	args := make([]any, 0, len(r.Text)+len(r.Time)+len(r.Int)+len(r.JSON))
	for i := range r.Text {
		args = append(args, column(rows, func(r *row.Row) string { return r.Text[i] }))
	}
	for i := range r.Time {
		args = append(args, column(rows, func(r *row.Row) pgtype.Timestamptz {
			if t := r.Time[i]; t != nil {
				return pgtype.Timestamptz{Time: t.Truncate(time.Millisecond), Valid: true}
			}
			return pgtype.Timestamptz{}
		}))
	}
	for i := range r.Int {
		args = append(args, column(rows, func(r *row.Row) pgtype.Int8 {
			if n := r.Int[i]; n != nil {
				return pgtype.Int8{Int64: *n, Valid: true}
			}
			return pgtype.Int8{}
		}))
	}
	for i := range r.JSON {
		args = append(args, column(rows, func(r *row.Row) string { return r.JSON[i] }))
	}
	return args
}

func column[T any](rows []row.Row, of func(*row.Row) T) []T {
	c := make([]T, len(rows))
	for i := range rows {
		c[i] = of(&rows[i])
	}
	return c
}
