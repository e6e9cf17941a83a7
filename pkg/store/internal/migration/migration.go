// Package migration brings a database's schema to the version of this program, the same for every engine.
package migration

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

// VersionQuery reads the schema's version. The table is missing where nothing was ever migrated.
const VersionQuery = "SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version WHERE is_applied"

// Sub is the folder migrations of files.
func Sub(files embed.FS) fs.FS {
	sub, err := fs.Sub(files, "migrations")
	if err != nil {
		panic(err) // the folder's name is not a valid path
	}
	return sub
}

// Up runs the migrations that db has not seen yet.
func Up(ctx context.Context, dialect goose.Dialect, db *sql.DB, migrations fs.FS, opts ...goose.ProviderOption) (from, to int64, err error) {
	p, err := goose.NewProvider(dialect, db, migrations, append(opts, goose.WithDisableGlobalRegistry(true))...)
	if err != nil {
		return 0, 0, err
	}
	done, err := p.Up(ctx)
	if err != nil {
		return 0, 0, err
	}
	if to, err = p.GetDBVersion(ctx); err != nil {
		return 0, 0, err
	}
	if len(done) == 0 {
		return to, to, nil
	}
	return previous(p, done[0].Source.Version), to, nil
}

// previous is the version before v, 0 if there is none.
func previous(p *goose.Provider, v int64) int64 {
	var before int64
	for _, s := range p.ListSources() { // in ascending order
		if s.Version < v {
			before = s.Version
		}
	}
	return before
}

// Check says what to do about a schema at version have.
func Check(have int64, migrations fs.FS) error {
	want, err := Latest(migrations)
	if err != nil {
		return err
	}
	if have < want {
		return fmt.Errorf("the database's schema is at version %d and this program needs %d: run `onhook migrate`", have, want)
	}
	return nil
}

// Latest is the version that migrations lead to. Versions count from 1.
func Latest(migrations fs.FS) (int64, error) {
	names, err := fs.Glob(migrations, "*.sql")
	if err != nil {
		return 0, err
	}
	return goose.NumericComponent(names[len(names)-1]) // in ascending order
}
