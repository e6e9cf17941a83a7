package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/onhook/onhook/pkg/retry"
)

// pause is when it is worth looking again after an outage.
const pause = 2 * time.Second

// classify says what err means to the calls that were being stored, or nil for nil.
//
// Its texts hold neither a call's values nor the password: of what the server says, Detail is left out everywhere, and
// Message too where a call is at fault, for there it quotes the call.
func classify(err error, doing string) error {
	if err == nil {
		return nil
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch kind := kindOf(pg.Code); kind {
		case retry.Dead:
			return retry.Never(fmt.Errorf("PostgreSQL refuses the call: SQLSTATE %s%s", pg.Code, where(pg)))
		case retry.Paused:
			return retry.Outage(pause, fmt.Errorf("PostgreSQL: %s: %w", doing, err))
		default:
			return fmt.Errorf("PostgreSQL: %s: %w", doing, err)
		}
	}
	err = fmt.Errorf("PostgreSQL: %s: %w", doing, err)
	if unreachable(err) {
		return retry.Outage(pause, err)
	}
	return err
}

// kindOf says what a SQLSTATE means: https://www.postgresql.org/docs/current/errcodes-appendix.html
func kindOf(code string) retry.Kind {
	if code == "25006" { // read_only_sql_transaction: a standby
		return retry.Paused
	}
	for _, class := range [...]struct {
		prefix string
		kind   retry.Kind
	}{
		{"08", retry.Paused}, // connection exception
		{"22", retry.Dead},   // data exception
		{"23", retry.Dead},   // integrity constraint violation
		{"28", retry.Paused}, // invalid authorization: an operator must act
		{"3D", retry.Paused}, // no such database
		{"42", retry.Paused}, // no such table or column, or no right to it: the statements are fixed, so it is never the call
		{"53", retry.Paused}, // insufficient resources: disk full, too many connections
		{"54", retry.Dead},   // program limit exceeded: JSON nested too deep or too large
		{"57", retry.Paused}, // operator intervention: shutdown, starting up, canceled
		{"58", retry.Paused}, // system error: I/O
	} {
		if strings.HasPrefix(code, class.prefix) {
			return class.kind
		}
	}
	return retry.Again // among them 40001 serialization_failure, 40P01 deadlock_detected, 55P03 lock_not_available
}

// outOfRange reports whether err is numeric_value_out_of_range.
func outOfRange(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == "22003"
}

// unreachable reports whether err, which is not the server's, says that there was no answer from it.
func unreachable(err error) bool {
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	for _, known := range [...]error{context.Canceled, context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed} {
		if errors.Is(err, known) {
			return true
		}
	}
	return pgconn.SafeToRetry(err) // the connection was found dead before anything was sent
}

// where names the column and the constraint that the server named.
func where(pg *pgconn.PgError) string {
	var b strings.Builder
	if pg.ColumnName != "" {
		fmt.Fprintf(&b, ", column %s", pg.ColumnName)
	}
	if pg.ConstraintName != "" {
		fmt.Fprintf(&b, ", constraint %s", pg.ConstraintName)
	}
	return b.String()
}
