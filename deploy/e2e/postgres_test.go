//go:build linux

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"
)

const (
	postgresPort     = "5432"
	postgresPassword = "torture"
)

// postgres is a PostgreSQL server.
type postgres struct{ *server }

// startPostgres starts a server that ends with t.
func startPostgres(t *testing.T) (*postgres, error) {
	d, err := newDocker(t)
	if err != nil {
		return nil, err
	}
	s, err := d.start("postgres", "ONHOOK_TEST_POSTGRES_IMAGE", "postgres:17", []string{postgresPort}, wait.ForListeningPort(postgresPort+"/tcp"),
		testcontainers.WithEnv(map[string]string{"POSTGRES_PASSWORD": postgresPassword}))
	return &postgres{s}, err
}

// takePostgres is the suite's server.
func takePostgres(t *testing.T, s *suite, r *result) *postgres {
	t.Helper()
	if sh := s.shared; sh.postgres == nil && sh.unable == nil {
		sh.postgres, sh.unable = startPostgres(sh.t)
	}
	s.shared.require(t, r)
	p := s.shared.postgres
	t.Cleanup(func() { p.show(t) })
	p.restore(t)
	return p
}

// create makes an empty database and returns its DSN.
func (p *postgres) create(t *testing.T) string {
	t.Helper()
	p.awaitAnswer(t)
	name := fmt.Sprintf("torture_%08x", rand.Uint32())
	execute(t, p.dsn("postgres"), "CREATE DATABASE "+name)
	return p.dsn(name)
}

func (p *postgres) dsn(database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword("postgres", postgresPassword), Host: p.addr(postgresPort), Path: database, RawQuery: "sslmode=disable"}
	return u.String()
}

// awaitAnswer waits until the server answers a query: an open port is not enough.
func (p *postgres) awaitAnswer(t *testing.T) {
	t.Helper()
	await(t, "PostgreSQL to answer", func() bool {
		n, err := count(t, p.dsn("postgres"), "SELECT 1")
		return err == nil && n == 1
	})
}

// execute runs statements.
func execute(t *testing.T, dsn, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatalf("connect to PostgreSQL: %v", err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// count is the one number that a query answers.
func count(t *testing.T, dsn, sql string) (n int, err error) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.Background())
	err = conn.QueryRow(ctx, sql).Scan(&n)
	return n, err
}

// overPostgres starts two of each service over a database of the server.
func overPostgres(t *testing.T, s *suite, p *postgres) *installation {
	t.Helper()
	return apart(t, s, layout{dsn: p.create(t), ingress: 2, decoders: 2, storage: 2})
}

// postgresDown stops the server and starts it again after a while.
func postgresDown(t *testing.T, s *suite, r *result) {
	p := takePostgres(t, s, r)
	in := overPostgres(t, s, p)
	l := startLoad(t, in, loadOptions{})
	l.awaitAcks(60)
	p.end(t, "INT")
	r.Injected++
	last(s.time(10*time.Second, 2*time.Minute))
	p.begin(t)
	l.awaitAcks(100)
	check(t, in, l, r)
	r.wantAnswers(t, "200") // a webhook does not wait for the database
}

// postgresRestarted restarts the server over and over.
func postgresRestarted(t *testing.T, s *suite, r *result) {
	p := takePostgres(t, s, r)
	in := overPostgres(t, s, p)
	l := startLoad(t, in, loadOptions{})
	for range s.count(3, 20) {
		l.awaitAcks(1 + rand.IntN(60))
		p.awaitAnswer(t)
		p.end(t, "INT")
		p.begin(t)
		r.Injected++
	}
	l.awaitAcks(20)
	check(t, in, l, r)
	r.wantAnswers(t, "200")
}

// slowInserts holds each statement that has written its rows, before it commits them.
const slowInserts = `
CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END $$;
CREATE TRIGGER hold AFTER INSERT ON calls FOR EACH STATEMENT EXECUTE FUNCTION hold()`

// postgresKilled kills the server when it has written the rows of a batch and not yet committed them.
func postgresKilled(t *testing.T, s *suite, r *result) {
	p := takePostgres(t, s, r)
	in := overPostgres(t, s, p)
	execute(t, in.dsn, slowInserts)
	l := startLoad(t, in, loadOptions{})
	for range s.count(3, 20) {
		l.awaitAcks(1 + rand.IntN(60))
		p.awaitAnswer(t)
		await(t, "a batch that is written and not committed", func() bool {
			n, err := count(t, in.dsn, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'")
			return err == nil && n > 0
		})
		p.end(t, "KILL")
		p.begin(t)
		r.Injected++
	}
	l.awaitAcks(20)
	check(t, in, l, r)
	r.wantAnswers(t, "200")
}
