package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/onhook/onhook/deploy/bench/process"
	"github.com/onhook/onhook/deploy/bench/result"
	"github.com/onhook/onhook/pkg/store"
)

// Names of rows that bounds call.
const (
	decoderRow   = "deliveries to calls"
	forwardRow   = "deliveries taken and published, not decoded"
	togetherRow  = forwardRow + ", in batches"
	sqliteRow    = "calls to SQLite rows"
	postgresRow  = "calls to PostgreSQL rows"
	unnestRow    = "rows from memory to PostgreSQL (pgx, unnest)"
	wholeRow     = "webhook sent to row committed"
	wholeHalfRow = "webhook sent to row committed, at half of that"
	idleRow      = "onhook run, idle"
)

// backlog is how many deliveries or calls wait for the stage that is measured.
func (e *env) backlog() int { return int(e.duration.Seconds() * 15_000) }

func pipelineRows() []row {
	calls := func(name, note string, measure func(context.Context, *env) (result.Sample, error)) row {
		return row{Row: result.Row{Name: name, Body: kib2, Unit: "calls/s", Note: note}, measure: measure}
	}
	decode := func(program string, s syncing, n int, args ...string) func(context.Context, *env) (result.Sample, error) {
		return func(ctx context.Context, e *env) (result.Sample, error) {
			return measureDecoders(ctx, e, program, s, n, args...)
		}
	}
	inPostgres := func(r row) row {
		r.postgres = true
		return r
	}
	save := func(n int) func(context.Context, *env) (result.Sample, error) {
		return func(ctx context.Context, e *env) (result.Sample, error) { return measureStorage(ctx, e, n, true) }
	}
	rows := []row{
		calls(decoderRow, "one decoder; calls are published in batches, each synced", decode("decoder", always, 1)),
		calls(togetherRow, "the same fetches, acks and batches: what decoding itself costs shows here", decode("forward", always, 1, "-together")),
		calls(forwardRow, "the same fetches and acks; each body is published, and synced, by itself, as a client does it", decode("forward", always, 1)),
		calls(decoderRow+", relaxed", "calls are published one by one", decode("decoder", relaxed, 1)),
		calls(forwardRow+", relaxed", "the same fetches and acks, published one by one", decode("forward", relaxed, 1)),
		calls(sqliteRow, "", func(ctx context.Context, e *env) (result.Sample, error) { return measureStorage(ctx, e, 1, false) }),
		inPostgres(calls(postgresRow, "one worker, two batches at once", save(1))),
		inPostgres(calls(unnestRow, "the same rows, two connections, 256 to a statement", measureUnnest)),
		inPostgres(calls(wholeRow, "256 connections, as fast as it is taken, until the last row; latency is from sent to when PostgreSQL commits, before its sync, so the queue is in it", saturated(onhookPipeline))),
		inPostgres(calls(wholeHalfRow, "64 connections, open loop; latency is from due to when PostgreSQL commits, before its sync", half(onhookPipeline, wholeRow))),
		inPostgres(calls("Redpanda Connect, "+wholeRow, connectNote, saturated(connectPipeline))),
		inPostgres(calls("Redpanda Connect, "+wholeHalfRow, connectNote, half(connectPipeline, "Redpanda Connect, "+wholeRow))),
	}
	for _, n := range []int{2, 4} {
		rows = append(rows,
			calls(fmt.Sprintf("%s, %d decoders", decoderRow, n), "", decode("decoder", always, n)),
			inPostgres(calls(fmt.Sprintf("%s, %d workers", postgresRow, n), "", save(n))),
		)
	}
	return append(rows, row{once: true, measure: idle, Row: result.Row{
		Name: idleRow, Unit: "% of a core", Note: "everything in one process, nothing sent, over 30 s",
	}})
}

func pipelineBounds() []result.Bound {
	return []result.Bound{
		{Text: "decoder ÷ consume and publish without decoding, as a client does it: each call is synced", Figure: result.Ratio(decoderRow, forwardRow), AtLeast: 0.6},
		{Text: "the same, both in batches", Figure: result.Ratio(decoderRow, togetherRow), AtLeast: 0.6},
		{Text: "the same, both one by one and relaxed", Figure: result.Ratio(decoderRow+", relaxed", forwardRow+", relaxed"), AtLeast: 0.6},
		{Text: "storage into PostgreSQL ÷ pgx inserting the same rows by unnest", Figure: result.Ratio(postgresRow, unnestRow), AtLeast: 0.8},
		{Text: "whole pipeline ÷ its slowest stage alone", Figure: slowest, AtLeast: 0.6},
		{Text: "whole pipeline ÷ its stages alone, one after another on the same cores", Figure: turns, AtLeast: 0.8},
	}
}

// stages are those of the whole pipeline, each measured alone.
var stages = []string{rowName("onhook fsync", kib2, 256), decoderRow, postgresRow}

// turns is the whole pipeline over what it would do if each call took every stage's whole machine for as long as it takes
// that stage alone: where each stage alone keeps all cores busy, there is no more.
func turns(r *result.Run) (float64, error) {
	figure := 0.0
	for _, stage := range stages {
		ratio, err := result.Ratio(wholeRow, stage)(r)
		if err != nil {
			return 0, err
		}
		figure += ratio
	}
	return figure, nil
}

// slowest is the whole pipeline over the slowest of its stages.
func slowest(r *result.Run) (float64, error) {
	figure, err := 0.0, error(nil)
	for _, stage := range stages {
		ratio, serr := result.Ratio(wholeRow, stage)(r)
		if serr != nil {
			err = serr
		}
		figure = max(figure, ratio)
	}
	return figure, err
}

// service starts one of our programs with a broker, ready to work. More is what its onhook.yaml has besides.
func (e *env) service(ctx context.Context, name, program string, b broker, more string) error {
	addrs, err := process.FreeAddrs(1)
	if err != nil {
		return err
	}
	conf, err := e.write(name+".yaml", "nats: {url: \"%s\", monitor_url: \"%s\", durability: %s}\nadmin: {listen: \"%s\"}\nlog: {level: warn}\n%s\n",
		b.url, b.monitor, b.durability(), addrs[0], more)
	if err != nil {
		return err
	}
	p, err := e.start(name, program, "--config", conf)
	if err != nil {
		return err
	}
	return p.AwaitReady(ctx, "http://"+addrs[0]+"/readyz")
}

// timed waits until n are done and takes the rate, from when a tenth was done: a start is not what is measured.
func (e *env) timed(ctx context.Context, s *result.Sample, n int64, done func(context.Context) (int64, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var began time.Time
	var before int64
	for {
		count, err := done(ctx)
		switch {
		case err != nil:
			return err
		case count >= n && began.IsZero():
			return errors.New("all were done before the first was seen: give it more")
		case count >= n:
			s.Count = n - before
			s.Rate = float64(s.Count) / time.Since(began).Seconds()
			e.end(s)
			return nil
		case began.IsZero() && count >= n/10:
			began, before = time.Now(), count
			e.begin()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d were done: %w", count, n, ctx.Err())
		}
	}
}

// measureDecoders lets programs make calls of a backlog of deliveries. Args are forward's.
func measureDecoders(ctx context.Context, e *env, program string, s syncing, programs int, args ...string) (sample result.Sample, err error) {
	b, err := e.startNATS(ctx, 1, s)
	if err != nil {
		return sample, err
	}
	err = e.decodeBacklog(ctx, &sample, b, program, programs, 0, args...)
	return sample, err
}

// decodeBacklog publishes deliveries whose call ids begin at first and lets programs make calls of them, each of which must
// then be in CALLS.
func (e *env) decodeBacklog(ctx context.Context, sample *result.Sample, b broker, program string, programs int, first int64, args ...string) error {
	n := e.backlog()
	if err := b.fillWebhooks(ctx, first, n); err != nil {
		return err
	}
	count, done, err := b.countCalls(ctx)
	if err != nil {
		return err
	}
	defer done()
	before, err := count(ctx)
	if err != nil {
		return err
	}
	for i := range programs {
		name := program
		if programs > 1 {
			name = fmt.Sprintf("%s-%d", program, i+1)
		}
		if program == "forward" {
			_, err = e.start(name, program, append(args, "-nats", b.url)...)
		} else {
			err = e.service(ctx, name, program, b, "")
		}
		if err != nil {
			return err
		}
	}
	return e.timed(ctx, sample, int64(n), func(ctx context.Context) (int64, error) {
		now, err := count(ctx)
		return now - before, err
	})
}

// measureStorage lets workers save a backlog of calls, in SQLite if not in PostgreSQL. Each must then be a row.
func measureStorage(ctx context.Context, e *env, workers int, postgres bool) (sample result.Sample, err error) {
	dsn := "sqlite:" + filepath.Join(e.dir, "calls.db")
	if postgres {
		var drop func()
		if dsn, drop, err = e.database(ctx); err != nil {
			return sample, err
		}
		defer drop()
		defer e.stop() // before the database goes
	}
	if _, _, err := store.Migrate(ctx, dsn); err != nil {
		return sample, err
	}
	b, err := e.startNATS(ctx, 1, always)
	if err != nil {
		return sample, err
	}
	n := e.backlog()
	if err := b.fillCalls(ctx, n); err != nil {
		return sample, err
	}
	for i := range workers {
		if err := e.service(ctx, fmt.Sprintf("storage-%d", i+1), "storage", b, fmt.Sprintf("storage: {dsn: %q}", dsn)); err != nil {
			return sample, err
		}
	}
	count, done, err := b.countSaved(int64(n))
	if err != nil {
		return sample, err
	}
	defer done()
	if err := e.timed(ctx, &sample, int64(n), count); err != nil {
		return sample, err
	}
	st, err := store.Open(ctx, dsn)
	if err != nil {
		return sample, err
	}
	defer func() { _ = st.Close() }()
	calls, err := st.List(ctx, store.Filter{Limit: n + 1})
	if err == nil && len(calls) != n {
		sample.Wrong = fmt.Sprintf("%d rows of %d calls", len(calls), n)
	}
	return sample, err
}

// idle is what everything costs in one process while nothing comes.
func idle(ctx context.Context, e *env) (s result.Sample, err error) {
	addrs, err := process.FreeAddrs(2)
	if err != nil {
		return s, err
	}
	p, err := e.start("onhook", "onhook", "run", "--data", filepath.Join(e.dir, "data"), "--listen", addrs[0], "--admin", addrs[1])
	if err != nil {
		return s, err
	}
	if err := p.AwaitReady(ctx, "http://"+addrs[1]+"/readyz"); err != nil {
		return s, err
	}
	long := 30 * time.Second
	if e.quick {
		long = time.Second
	}
	pause := func(d time.Duration) {
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
	}
	pause(long / 10) // what a start leaves behind
	e.begin()
	pause(long)
	e.end(&s)
	s.Rate = s.CPU["onhook"] / long.Seconds() * 100
	return s, ctx.Err()
}
