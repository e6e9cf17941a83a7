// Command bench measures onhook beside what a user would pick instead: every row in each of several rounds, each
// program a process of its own on this machine. It writes RESULTS.md and results.json.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/onhook/onhook/deploy/bench/process"
	"github.com/onhook/onhook/deploy/bench/result"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	run := bench
	if len(os.Args) > 1 {
		if role, ok := roles[os.Args[1]]; ok {
			run = func(ctx context.Context) error { return role(ctx, os.Args[2:]) }
		}
	}
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to stop
	}
}

// options are the command line.
type options struct {
	rounds   int
	duration time.Duration
	only     string
	quick    bool
	dir, out string
	retained []int64
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&o.rounds, "rounds", 5, "measure each row so often")
	flags.DurationVar(&o.duration, "duration", 5*time.Second, "measure a row for so long in each round")
	flags.StringVar(&o.only, "only", "", "measure only the rows whose names match this `regexp`")
	flags.BoolVar(&o.quick, "quick", false, "a second of each row, once: to see that everything works")
	flags.StringVar(&o.dir, "dir", os.TempDir(), "keep data below this `folder` while measuring; its disk is measured too")
	flags.StringVar(&o.out, "out", ".", "write RESULTS.md and results.json into this `folder`")
	retained := flags.String("retained", "0,1000000,10000000", "measure the growth with so many retained `calls`; the last takes minutes and 10 GB")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	for n := range strings.SplitSeq(*retained, ",") {
		calls, err := strconv.ParseInt(n, 10, 64)
		if err != nil || calls < 0 {
			return o, fmt.Errorf("-retained %s: give numbers, as in 0,1000000", *retained)
		}
		o.retained = append(o.retained, calls)
	}
	if o.quick {
		o.retained = []int64{0, 10_000}
		o.rounds, o.duration = 1, time.Second
	}
	if o.rounds < 1 || o.duration <= 0 || flags.NArg() > 0 {
		return o, errors.New("-rounds starts at 1 and -duration above 0; there are no other arguments")
	}
	return o, nil
}

// rows is everything that is measured, in order.
func rows(retained []int64) []row {
	return slices.Concat(ingressRows(), pipelineRows(), growthRows(retained))
}

// bounds is everything that is asked of it.
func bounds(retained []int64) []result.Bound {
	return slices.Concat(ingressBounds(), pipelineBounds(), growthBounds(retained))
}

func bench(ctx context.Context) error {
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	only, err := regexp.Compile(o.only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	rows := slices.DeleteFunc(rows(o.retained), func(r row) bool { return !only.MatchString(r.Name) })
	dir, err := os.MkdirTemp(o.dir, "onhook-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	bin := filepath.Join(dir, "bin")
	if err := build(ctx, bin); err != nil {
		return err
	}
	if err := process.Pin(os.Getpid(), process.Pinned.Loader); err != nil {
		return err
	}
	var pg *postgres
	if slices.ContainsFunc(rows, func(r row) bool { return r.postgres }) {
		pg = startPostgres(ctx)
		defer pg.stop()
	}
	run := &result.Run{Began: time.Now(), Machine: machine(dir), Versions: append(versions(ctx, bin), pg.version(ctx)...)}
	for i := range rows {
		run.Rows = append(run.Rows, &rows[i].Row)
	}
	_, before := cpuSeconds()
	for round := range o.rounds {
		for i := range rows {
			r := &rows[i]
			if round > 0 && r.once {
				continue
			}
			if err := r.cannot(pg); err != nil {
				r.Note = err.Error()
				continue
			}
			data := filepath.Join(dir, "data")
			s := r.sample(ctx, &env{dir: data, data: data, bin: bin, duration: o.duration, quick: o.quick, round: round, rounds: o.rounds, run: run, postgres: pg})
			if ctx.Err() != nil {
				return ctx.Err()
			}
			r.Samples = append(r.Samples, s)
			fmt.Fprintf(os.Stderr, "%d/%d %-60s %10.1f %s %s\n", round+1, o.rounds, r.Name, s.Rate, r.Unit, s.Wrong)
		}
		run.Took = time.Since(run.Began).Seconds()
		_, stolen := cpuSeconds()
		run.Settings = append(settings(o, round+1), result.Fact{Name: "CPU taken by the host", Value: fmt.Sprintf("%.1f s", stolen-before)})
		run.Hold(bounds(o.retained))
		if err := run.Write(o.out); err != nil { // after each round, should a later one be cut short
			return err
		}
	}
	var wrong []error
	for _, r := range run.Rows {
		for _, s := range r.Samples {
			if s.Wrong != "" {
				wrong = append(wrong, fmt.Errorf("%s: %s", r.Name, s.Wrong))
			}
		}
	}
	return errors.Join(wrong...)
}
