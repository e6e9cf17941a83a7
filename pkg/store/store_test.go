package store_test

import (
	"strings"
	"testing"

	"github.com/onhook/onhook/pkg/store"
)

func TestDSN(t *testing.T) {
	t.Parallel()
	for _, dsn := range []string{"", "hunter2", "mysql://u:hunter2@h/d", "postgres:u:hunter2@h/d", "host=h password=hunter2", "/data/hunter2.db"} {
		s, err := store.Open(t.Context(), dsn)
		_, _, migrateErr := store.Migrate(t.Context(), dsn)
		if s != nil {
			t.Errorf("%q opened", dsn)
		}
		for _, err := range []error{err, migrateErr} {
			if err == nil || !strings.Contains(err.Error(), "postgres://") || !strings.Contains(err.Error(), "sqlite:") {
				t.Errorf("%q: error %v does not name both forms", dsn, err)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error holds the password: %v", err)
			}
		}
	}
}

// TestDSNThatWasCheckedTooLate: what is wrong with a DSN is known before a connection is tried.
func TestDSNThatWasCheckedTooLate(t *testing.T) {
	t.Parallel()
	for dsn, want := range map[string]string{ // "": nothing is wrong
		"postgres://u:hunter2@h.invalid/d":             "",
		"postgresql://u:hunter2@h.invalid:5432/d":      "",
		"sqlite:no/such/folder/onhook.db":              "",
		"":                                             "postgres://",
		"hunter2":                                      "postgres://",
		"mysql://u:hunter2@h/d":                        "postgres://",
		"postgres:u:hunter2@h/d":                       "postgres://",
		"postgres://u:hunter2%zz@h/d":                  "not a URL",
		"postgres://u:hunter2/x@h:5432/d":              "not a URL",
		"postgres://u:hunter2@h:port/d":                "not a URL",
		"postgres://u:hunter2@h/d?sslmode=maybe":       "sslmode",
		"postgres://h/d?password=hunter2&sslmode=nope": "sslmode",
		"sqlite:":                     "needs a file",
		"sqlite::memory:?key=hunter2": "needs a file",
	} {
		err := store.CheckDSN(dsn)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", dsn, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error holds the password: %v", err)
		}
	}
}
