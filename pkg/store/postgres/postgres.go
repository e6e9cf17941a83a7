// Package postgres stores calls in PostgreSQL.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/store/internal/row"
	"github.com/onhook/onhook/pkg/tlsfile"
)

const (
	// keyLimit is the most bytes of a text in an index; a B-tree entry may have 2,704 in all.
	keyLimit = 1024

	maxConns       = 4 // more do not store more calls per second
	connectTimeout = 5 * time.Second
	// queryTimeout ends a query that a network swallowed; without it a worker would wait for ever.
	queryTimeout = 30 * time.Second
)

// Store is a table of calls in one PostgreSQL database.
type Store struct {
	pool   *pgxpool.Pool
	insert string
}

// Open connects to the database, whose schema must be at least at the version of this program.
func Open(ctx context.Context, dsn string) (*Store, error) {
	cfg, err := parse(dsn)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, classify(err, "connect")
	}
	s := &Store{pool: pool, insert: insertStatement()}
	if err := s.checkVersion(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return s, nil
}

// CheckDSN says what is wrong with dsn, without connecting and without quoting it.
func CheckDSN(dsn string) error {
	_, err := parse(dsn)
	return err
}

// parse reads the DSN. Its errors do not quote it: it holds a password, and a DSN that cannot be parsed cannot be redacted.
func parse(dsn string) (*pgxpool.Config, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return nil, errors.New("the PostgreSQL DSN is not a URL: write postgres://user:password@host:5432/database, " +
			"with special characters of the password percent-encoded")
	}
	q := u.Query()
	if err := checkFiles(q); err != nil {
		return nil, err
	}
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New("the PostgreSQL DSN has a part that cannot be used: check the host, the port and what follows the question mark " +
			"(sslmode, connect_timeout, pool_max_conns)")
	}
	if !q.Has("pool_max_conns") {
		cfg.MaxConns = maxConns
	}
	if cfg.ConnConfig.ConnectTimeout == 0 {
		cfg.ConnConfig.ConnectTimeout = connectTimeout
	}
	if _, ok := cfg.ConnConfig.RuntimeParams["application_name"]; !ok {
		cfg.ConnConfig.RuntimeParams["application_name"] = "onhook"
	}
	return cfg, nil
}

// checkFiles looks at the files of the DSN, as what the driver says of them would quote the DSN.
func checkFiles(q url.Values) error {
	if ca := q.Get("sslrootcert"); ca != "" && ca != "system" {
		if _, err := tlsfile.Roots(ca); err != nil {
			return fmt.Errorf("sslrootcert of the PostgreSQL DSN: %w", err)
		}
	}
	pair := tlsfile.Config{CertFile: q.Get("sslcert"), KeyFile: q.Get("sslkey")}
	if q.Has("sslpassword") { // the key is encrypted
		return nil
	}
	if err := pair.Validate(); err != nil {
		return fmt.Errorf("sslcert and sslkey of the PostgreSQL DSN: %w", err)
	}
	return nil
}

// List returns the calls that f chooses, newest first.
func (s *Store) List(ctx context.Context, f row.Filter) ([]*call.Call, error) {
	query, args := dialect().Select(f)
	calls, err := s.query(ctx, query, args)
	return calls, s.failed(err, "list calls")
}

// Get returns one call, or row.ErrNotFound.
func (s *Store) Get(ctx context.Context, source, callID string) (*call.Call, error) {
	query, args := dialect().SelectOne(source, callID)
	calls, err := s.query(ctx, query, args)
	if err != nil {
		return nil, s.failed(err, "get a call")
	}
	if len(calls) == 0 {
		return nil, row.ErrNotFound
	}
	return calls[0], nil
}

func (s *Store) query(ctx context.Context, query string, args []any) ([]*call.Call, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	rows, err := s.pool.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (*call.Call, error) {
		return row.Read(r.Scan, func(t time.Time) (time.Time, error) { return t, nil })
	})
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	return s.failed(s.pool.Ping(ctx), "ping")
}

// Close waits for what is running and closes the connections.
func (s *Store) Close() error {
	s.pool.Close()
	return nil
}

// failed classifies err and drops connections that cannot be used any more.
func (s *Store) failed(err error, doing string) error {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == "25006" {
		// Read-only: after a failover these connections still lead to the old primary, and would for ever.
		s.pool.Reset()
	}
	return classify(err, doing)
}

func dialect() row.Dialect {
	return row.Dialect{
		Placeholder: func(n int) string { return "$" + strconv.Itoa(n) },
		Time:        func(t time.Time) any { return t },
		KeyLimit:    keyLimit,
	}
}

// insertStatement stores a batch: one array per column. An ended call overwrites a progress, and nothing else overwrites anything.
func insertStatement() string {
	texts, times, ints, jsons := row.Columns()
	var columns, arrays, values, set []string
	add := func(names []string, array, value string) {
		for _, name := range names {
			columns = append(columns, name)
			arrays = append(arrays, fmt.Sprintf("$%d::%s[]", len(columns), array))
			values = append(values, fmt.Sprintf(value, "x."+name))
			set = append(set, name+" = excluded."+name)
		}
	}
	add(texts, "text", "NULLIF(%s, '')")
	add(times, "timestamptz", "%s")
	add(ints, "bigint", "%s")
	add(jsons, "text", "NULLIF(%s, '')::jsonb")
	names := strings.Join(columns, ", ")
	return "INSERT INTO calls (" + names + ", stored_at) SELECT " + strings.Join(values, ", ") + ", now()" +
		" FROM unnest(" + strings.Join(arrays, ", ") + ") AS x(" + names + ")" +
		" ON CONFLICT (source, call_id, provider) DO UPDATE SET " + strings.Join(set, ", ") + ", stored_at = excluded.stored_at" +
		" WHERE calls.event <> 'ended' AND excluded.event = 'ended'"
}
