package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/onhook/onhook/pkg/store"
	"github.com/onhook/onhook/pkg/store/storetest"
)

func open(t testing.TB) store.Store {
	t.Helper()
	dsn := "sqlite:" + filepath.Join(t.TempDir(), "data", "onhook 100%?#.db")
	if _, _, err := store.Migrate(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Exercise(t, func(t *testing.T) store.Store { return open(t) })
}

func BenchmarkSave(b *testing.B) { storetest.Benchmark(b, open(b)) }
