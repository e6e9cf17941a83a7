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
