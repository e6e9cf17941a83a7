package storage_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/store/storetest"
	"github.com/onhook/onhook/pkg/store/storetest/pgtest"
)

// down is how long PostgreSQL is away.
const (
	down      = 2 * time.Minute
	downShort = 10 * time.Second // with -short
)

func TestPostgreSQLDownUnderLoadCostsNothingButLag(t *testing.T) {
	f := setup(t)
	f.cfg.Attempts = 1 // an attempt that is counted is a dead letter
	server := pgtest.Start(t)
	dsn := server.Database(t)
	s := openStore(t, dsn)
	f.start(s)
	f.start(s)

	loadCtx, endLoad := context.WithCancel(t.Context())
	defer endLoad()
	published := make(chan []string, 1)
	go func() { // about 50 calls a second, before, while and after
		var ids []string
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for n := 0; loadCtx.Err() == nil; n += 10 {
			var calls []*call.Call
			for i := range 10 {
				calls = append(calls, storetest.Full(fmt.Sprintf("call-%06d", n+i)))
			}
			for i, err := range f.bus.PublishCalls(t.Context(), calls) {
				if err != nil {
					t.Errorf("publish: %v", err)
				}
				ids = append(ids, calls[i].CallID)
			}
			select {
			case <-tick.C:
			case <-loadCtx.Done():
			}
		}
		published <- ids
	}()
	f.waitFor("some calls", func() bool { return len(stored(t, s)) > 100 })

	server.Stop(t)
	away := down
	if testing.Short() {
		away = downShort
	}
	began := time.Now()
	<-time.After(away) // the length of the outage is what is tested
	if st := f.status(); st.Pending < uint64(away.Seconds())*25 || st.Dead != 0 || st.Scheduled != 0 || st.OldestSeconds < away.Seconds()/2 {
		t.Errorf("after %v without PostgreSQL: %+v", time.Since(began), st)
	}
	server.Restart(t)
	backlog := f.status().Pending
	began = time.Now()
	f.waitFor("the backlog to drain under load", func() bool { return f.status().Pending < 100 })
	t.Logf("a backlog of %d calls drained in %v", backlog, time.Since(began))
	endLoad()
	ids := <-published
	f.waitSettled()
	wantSame(t, storedIDs(t, dsn), ids)
	f.untroubled()
}

// storedIDs asks PostgreSQL for the call ids alone: to list tens of thousands of whole calls takes a busy machine too long.
func storedIDs(t *testing.T, dsn string) []string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	rows, err := conn.Query(t.Context(), "SELECT call_id FROM calls")
	if err != nil {
		t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestPostgreSQLKilledInTheMiddleOfATransactionLosesNothing(t *testing.T) {
	f := setup(t)
	f.cfg.Attempts = 1
	server := pgtest.Start(t)
	dsn := server.Database(t)
	s := openStore(t, dsn)
	release := lockPostgreSQL(t, dsn)
	ids := idsUpTo(200)
	f.publish(full(ids...)...)
	f.start(s)
	watch, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	f.waitFor("an insert that waits for the lock", func() bool {
		var n int
		err := watch.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO calls%'").Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n > 0
	})
	server.Stop(t)
	_ = watch.Close(context.Background()) // its server is dead
	release()
	server.Restart(t)
	f.waitSettled()
	wantIDs(t, s, ids)
	f.untroubled()
}

// lockPostgreSQL holds the table of calls until release is called, or the server dies.
func lockPostgreSQL(t *testing.T, dsn string) (release func()) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"BEGIN", "LOCK TABLE calls IN ACCESS EXCLUSIVE MODE"} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	return func() { _ = conn.Close(context.Background()) } // ends its transaction
}

func lockSQLite(t *testing.T, dsn string) (release func()) {
	t.Helper()
	db, err := sql.Open("sqlite", strings.TrimPrefix(dsn, "sqlite:"))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	return func() { // a second time does nothing
		_, _ = conn.ExecContext(context.Background(), "ROLLBACK")
		_ = conn.Close()
		_ = db.Close()
	}
}

// Whoever locks the table, a backup or a person at a prompt, is no fault of the calls that wait.
func TestALockedTableIsAnOutage(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	for name, engine := range map[string]struct {
		dsn  func(*testing.T) string
		lock func(*testing.T, string) func()
	}{
		"SQLite":     {func(t *testing.T) string { return sqliteDSN(t) }, lockSQLite},
		"PostgreSQL": {func(t *testing.T) string { return server.Database(t) }, lockPostgreSQL},
	} {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			f.cfg.Attempts, f.cfg.SaveTimeout, f.cfg.ProbeMax = 1, 6*time.Second, 50*time.Millisecond // SQLite itself waits for 5 s
			dsn := engine.dsn(t)
			s := openStore(t, dsn)
			release := engine.lock(t, dsn)
			defer release()
			ids := idsUpTo(100)
			f.publish(full(ids...)...)
			f.start(s)
			f.waitFor("an outage", func() bool { return f.results("outage") > 0 || len(f.dead()) > 0 })
			f.untroubled()
			release()
			f.waitSettled()
			wantIDs(t, s, ids)
			f.untroubled()
		})
	}
}

// results is one counter of onhook_sink_results_total.
func (f *fixture) results(result string) float64 {
	f.t.Helper()
	families, err := f.reg.Gather()
	if err != nil {
		f.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "onhook_sink_results_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "result" && l.GetValue() == result {
					return m.GetCounter().GetValue()
				}
			}
		}
	}
	return 0
}
