// Package store keeps calls in SQL, in PostgreSQL or in SQLite.
package store

import (
	"context"
	"errors"
	"strings"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/store/internal/row"
	"github.com/onhook/onhook/pkg/store/postgres"
	"github.com/onhook/onhook/pkg/store/sqlite"
)

// Store is a table that holds each call once.
type Store interface {
	// Save stores calls and returns one result per call, in their order: nil where the call, or one that nothing may
	// overwrite, is now stored durably. An ended call overwrites a progress; the first ended call stays. The errors are
	// those of package retry: Never for a call that the engine refuses, Outage where the engine is down, and a plain
	// error where another attempt may succeed. What no engine can hold (NUL, half a surrogate pair, bytes that are not
	// UTF-8) is replaced everywhere but in the call's id, and a JSON number that this engine cannot hold becomes a
	// string; the stored call's warnings say so. The large parts must be valid JSON, as a decoder leaves them, and are
	// stored as they are. Save leaves the calls as they are.
	Save(ctx context.Context, calls []*call.Raw) []error
	// List returns the calls that f chooses, newest received first.
	List(ctx context.Context, f Filter) ([]*call.Call, error)
	// Get returns one call, or ErrNotFound.
	Get(ctx context.Context, source, callID string) (*call.Call, error)
	// SaveOutcomes stores what became of calls at CRM sinks and returns one result per outcome, as Save does. Of one sink
	// and call the latest stays.
	SaveOutcomes(ctx context.Context, outcomes []call.Outcome) []error
	// History returns when a call was stored and what became of it at each sink, or ErrNotFound.
	History(ctx context.Context, provider, source, callID string) (History, error)
	// Ping reports whether the engine answers.
	Ping(ctx context.Context) error
	// Close waits for what is running. No other method may be called after it.
	Close() error
}

// Filter chooses calls. An empty field chooses all.
type Filter = row.Filter

// History is what is kept of a call beside the call.
type History = row.History

// DefaultLimit is how many calls a Filter without a Limit lists.
const DefaultLimit = row.DefaultLimit

// ErrNotFound says that no such call is stored.
var ErrNotFound = row.ErrNotFound

var errDSN = errors.New("the storage DSN must be postgres://USER:PASSWORD@HOST/DATABASE or sqlite:PATH")

// Open opens the store that dsn names: postgres://… (or postgresql://…) or sqlite:PATH. It fails where the schema is
// older than this program; see Migrate. No error holds the DSN's password.
func Open(ctx context.Context, dsn string) (Store, error) {
	switch engine, path := parse(dsn); engine {
	case enginePostgres:
		return opened(postgres.Open(ctx, dsn))
	case engineSQLite:
		return opened(sqlite.Open(ctx, path))
	default:
		return nil, errDSN
	}
}

// CheckDSN says what is wrong with dsn as far as that can be told without connecting. No error holds the DSN's password.
func CheckDSN(dsn string) error {
	switch engine, path := parse(dsn); engine {
	case enginePostgres:
		return postgres.CheckDSN(dsn)
	case engineSQLite:
		return sqlite.CheckPath(path)
	default:
		return errDSN
	}
}

// opened keeps a nil engine from becoming a Store that is not nil.
func opened[S Store](s S, err error) (Store, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Migrate brings the schema to the version of this program, from version 0 if there is none. Several may run at once.
func Migrate(ctx context.Context, dsn string) (from, to int64, err error) {
	switch engine, path := parse(dsn); engine {
	case enginePostgres:
		return postgres.Migrate(ctx, dsn)
	case engineSQLite:
		return sqlite.Migrate(ctx, path)
	default:
		return 0, 0, errDSN
	}
}

type engine int

const (
	engineUnknown engine = iota
	enginePostgres
	engineSQLite
)

// parse tells the engine, and the path where it is SQLite.
func parse(dsn string) (engine, string) {
	scheme, rest, _ := strings.Cut(dsn, ":")
	switch scheme {
	case "postgres", "postgresql":
		if strings.HasPrefix(rest, "//") {
			return enginePostgres, ""
		}
	case "sqlite":
		return engineSQLite, rest
	}
	return engineUnknown, ""
}
