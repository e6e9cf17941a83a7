package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/onhook/onhook/deploy/bench/result"
)

// growth is what so many calls cost that CALLS holds already. It is filled in the first round and measured as often as there
// are rounds; each round then reports its own.
type growth struct {
	retained int64
	done     bool
	measured []growthSamples
	err      error
}

// growthSamples are a backlog decoded, and restarts of the broker.
type growthSamples struct{ decoder, clean, killed result.Sample }

func growthName(retained int64) string {
	return fmt.Sprintf("%s, %s retained", decoderRow, number(retained))
}

func number(n int64) string {
	if n >= 1_000_000 && n%1_000_000 == 0 {
		return fmt.Sprintf("%d million", n/1_000_000)
	}
	return fmt.Sprint(n)
}

func growthRows(retained []int64) []row {
	var rows []row
	for _, n := range retained {
		g := &growth{retained: n}
		one := func(name, unit, note string, of func(growthSamples) result.Sample) row {
			return row{Row: result.Row{Name: name, Body: kib2, Unit: unit, Note: note}, measure: func(ctx context.Context, e *env) (result.Sample, error) {
				if !g.done {
					g.done, g.err = true, g.measure(ctx, e)
				}
				if g.err != nil {
					return result.Sample{}, g.err
				}
				return of(g.measured[e.round]), nil
			}}
		}
		restart := func(how string) string {
			return fmt.Sprintf("restart of nats-server, %s, %s retained", how, number(n))
		}
		rows = append(rows,
			one(growthName(n), "calls/s", "all rounds one after another; the retained are small, of calls that nobody answered", func(s growthSamples) result.Sample { return s.decoder }),
			one(restart("after kill -9"), "s", "after that backlog, from its start to ready", func(s growthSamples) result.Sample { return s.killed }),
			one(restart("clean"), "s", "the same after SIGTERM", func(s growthSamples) result.Sample { return s.clean }),
		)
	}
	return rows
}

func growthBounds(retained []int64) []result.Bound {
	most := slices.Max(retained)
	return []result.Bound{{
		Text:   fmt.Sprintf("decoder with %s retained calls ÷ with none", number(most)),
		Figure: result.Ratio(growthName(most), growthName(0)), AtLeast: 0.8,
	}}
}

// measure fills CALLS without syncing, starts the broker as it runs in production, and then lets a decoder work, kills the
// broker and stops it, once for each round.
func (g *growth) measure(ctx context.Context, e *env) error {
	b, err := e.startNATS(ctx, 1, relaxed)
	if err != nil {
		return err
	}
	if err := b.retain(ctx, g.retained); err != nil {
		return err
	}
	restart := func() (s result.Sample, err error) {
		e.processes = nil
		e.begin()
		began := time.Now()
		if b, err = e.startNATS(ctx, 1, always); err != nil {
			return s, err
		}
		s.Rate = time.Since(began).Seconds()
		e.end(&s)
		s.CPU = nil
		return s, nil
	}
	e.stop()
	if _, err := restart(); err != nil {
		return err
	}
	measured := make([]growthSamples, e.rounds)
	for i := range measured {
		s := &measured[i]
		if err := e.decodeBacklog(ctx, &s.decoder, b, "decoder", 1, int64(i*e.backlog())); err != nil {
			return err
		}
		e.processes[1].Stop() // the decoder
		e.processes[0].Kill()
		if s.killed, err = restart(); err != nil {
			return err
		}
		e.stop()
		if s.clean, err = restart(); err != nil {
			return err
		}
	}
	g.measured = measured
	return nil
}
