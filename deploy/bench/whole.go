package main

import (
	"context"
	_ "embed" // the configuration of Redpanda Connect
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/onhook/onhook/deploy/bench/body"
	"github.com/onhook/onhook/deploy/bench/load"
	"github.com/onhook/onhook/deploy/bench/process"
	"github.com/onhook/onhook/deploy/bench/result"
	"github.com/onhook/onhook/pkg/store"
)

//go:embed connect-pipeline.yaml
var connectPipelineConfig string

const connectNote = "not the same: it checks no signature, keeps the body as it came, and forgets at a restart which calls it has seen"

// pipeline is all that stands between a webhook and its row.
type pipeline struct {
	start func(ctx context.Context, e *env, listen string, b broker, dsn string) error
	table string // with a column call_id
}

var (
	onhookPipeline  = pipeline{startOnhookPipeline, "calls"}
	connectPipeline = pipeline{startConnectPipeline, "webhooks"}
)

func startOnhookPipeline(ctx context.Context, e *env, listen string, b broker, dsn string) error {
	if _, _, err := store.Migrate(ctx, dsn); err != nil {
		return err
	}
	if err := startIngress(ctx, e, listen, b, receiver{servers: 1, sync: always}); err != nil {
		return err
	}
	if err := e.service(ctx, "decoder", "decoder", b, ""); err != nil {
		return err
	}
	return e.service(ctx, "storage", "storage", b, fmt.Sprintf("storage: {dsn: %q}", dsn))
}

func startConnectPipeline(ctx context.Context, e *env, listen string, b broker, dsn string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, "CREATE TABLE webhooks (call_id text PRIMARY KEY, body jsonb NOT NULL)"); err != nil {
		return err
	}
	if err := startConnect(ctx, e, listen, b, receiver{}); err != nil {
		return err
	}
	conf, err := e.write("connect-pipeline.yaml", connectPipelineConfig, b.url, dsn)
	if err != nil {
		return err
	}
	if _, err = e.start("connect-pipeline", connectProgram, "run", conf); err != nil {
		return err
	}
	return b.awaitConsumer(ctx)
}

// saturated sends as fast as the webhooks are taken, for a third of a row's time: all of them are waited for.
func saturated(p pipeline) func(context.Context, *env) (result.Sample, error) {
	return func(ctx context.Context, e *env) (result.Sample, error) {
		return p.measure(ctx, e, load.Config{Connections: 256, Size: kib2, Duration: e.duration / 3})
	}
}

// half sends at half of what row most was measured to do.
func half(p pipeline, most string) func(context.Context, *env) (result.Sample, error) {
	return func(ctx context.Context, e *env) (result.Sample, error) {
		rate, err := e.run.Figure(most, result.Rate)
		if err != nil {
			return result.Sample{}, err
		}
		return p.measure(ctx, e, load.Config{Connections: 64, Size: kib2, Duration: e.duration, Warm: warm(e.duration), Rate: rate / 2})
	}
}

// measure loads the pipeline and waits until each webhook that was acknowledged is a row.
func (p pipeline) measure(ctx context.Context, e *env, c load.Config) (s result.Sample, err error) {
	dsn, drop, err := e.database(ctx)
	if err != nil {
		return s, err
	}
	defer drop()
	defer e.stop() // before the database goes
	b, err := e.startNATS(ctx, 1, always)
	if err != nil {
		return s, err
	}
	addrs, err := process.FreeAddrs(1)
	if err != nil {
		return s, err
	}
	c.Addr = addrs[0]
	if err := p.start(ctx, e, c.Addr, b, dsn); err != nil {
		return s, err
	}
	c.Begin = e.begin
	got, err := load.Run(ctx, c)
	if err != nil {
		return s, err
	}
	if len(got.Refused) > 0 {
		s.Wrong = fmt.Sprintf("answers by status besides 200: %v", got.Refused)
	}
	if len(got.Acked) == 0 {
		return s, nil
	}
	err = p.awaitRows(ctx, dsn, len(got.Acked))
	e.end(&s)
	if err != nil {
		return s, err
	}
	committed, err := p.committed(ctx, dsn, len(got.Acked))
	if err != nil {
		return s, err
	}
	first := got.Due[0]
	for _, t := range got.Due {
		if t.Before(first) {
			first = t
		}
	}
	counts := first.Add(c.Warm)
	var took []time.Duration
	var rows []time.Time
	for i, n := range got.Acked {
		at, ok := committed[body.ID(n)]
		if !ok {
			s.Wrong = fmt.Sprintf("call %s was acknowledged and is no row", body.ID(n))
			return s, nil
		}
		rows = append(rows, at)
		if !got.Due[i].Before(counts) {
			took = append(took, at.Sub(got.Due[i]))
		}
	}
	s.Count = int64(len(took))
	slices.SortFunc(rows, time.Time.Compare)
	tenth := len(rows) / 10 // from then on, as in the stages' own rows: a start is not what is measured
	s.Rate = float64(len(rows)-tenth) / rows[len(rows)-1].Sub(rows[tenth]).Seconds()
	s.Latency = result.LatencyOf(took)
	return s, nil
}

// awaitRows waits until there are n rows.
func (p pipeline) awaitRows(ctx context.Context, dsn string, n int) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var rows int
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM "+p.table).Scan(&rows); err != nil {
			return err
		}
		if rows >= n {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d acknowledged webhooks are rows: %w", rows, n, ctx.Err())
		}
	}
}

// committed is when each row was committed, by the database's clock, which is this machine's. There are n.
func (p pipeline) committed(ctx context.Context, dsn string, n int) (map[string]time.Time, error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	rows, err := conn.Query(ctx, "SELECT call_id, pg_xact_commit_timestamp(xmin) FROM "+p.table)
	if err != nil {
		return nil, err
	}
	at := make(map[string]time.Time, n)
	var id string
	var t time.Time
	_, err = pgx.ForEachRow(rows, []any{&id, &t}, func() error {
		at[id] = t
		return nil
	})
	return at, err
}
