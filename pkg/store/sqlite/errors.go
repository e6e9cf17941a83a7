package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/onhook/onhook/pkg/retry"
)

// pause is when it is worth looking again after an outage.
const pause = 2 * time.Second

// classify says what err means to the calls that were being stored, or nil for nil. SQLite's texts name columns and
// constraints, never values. A transaction whose ctx has ended is rolled back at once, and what is then done with it fails in
// words that do not tell why, such as "statement is closed".
func classify(ctx context.Context, err error, doing string) error {
	if err == nil {
		return nil
	}
	cause := err
	err = fmt.Errorf("SQLite: %s: %w", doing, err)
	if ctx.Err() != nil || errors.Is(cause, context.Canceled) || errors.Is(cause, context.DeadlineExceeded) {
		return retry.Outage(pause, err)
	}
	e, ok := errors.AsType[*sqlite.Error](cause)
	if !ok {
		return err
	}
	switch e.Code() & 0xff { // the primary code: https://www.sqlite.org/rescode.html
	case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG:
		return retry.Never(fmt.Errorf("SQLite refuses the call: %w", cause))
	case sqlite3.SQLITE_BUSY, // another process holds the file, for longer than the busy timeout
		sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FULL, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_IOERR,
		sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY:
		return retry.Outage(pause, err)
	case sqlite3.SQLITE_ERROR:
		if noTable(cause) {
			return retry.Outage(pause, err)
		}
	}
	return err // among them SQLITE_LOCKED
}

// noTable reports whether err says that a table or a column is missing. SQLite has no code of its own for that.
func noTable(err error) bool { return strings.Contains(err.Error(), "no such ") }
