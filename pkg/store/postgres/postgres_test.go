package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/pkg/store"
	"github.com/onhook/onhook/pkg/store/storetest"
	"github.com/onhook/onhook/pkg/store/storetest/pgtest"
)

// TestPostgres is one test, because its parts share one container.
func TestPostgres(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	t.Run("parallel", func(t *testing.T) {
		storetest.Exercise(t, func(t *testing.T) store.Store {
			s, _ := open(t, server)
			return s
		})
		for _, test := range []struct {
			name string
			run  func(*testing.T, *pgtest.Server)
		}{
			{"Columns", columns},
			{"ConcurrentMigrate", concurrentMigrate},
			{"MigrateWaitsForTheLock", migrateWaits},
			{"OpenBeforeMigrate", openBeforeMigrate},
			{"AnOlderProgram", anOlderProgram},
			{"NumberTooLarge", numberTooLarge},
			{"SessionsKilled", sessionsKilled},
			{"LockTimeout", lockTimeout},
			{"TableMissing", tableMissing},
			{"ReadOnly", readOnly},
			{"Login", login},
			{"TLS", overTLS},
		} {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				test.run(t, server)
			})
		}
	})
	t.Run("Outage", func(t *testing.T) { outage(t, server) }) // alone: it stops the server
}

// open returns a store in a database of its own, and that database's DSN.
func open(t testing.TB, server *pgtest.Server) (store.Store, string) {
	t.Helper()
	dsn := server.Database(t)
	if _, _, err := store.Migrate(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, dsn
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func exec(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func saveOne(t *testing.T, s store.Store, c *call.Call) error {
	t.Helper()
	return s.Save(t.Context(), storetest.Raw(t, c))[0]
}

func wantKind(t *testing.T, err error, want retry.Kind) {
	t.Helper()
	if kind, _ := retry.Classify(err); kind != want {
		t.Errorf("error %v is of kind %d, want %d", err, kind, want)
	}
}

// columns: what people query is where they expect it, in types that they can compute with, compressed with lz4.
func columns(t *testing.T, server *pgtest.Server) {
	s, dsn := open(t, server)
	if err := saveOne(t, s, storetest.Full("a")); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, dsn)
	for _, test := range []struct{ expression, want string }{
		{"provider || '/' || source || '/' || call_id || '/' || key", "altur/collections-mx/a/altur:collections-mx:a"},
		{"customer_phone || '/' || customer_phone_raw || '/' || from_phone || '/' || to_phone", "+525587654321/+52 (55) 8765-4321/+525512345678/55 8765 4321"},
		{"customer_name || '/' || customer_external_id || '/' || agent_id", `Zoë O'Neill "Z"/crm-77/asst_1`},
		{"(duration_ms + billed_duration_ms)::text", "117000"},
		{"(ended_at - started_at)::text", "00:00:57"},
		{"(received_at - created_at)::text", "00:00:59"},
		{"(stored_at > now() - interval '1 minute')::text", "true"},
		{"analysis->>'summary'", "Paid."},
		{"extracted->>'one'", "1.0"},
		{"(SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'calls'::regclass AND attcompression = 'l')",
			"transcript analysis extracted extensions record"},
	} {
		var got string
		if err := conn.QueryRow(t.Context(), "SELECT "+test.expression+" FROM calls").Scan(&got); err != nil || got != test.want {
			t.Errorf("%s is %q (error %v), want %q", test.expression, got, err, test.want)
		}
	}
}

func concurrentMigrate(t *testing.T, server *pgtest.Server) {
	dsn := server.Database(t)
	const n = 6
	var from [n]int64
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			var to int64
			var err error
			if from[i], to, err = store.Migrate(t.Context(), dsn); err != nil || to != 2 {
				t.Errorf("migrate: to version %d, error %v", to, err)
			}
		})
	}
	wg.Wait()
	worked := 0
	for _, v := range from {
		if v == 0 {
			worked++
		}
	}
	if worked != 1 {
		t.Errorf("%d of %d migrated from version 0, want 1", worked, n)
	}
}

// migrateWaits: while another process holds goose's advisory lock, Migrate does nothing.
func migrateWaits(t *testing.T, server *pgtest.Server) {
	dsn := server.Database(t)
	holder := connect(t, dsn)
	exec(t, holder, "SELECT pg_advisory_lock(4097083626)")
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	if _, _, err := store.Migrate(ctx, dsn); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("migrate without the lock: error %v, want deadline exceeded", err)
	}
	exec(t, holder, "SELECT pg_advisory_unlock(4097083626)")
	if from, to, err := store.Migrate(t.Context(), dsn); from != 0 || to != 2 || err != nil {
		t.Errorf("migrate from %d to %d, error %v; want 0 to 2", from, to, err)
	}
}

// anOlderProgram works over a schema that a later version has migrated, and leaves it as it is.
func anOlderProgram(t *testing.T, server *pgtest.Server) {
	_, dsn := open(t, server)
	exec(t, connect(t, dsn), "ALTER TABLE calls ADD COLUMN later text; INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, true)")
	if from, to, err := store.Migrate(t.Context(), dsn); from != 999 || to != 999 || err != nil {
		t.Errorf("migrate from %d to %d, error %v; want 999 to 999", from, to, err)
	}
	s, err := store.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	wantKind(t, saveOne(t, s, storetest.Minimal("a")), retry.Done)
}

func openBeforeMigrate(t *testing.T, server *pgtest.Server) {
	_, err := store.Open(t.Context(), server.Database(t))
	if err == nil || !strings.Contains(err.Error(), "onhook migrate") {
		t.Errorf("error %v, want one that says what to run", err)
	}
}

// numberTooLarge: jsonb holds numbers of any precision but not of any size. What it refuses is a string, and no more.
func numberTooLarge(t *testing.T, server *pgtest.Server) {
	s, dsn := open(t, server)
	calls := []*call.Call{storetest.Full("a"), storetest.Full("b"), storetest.Full("c"), storetest.Full("d")}
	calls[2].Extensions["n"] = json.RawMessage("1e200000")
	calls[3].Extensions["n"] = json.RawMessage(strings.Repeat("[", 9000) + strings.Repeat("]", 9000))
	errs := s.Save(t.Context(), storetest.Raw(t, calls...))
	wantKind(t, errs[0], retry.Done)
	wantKind(t, errs[1], retry.Done)
	wantKind(t, errs[2], retry.Done)
	if kind, _ := retry.Classify(errs[3]); kind != retry.Done && kind != retry.Dead {
		t.Errorf("deep nesting: error %v, want none or retry.Never", errs[3])
	}
	got, err := s.Get(t.Context(), calls[2].Source, "c")
	if err != nil || string(got.Extensions["n"]) != `"1e200000"` || got.Warnings[len(got.Warnings)-1] != "number_quoted" {
		t.Errorf("error %v; %+v", err, got)
	}
	conn := connect(t, dsn)
	for _, test := range numbers {
		_, err := conn.Exec(t.Context(), "SELECT $1::text::jsonb", test.number)
		if (err != nil) != test.beyond {
			t.Errorf("%.40s: PostgreSQL says %v, want an error: %t", test.number, err, test.beyond)
		}
	}
}

// sessionsKilled: while writers work their sessions are ended by an administrator, again and again.
func sessionsKilled(t *testing.T, server *pgtest.Server) {
	s, dsn := open(t, server)
	admin := connect(t, dsn)
	const writers, batches, size, kills = 4, 10, 20, 8
	var wg sync.WaitGroup
	killed := make(chan struct{})
	for w := range writers {
		wg.Go(func() {
			for b := range batches {
				todo := make([]*call.Raw, size)
				for i := range todo {
					todo[i] = storetest.Raw(t, storetest.Full(fmt.Sprintf("%d-%d-%d", w, b, i)))[0]
				}
				if b == batches-1 {
					<-killed // so that a batch remains for after the last kill
				}
				for len(todo) > 0 && t.Context().Err() == nil {
					var again []*call.Raw
					for i, err := range s.Save(t.Context(), todo) {
						if kind, _ := retry.Classify(err); kind == retry.Dead {
							t.Errorf("a killed session killed a call: %v", err)
						} else if err != nil {
							again = append(again, todo[i])
						}
					}
					todo = again
				}
			}
		})
	}
	wg.Go(func() {
		defer close(killed)
		for n := 0; n < kills && t.Context().Err() == nil; {
			var k int
			err := admin.QueryRow(t.Context(), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
				WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'active'`).Scan(&k)
			if err != nil {
				t.Error(err)
				return
			}
			n += k
		}
	})
	wg.Wait()
	calls, err := s.List(t.Context(), store.Filter{Limit: 10 * writers * batches * size})
	for ; err != nil && t.Context().Err() == nil; calls, err = s.List(t.Context(), store.Filter{Limit: 10 * writers * batches * size}) {
		wantKind(t, err, retry.Paused) // a session that was killed while idle
	}
	if len(calls) != writers*batches*size {
		t.Errorf("%d calls stored, want %d", len(calls), writers*batches*size)
	}
}

// lockTimeout: a conflict with another session is worth another attempt, and counted.
func lockTimeout(t *testing.T, server *pgtest.Server) {
	_, dsn := open(t, server)
	s, err := store.Open(t.Context(), dsn+"&lock_timeout=50")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	holder := connect(t, dsn)
	exec(t, holder, "BEGIN")
	exec(t, holder, "LOCK TABLE calls")
	wantKind(t, saveOne(t, s, storetest.Minimal("a")), retry.Again)
	exec(t, holder, "ROLLBACK")
	wantKind(t, saveOne(t, s, storetest.Minimal("a")), retry.Done)
}

func tableMissing(t *testing.T, server *pgtest.Server) {
	s, dsn := open(t, server)
	conn := connect(t, dsn)
	exec(t, conn, "ALTER TABLE calls RENAME TO elsewhere")
	wantKind(t, saveOne(t, s, storetest.Minimal("a")), retry.Paused)
	exec(t, conn, "ALTER TABLE elsewhere RENAME TO calls")
	wantKind(t, saveOne(t, s, storetest.Minimal("a")), retry.Done)
}

// readOnly: after a failover the pool's sessions lead to a server that takes no writes; they must not be kept.
func readOnly(t *testing.T, server *pgtest.Server) {
	s, dsn := open(t, server)
	conn := connect(t, dsn)
	name := conn.Config().Database
	exec(t, conn, "ALTER DATABASE "+name+" SET default_transaction_read_only = on")
	exec(t, conn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
	for range 10 { // the first may be the killed session's
		if err := saveOne(t, s, storetest.Minimal("a")); err == nil || strings.Contains(err.Error(), "25006") {
			wantKind(t, err, retry.Paused)
			break
		}
	}
	exec(t, conn, "SET default_transaction_read_only = off")
	exec(t, conn, "ALTER DATABASE "+name+" SET default_transaction_read_only = off")
	wantKind(t, saveOne(t, s, storetest.Minimal("a")), retry.Done)
}

// login: what an operator must mend is an outage, and no error holds the password.
func login(t *testing.T, server *pgtest.Server) {
	dsn := server.Database(t)
	for _, test := range []struct {
		name, dsn string
		want      retry.Kind
	}{
		{"wrong password", strings.Replace(dsn, ":pgtest@", ":hunter2%24x@", 1), retry.Paused},
		{"no such database", strings.Replace(dsn, "?", "_gone?", 1) + "&application_name=hunter2", retry.Paused},
		{"no server", "postgres://u:hunter2@127.0.0.1:1/d", retry.Paused},
		{"no host", "postgres://u:hunter2@host.invalid/d", retry.Paused},
		{"password not encoded", "postgres://u:hunter2%zz@h/d", retry.Again},
		{"password with a slash", "postgres://u:hunter2/x@h:5432/d", retry.Again},
		{"bad parameter", "postgres://u:hunter2@h/d?sslmode=maybe", retry.Again},
		{"password as a parameter", "postgres://h/d?user=u&password=hunter2&connect_timeout=x", retry.Again},
	} {
		_, err := store.Open(t.Context(), test.dsn)
		_, _, migrateErr := store.Migrate(t.Context(), test.dsn)
		for _, err := range []error{err, migrateErr} {
			if err == nil {
				t.Errorf("%s: no error", test.name)
				continue
			}
			wantKind(t, err, test.want)
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: the error holds the password: %v", test.name, err)
			}
		}
	}
}

// outage: a stopped server costs nothing but time, and the same store works on when it is back.
func outage(t *testing.T, server *pgtest.Server) {
	s, _ := open(t, server)
	wantKind(t, saveOne(t, s, storetest.Minimal("before")), retry.Done)
	server.Stop(t)
	calls := make([]*call.Raw, 1000)
	for i := range calls {
		calls[i] = storetest.Raw(t, storetest.Full(fmt.Sprint(i)))[0]
	}
	for _, what := range []string{"a dead connection", "no server"} {
		for i, err := range s.Save(t.Context(), calls) {
			kind, delay := retry.Classify(err)
			if kind != retry.Paused || delay < time.Second || delay > 5*time.Second {
				t.Fatalf("%s: call %d: error %v of kind %d and delay %s, want an outage of 1 to 5 s", what, i, err, kind, delay)
			}
		}
	}
	wantKind(t, s.Ping(t.Context()), retry.Paused)
	_, err := s.Get(t.Context(), "leads-in", "before")
	wantKind(t, err, retry.Paused)
	server.Restart(t)
	for _, err := range s.Save(t.Context(), calls) {
		wantKind(t, err, retry.Done)
	}
	got, err := s.List(t.Context(), store.Filter{Limit: 2000})
	if err != nil || len(got) != 1001 {
		t.Errorf("%d calls stored, error %v; want 1001", len(got), err)
	}
}

func BenchmarkSave(b *testing.B) {
	s, _ := open(b, pgtest.Start(b))
	storetest.Benchmark(b, s)
}
