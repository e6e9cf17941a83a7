package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"
	"golang.org/x/sync/errgroup"

	"github.com/onhook/onhook/deploy/bench/result"
	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/store"
)

// postgres is a server in a container, or why there is none.
type postgres struct {
	dsn string
	err error
	ctr testcontainers.Container
}

// postgresSettings is what the server is told besides: to note when each row is committed, and not to checkpoint in between.
var postgresSettings = []string{"-c", "track_commit_timestamp=on", "-c", "max_wal_size=8GB"}

// version is the server's.
func (p *postgres) version(ctx context.Context) []result.Fact {
	if p == nil || p.err != nil {
		return nil
	}
	conn, err := pgx.Connect(ctx, p.dsn)
	if err != nil {
		return nil
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	return []result.Fact{{Name: "PostgreSQL", Value: conn.PgConn().ParameterStatus("server_version")}}
}

// startPostgres starts the image that ONHOOK_TEST_POSTGRES_IMAGE names, or postgres:17.
func startPostgres(ctx context.Context) *postgres {
	image := os.Getenv("ONHOOK_TEST_POSTGRES_IMAGE")
	if image == "" {
		image = "postgres:17"
	}
	const port = "5432/tcp"
	p := &postgres{}
	p.ctr, p.err = testcontainers.Run(ctx, image,
		testcontainers.WithEnv(map[string]string{"POSTGRES_PASSWORD": "bench"}),
		testcontainers.WithCmd(append([]string{"postgres"}, postgresSettings...)...),
		testcontainers.WithExposedPorts(port),
		testcontainers.WithWaitStrategyAndDeadline(time.Minute, wait.ForListeningPort(port)),
	)
	if p.err != nil {
		p.err = fmt.Errorf("it needs Docker and the image %s: %w", image, p.err)
		return p
	}
	endpoint, err := p.ctr.PortEndpoint(ctx, port, "")
	if err != nil {
		p.err = err
		return p
	}
	p.dsn = "postgres://postgres:bench@" + endpoint + "/postgres?sslmode=disable"
	for deadline := time.Now().Add(time.Minute); ; { // an open port is not enough
		if p.err = p.exec(ctx, "SELECT 1"); p.err == nil || time.Now().After(deadline) || ctx.Err() != nil {
			return p
		}
		<-time.After(100 * time.Millisecond)
	}
}

// stop removes the server.
func (p *postgres) stop() {
	if p != nil && p.ctr != nil {
		_ = testcontainers.TerminateContainer(p.ctr)
	}
}

func (p *postgres) exec(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, p.dsn)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	_, err = conn.Exec(ctx, sql)
	return err
}

// database makes an empty database, which drop drops.
func (e *env) database(ctx context.Context) (dsn string, drop func(), err error) {
	p := e.postgres
	const name = "bench"
	remove := func() error {
		return p.exec(context.WithoutCancel(ctx), "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
	}
	if err := errors.Join(remove(), p.exec(ctx, "CREATE DATABASE "+name), p.exec(ctx, "CHECKPOINT")); err != nil {
		return "", nil, err
	}
	u, err := url.Parse(p.dsn)
	if err != nil {
		return "", nil, err
	}
	u.Path = name
	return u.String(), func() { _ = remove() }, nil
}

// measureUnnest inserts the rows that storage would, which are in memory already, by unnest as storage does.
func measureUnnest(ctx context.Context, e *env) (s result.Sample, err error) {
	dsn, drop, err := e.database(ctx)
	if err != nil {
		return s, err
	}
	defer drop()
	if _, _, err := store.Migrate(ctx, dsn); err != nil {
		return s, err
	}
	n := e.backlog()
	if err := saveDirectly(ctx, dsn, n); err != nil {
		return s, err
	}
	pool, err := pgxpool.New(ctx, dsn)
	if err != nil {
		return s, err
	}
	defer pool.Close()
	insert, columns, err := readColumns(ctx, pool, n)
	if err != nil {
		return s, err
	}
	for _, sql := range []string{"TRUNCATE calls", "CHECKPOINT"} {
		if _, err := pool.Exec(ctx, sql); err != nil {
			return s, err
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	const loops, batch = 2, 256 // as many as storage has
	began := time.Now()
	e.begin()
	for l := range loops {
		g.Go(func() error {
			for lo := l * batch; lo < n; lo += loops * batch {
				args := make([]any, len(columns))
				for i, c := range columns {
					args[i] = c.part(lo, min(lo+batch, n))
				}
				if _, err := pool.Exec(gctx, insert, args...); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return s, err
	}
	s.Count = int64(n)
	s.Rate = float64(n) / time.Since(began).Seconds()
	e.end(&s)
	var rows int
	if err := pool.QueryRow(ctx, "SELECT count(*) FROM calls").Scan(&rows); err != nil {
		return s, err
	}
	if rows != n {
		s.Wrong = fmt.Sprintf("%d rows of %d calls", rows, n)
	}
	return s, nil
}

// saveDirectly saves n calls.
func saveDirectly(ctx context.Context, dsn string, n int) error {
	st, err := store.Open(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { _ = st.Close() }()
	cs, err := decoded(0, n)
	if err != nil {
		return err
	}
	raw := make([]*call.Raw, len(cs))
	for i, c := range cs {
		if raw[i], err = call.NewRaw(c); err != nil {
			return err
		}
	}
	for batch := range slices.Chunk(raw, 500) {
		if err := errors.Join(st.Save(ctx, batch)...); err != nil {
			return err
		}
	}
	return nil
}

// column is one column of many rows, of the types that storage sends.
type column interface {
	next() any             // where the next row's value goes
	part(from, to int) any // as an argument
}

type columnOf[T any] struct{ values []T }

func (c *columnOf[T]) next() any {
	c.values = append(c.values, *new(T))
	return &c.values[len(c.values)-1]
}

func (c *columnOf[T]) part(from, to int) any { return c.values[from:to] }

// readColumns reads table calls into memory, column by column, and returns the statement that inserts them.
func readColumns(ctx context.Context, pool *pgxpool.Pool, n int) (insert string, columns []column, err error) {
	rows, err := pool.Query(ctx, "SELECT column_name::text, udt_name::text FROM information_schema.columns WHERE table_name = 'calls' ORDER BY ordinal_position")
	if err != nil {
		return "", nil, err
	}
	type named struct{ Name, Type string }
	table, err := pgx.CollectRows(rows, pgx.RowToStructByPos[named])
	if err != nil {
		return "", nil, err
	}
	var names, reads, arrays, values []string
	for i, c := range table {
		sent := c.Type
		switch c.Type {
		case "timestamptz":
			columns = append(columns, &columnOf[pgtype.Timestamptz]{make([]pgtype.Timestamptz, 0, n)})
		case "int8":
			columns = append(columns, &columnOf[pgtype.Int8]{make([]pgtype.Int8, 0, n)})
		default:
			sent = "text"
			columns = append(columns, &columnOf[*string]{make([]*string, 0, n)})
		}
		names, reads = append(names, c.Name), append(reads, c.Name+"::"+sent)
		arrays, values = append(arrays, fmt.Sprintf("$%d::%s[]", i+1, sent)), append(values, "x."+c.Name+"::"+c.Type)
	}
	list := strings.Join(names, ", ")
	insert = "INSERT INTO calls (" + list + ") SELECT " + strings.Join(values, ", ") + " FROM unnest(" + strings.Join(arrays, ", ") +
		") AS x(" + list + ") ON CONFLICT DO NOTHING"
	rows, err = pool.Query(ctx, "SELECT "+strings.Join(reads, ", ")+" FROM calls")
	if err != nil {
		return "", nil, err
	}
	defer rows.Close()
	for rows.Next() {
		dest := make([]any, len(columns))
		for i := range columns {
			dest[i] = columns[i].next()
		}
		if err := rows.Scan(dest...); err != nil {
			return "", nil, err
		}
	}
	return insert, columns, rows.Err()
}
