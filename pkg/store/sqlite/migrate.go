package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pressly/goose/v3"

	"github.com/onhook/onhook/pkg/store/internal/migration"
)

//go:embed migrations/*.sql
var files embed.FS

func migrations() fs.FS { return migration.Sub(files) }

// Migrate brings the schema to the version of this program, and makes the file and its folder if they are missing;
// calls are personal data, so only the owner may read them.
func Migrate(ctx context.Context, path string) (from, to int64, err error) {
	if err := CheckPath(path); err != nil {
		return 0, 0, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return 0, 0, fmt.Errorf("make the folder of the SQLite file: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return 0, 0, fmt.Errorf("make the SQLite file: %w", err)
	}
	if err := f.Close(); err != nil {
		return 0, 0, fmt.Errorf("make the SQLite file: %w", err)
	}
	db, err := open(path, 1, "_txlock=immediate")
	if err != nil {
		return 0, 0, err
	}
	defer db.Close()
	// There is no advisory lock. Of two processes at once, the one that comes second to a migration fails, undoes its
	// own and finds it done when it looks again.
	attempts, err := migration.Latest(migrations())
	if err != nil {
		return 0, 0, err
	}
	for range 1 + attempts {
		if from, to, err = migration.Up(ctx, goose.DialectSQLite3, db, migrations()); err == nil {
			break
		}
	}
	return from, to, classify(ctx, err, "migrate")
}

// checkVersion refuses a schema that is older than this program. A newer one is welcome: migrations only add.
func checkVersion(ctx context.Context, db *sql.DB) error {
	var have int64
	if err := db.QueryRowContext(ctx, migration.VersionQuery).Scan(&have); err != nil && !noTable(err) {
		return classify(ctx, err, "read the schema version")
	}
	return migration.Check(have, migrations())
}
