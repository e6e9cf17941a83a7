package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/config"
)

// TestExampleIsRead reads what this service reads of the file that we ship, every key of which is at its default.
func TestExampleIsRead(t *testing.T) {
	t.Parallel()
	f, err := config.Load("../../deploy/onhook.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var cfg Config
	var nats bus.Config
	if err := errors.Join(f.Section("storage", &cfg), f.Section("nats", &nats)); err != nil {
		t.Fatal(err)
	}
	if cfg != DefaultConfig() {
		t.Errorf("section storage is %+v, the default is %+v", cfg, DefaultConfig())
	}
	if nats != bus.DefaultConfig() {
		t.Errorf("section nats is %+v, the default is %+v", nats, bus.DefaultConfig())
	}
}

// TestDSNThatOnlyRunRefused: a DSN that no store can be opened with is an error of the file, where it stands in it.
func TestDSNThatOnlyRunRefused(t *testing.T) {
	t.Parallel()
	held := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(held, []byte("postgres://u:hunter2/x@h:5432/d\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ key, value, want string }{
		{"dsn", "mysql://u:hunter2@h/d", "onhook.yaml:2: storage.dsn: the storage DSN must be postgres://"},
		{"dsn", "postgres://u:hunter2@h/d?sslmode=maybe", "onhook.yaml:2: storage.dsn: the PostgreSQL DSN"},
		{"dsn", "'sqlite:'", "onhook.yaml:2: storage.dsn: SQLite needs a file"},
		{"dsn_file", held, "onhook.yaml:2: storage.dsn_file: the PostgreSQL DSN"},
		{"dsn", "postgres://u:hunter2@h.invalid/d", ""},
		{"dsn", "sqlite:no/such/folder/onhook.db", ""},
	} {
		f, err := config.Parse("onhook.yaml", fmt.Appendf(nil, "storage:\n  %s: %s\n", test.key, test.value))
		if err != nil {
			t.Fatal(err)
		}
		cfg := DefaultConfig()
		err = f.Section("storage", &cfg)
		if (err == nil) != (test.want == "") || err != nil && (!strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("%s: %s: error %v, want %q", test.key, test.value, err, test.want)
		}
	}
}
