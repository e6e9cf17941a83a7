package postgres

import (
	"context"
	"embed"
	"errors"
	"io/fs"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/onhook/onhook/pkg/store/internal/migration"
)

//go:embed migrations/*.sql
var files embed.FS

func migrations() fs.FS { return migration.Sub(files) }

// Migrate brings the schema to the version of this program. Of several at once, one works and the others wait for it.
func Migrate(ctx context.Context, dsn string) (from, to int64, err error) {
	cfg, err := parse(dsn)
	if err != nil {
		return 0, 0, err
	}
	db := stdlib.OpenDB(*cfg.ConnConfig)
	defer db.Close()
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300)) // try every second, for 5 minutes
	if err != nil {
		return 0, 0, err
	}
	from, to, err = migration.Up(ctx, goose.DialectPostgres, db, migrations(), goose.WithSessionLocker(locker))
	return from, to, classify(err, "migrate")
}

// checkVersion refuses a schema that is older than this program. A newer one is welcome: migrations only add.
func (s *Store) checkVersion(ctx context.Context) error {
	var have int64
	err := s.pool.QueryRow(ctx, migration.VersionQuery).Scan(&have)
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == "42P01" { // undefined_table
		err = nil
	}
	if err != nil {
		return classify(err, "read the schema version")
	}
	return migration.Check(have, migrations())
}
