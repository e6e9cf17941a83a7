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

// overPostgres does one thing after the other to the database below an installation.
func overPostgres(all ...func(t *testing.T, s *suite, p *postgres, in *installation, l *load, r *result)) func(*testing.T, *suite, *result) {
	return func(t *testing.T, s *suite, r *result) {
		p := takePostgres(t, s, r)
		in := apart(t, s, layout{dsn: p.create(t), ingress: 2, decoders: 2, storage: 2})
		l := startLoad(t, in, loadOptions{})
		for _, inject := range all {
			inject(t, s, p, in, l, r)
		}
		l.awaitAcks(20)
		check(t, in, l, r)
		r.wantAnswers(t, "200") // a webhook does not wait for the database
	}
}

// down stops the server and starts it again after a while.
func down(t *testing.T, s *suite, p *postgres, _ *installation, l *load, r *result) {
	t.Helper()
	l.awaitAcks(60)
	p.end(t, "INT")
	r.Injected++
	last(s.time(10*time.Second, 2*time.Minute))
	p.begin(t)
	l.awaitAcks(60)
}

// restarted restarts the server over and over.
func restarted(t *testing.T, s *suite, p *postgres, _ *installation, l *load, r *result) {
	t.Helper()
	for range s.count(1, 10) {
		l.awaitAcks(1 + rand.IntN(60))
		p.awaitAnswer(t)
		p.end(t, "INT")
		p.begin(t)
		r.Injected++
	}
}

// hold holds each statement that has written its rows, before it commits them.
const hold = `
CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END $$;
CREATE TRIGGER hold AFTER INSERT ON calls FOR EACH STATEMENT EXECUTE FUNCTION hold()`

// killed kills the server when it has written the rows of a batch and not yet committed them.
func killed(t *testing.T, s *suite, p *postgres, in *installation, l *load, r *result) {
	t.Helper()
	p.awaitAnswer(t)
	execute(t, in.dsn, hold)
	for range s.count(2, 10) {
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
}
