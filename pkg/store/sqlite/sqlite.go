// Package sqlite stores calls in one SQLite file, for installations of a single process.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/store/internal/row"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

const (
	keyLimit = math.MaxInt // an index takes texts of any length
	readers  = 4
)

// Store is a table of calls in one file. SQLite has one writer at a time, so there is one connection that writes; those
// that read do not wait for it.
type Store struct {
	writer *sql.DB
	reader *sql.DB
	insert *sql.Stmt
}

// Open opens the file at path, whose schema must be at least at the version of this program.
func Open(ctx context.Context, path string) (_ *Store, err error) {
	if err := CheckPath(path); err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no SQLite file %s: run `onhook migrate`", path)
	}
	s := &Store{}
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	if s.writer, err = open(path, 1, "_txlock=immediate"); err != nil {
		return nil, err
	}
	if s.reader, err = open(path, readers, "_query_only=1"); err != nil {
		return nil, err
	}
	if err := checkVersion(ctx, s.writer); err != nil {
		return nil, err
	}
	if s.insert, err = s.writer.PrepareContext(ctx, insertStatement()); err != nil {
		return nil, classify(ctx, err, "prepare to save calls")
	}
	return s, nil
}

// CheckPath says what is wrong with path, without looking for the file.
func CheckPath(path string) error {
	if path == "" || strings.HasPrefix(path, ":memory:") {
		return errors.New("SQLite needs a file: write sqlite:data/onhook.db")
	}
	return nil
}

// open makes a pool of n connections to the file at path. What has been committed is on disk: WAL and synchronous=FULL.
func open(path string, n int, params string) (*sql.DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	file := url.URL{Scheme: "file", Path: filepath.ToSlash(abs)}
	db, err := sql.Open("sqlite", file.String()+"?mode=rw&_busy_timeout=5000&_journal_mode=WAL&_synchronous=FULL&"+params)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return db, nil
}

// List returns the calls that f chooses, newest first.
func (s *Store) List(ctx context.Context, f row.Filter) ([]*call.Call, error) {
	query, args := dialect().Select(f)
	calls, err := s.query(ctx, query, args)
	return calls, classify(ctx, err, "list calls")
}

// Get returns one call, or row.ErrNotFound.
func (s *Store) Get(ctx context.Context, source, callID string) (*call.Call, error) {
	query, args := dialect().SelectOne(source, callID)
	calls, err := s.query(ctx, query, args)
	if err != nil {
		return nil, classify(ctx, err, "get a call")
	}
	if len(calls) == 0 {
		return nil, row.ErrNotFound
	}
	return calls[0], nil
}

func (s *Store) query(ctx context.Context, query string, args []any) (calls []*call.Call, err error) {
	rows, err := s.reader.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		c, err := row.Read(rows.Scan, func(t string) (time.Time, error) { return time.Parse(time.RFC3339, t) })
		if err != nil {
			return nil, err
		}
		calls = append(calls, c)
	}
	return calls, rows.Err()
}

// Ping reports whether the file can be read.
func (s *Store) Ping(ctx context.Context) error {
	var n int
	return classify(ctx, s.reader.QueryRowContext(ctx, "SELECT COUNT(*) FROM sqlite_schema").Scan(&n), "ping")
}

// Close closes the file.
func (s *Store) Close() error {
	var errs []error
	if s.insert != nil {
		errs = append(errs, s.insert.Close())
	}
	for _, db := range []*sql.DB{s.reader, s.writer} { // the writer last: it folds the write-ahead log into the file
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

func dialect() row.Dialect {
	return row.Dialect{
		Placeholder: func(n int) string { return fmt.Sprintf("?%d", n) },
		Time:        func(t time.Time) any { return call.At(t).String() },
		KeyLimit:    keyLimit,
	}
}
