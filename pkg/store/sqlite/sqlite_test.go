package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/pkg/store/internal/row"
)

// setup returns a store in a file of its own, and the file's path.
func setup(t *testing.T) (*Store, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "onhook.db")
	if _, _, err := Migrate(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	return reopen(t, path), path
}

func reopen(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func ended(id string) *call.Raw {
	return &call.Raw{Call: call.Call{
		Schema: call.Schema, Key: call.Key("cllr", "leads-in", id), Provider: "cllr", Source: "leads-in", CallID: id,
		Event: call.Ended, IsFinal: true, PayloadVersion: "1", Direction: call.DirectionUnknown, Status: call.StatusUnknown,
		EndReason: call.EndUnknown, AnsweredBy: call.AnsweredByUnknown,
	}}
}

func save(t *testing.T, s *Store, c *call.Raw, want retry.Kind) {
	t.Helper()
	err := s.Save(t.Context(), []*call.Raw{c})[0]
	if kind, _ := retry.Classify(err); kind != want {
		t.Errorf("save %.20s: error %v is of kind %d, want %d", c.CallID, err, kind, want)
	}
}

func count(t *testing.T, s *Store) int {
	t.Helper()
	calls, err := s.List(t.Context(), row.Filter{Limit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return len(calls)
}

// TestDurability: an acknowledged call is on disk only with these settings, and a file system may refuse WAL in silence.
func TestDurability(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "busy_timeout": "5000"} {
		var got string
		if err := s.writer.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q (error %v), want %q", pragma, got, err, want)
		}
	}
	if _, err := s.reader.ExecContext(t.Context(), "DELETE FROM calls"); err == nil {
		t.Error("the readers can write")
	}
}

func TestReopen(t *testing.T) {
	t.Parallel()
	s, path := setup(t)
	for i := range 50 {
		save(t, s, ended(fmt.Sprint(i)), retry.Done)
	}
	// As after a crash: the first store still has the file open, and its log was never folded in.
	if n := count(t, reopen(t, path)); n != 50 {
		t.Errorf("%d calls beside a store that is still open, want 50", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := count(t, reopen(t, path)); n != 50 {
		t.Errorf("%d calls after close, want 50", n)
	}
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	save(t, s, ended("before"), retry.Done)
	limit := func(pages int) {
		if _, err := s.writer.ExecContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
			t.Fatal(err)
		}
	}
	limit(1) // SQLite rounds up to the pages there are
	big := ended("big")
	big.Error = strings.Repeat("x", 1<<20)
	errs := s.Save(t.Context(), []*call.Raw{ended("small"), big, ended("after")})
	for i, err := range errs {
		if kind, _ := retry.Classify(err); kind != retry.Paused {
			t.Errorf("call %d on a full disk: error %v, want an outage", i, err)
		}
	}
	if n := count(t, s); n != 1 {
		t.Errorf("%d calls stored, want the 1 from before", n)
	}
	limit(1 << 30)
	save(t, s, big, retry.Done)
}

// TestLocked: another process that holds the file for long stops every call alike, and is no fault of any.
func TestLocked(t *testing.T) {
	t.Parallel()
	s, path := setup(t)
	other := reopen(t, path)
	tx, err := other.writer.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.writer.ExecContext(t.Context(), "PRAGMA busy_timeout = 10"); err != nil {
		t.Fatal(err)
	}
	save(t, s, ended("a"), retry.Paused)
	if n := count(t, s); n != 0 {
		t.Errorf("%d calls stored, want 0", n)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	save(t, s, ended("a"), retry.Done)
}

func TestTableMissing(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	for _, test := range []struct {
		rename string
		want   retry.Kind
	}{{"calls RENAME TO elsewhere", retry.Paused}, {"elsewhere RENAME TO calls", retry.Done}} {
		if _, err := s.writer.ExecContext(t.Context(), "ALTER TABLE "+test.rename); err != nil {
			t.Fatal(err)
		}
		save(t, s, ended("a"), test.want)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	missing := filepath.Join(dir, "missing.db")
	for _, test := range []struct{ name, path, want string }{
		{"missing", missing, "onhook migrate"},
		{"never migrated", write("empty.db", ""), "onhook migrate"},
		{"not SQLite", write("text.db", strings.Repeat("not a database. ", 100)), "not a database"},
		{"in memory", ":memory:", "needs a file"},
		{"no path", "", "needs a file"},
	} {
		s, err := Open(t.Context(), test.path)
		if err == nil {
			s.Close()
			t.Errorf("%s: no error", test.name)
		} else if !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %q does not say %q", test.name, err, test.want)
		}
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("Open made the file that was missing")
	}
}

func TestMigrateKeepsOthersOut(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "folder", "onhook.db")
	if from, to, err := Migrate(t.Context(), path); from != 0 || to != 2 || err != nil {
		t.Fatalf("from %d to %d, error %v; want 0 to 2", from, to, err)
	}
	if from, to, err := Migrate(t.Context(), path); from != 2 || to != 2 || err != nil {
		t.Errorf("again: from %d to %d, error %v; want 2 to 2", from, to, err)
	}
	save(t, reopen(t, path), ended("a"), retry.Done) // for the log's file
	for _, name := range []string{path, path + "-wal", filepath.Dir(path)} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if others := info.Mode().Perm() & 0o077; others != 0 {
			t.Errorf("others may do %o with %s", others, filepath.Base(name))
		}
	}
}

func TestAnOlderProgramWorksOverALaterSchemaAndANewerOneRefusesAnEarlier(t *testing.T) {
	t.Parallel()
	s, path := setup(t)
	for _, statement := range []string{"ALTER TABLE calls ADD COLUMN later TEXT", "INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)"} {
		if _, err := s.writer.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if from, to, err := Migrate(t.Context(), path); from != 999 || to != 999 || err != nil {
		t.Errorf("from %d to %d, error %v; want 999 to 999", from, to, err)
	}
	save(t, reopen(t, path), ended("a"), retry.Done)
	if _, err := s.writer.ExecContext(t.Context(), "DELETE FROM goose_db_version WHERE version_id > 1"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), "is at version 1 and this program needs 2: run `onhook migrate`") {
		t.Errorf("error %v, want one that says what to run", err)
	}
}

// TestMigrateInProcesses: several processes that start at once on a file that none of them has made yet.
func TestMigrateInProcesses(t *testing.T) {
	const variable = "ONHOOK_TEST_MIGRATE"
	if path := os.Getenv(variable); path != "" {
		if _, to, err := Migrate(context.Background(), path); to != 2 || err != nil {
			t.Fatalf("to version %d, error %v", to, err)
		}
		return
	}
	t.Parallel()
	for round := range 3 {
		path := filepath.Join(t.TempDir(), "data", "onhook.db")
		var started []*exec.Cmd
		var output [4]strings.Builder
		for i := range output {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMigrateInProcesses$", "-test.count=1")
			cmd.Env = append(os.Environ(), variable+"="+path)
			cmd.Stdout, cmd.Stderr = &output[i], &output[i]
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			started = append(started, cmd)
		}
		var errs []error
		for i, cmd := range started {
			if err := cmd.Wait(); err != nil {
				errs = append(errs, fmt.Errorf("process %d: %w: %s", i, err, output[i].String()))
			}
		}
		if err := errors.Join(errs...); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		save(t, reopen(t, path), ended("a"), retry.Done)
	}
}
