package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/onhook/onhook/deploy/bench/result"
)

// growth is what so many calls cost that CALLS holds already.
type growth struct {
	retained      int64
	clean, killed result.Sample // restarts of the broker
}

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
		restart := func(how string, s *result.Sample) row {
			return row{measure: func(context.Context, *env) (result.Sample, error) { return *s, nil }, Row: result.Row{
				Name: fmt.Sprintf("restart of nats-server, %s, %s retained", how, number(n)), Unit: "s", Note: "from its start to ready; measured with the row above",
			}}
		}
		rows = append(rows,
			row{measure: g.measure, Row: result.Row{Name: growthName(n), Body: kib2, Unit: "calls/s", Note: "the median of three backlogs"}},
			restart("clean", &g.clean), restart("after kill -9", &g.killed),
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

// measure fills CALLS without syncing, restarts the broker as it runs in production, and lets a decoder work.
func (g *growth) measure(ctx context.Context, e *env) (sample result.Sample, err error) {
	b, err := e.startNATS(ctx, 1, relaxed)
	if err != nil {
		return sample, err
	}
	if err := b.retain(ctx, g.retained); err != nil {
		return sample, err
	}
	restart := func(into *result.Sample) error {
		e.processes = nil
		began := time.Now()
		if b, err = e.startNATS(ctx, 1, always); err != nil {
			return err
		}
		into.Rate = time.Since(began).Seconds()
		e.end(into)
		into.CPU = nil
		return nil
	}
	e.stop()
	if err := restart(&g.clean); err != nil {
		return sample, err
	}
	e.processes[0].Kill()
	if err := restart(&g.killed); err != nil {
		return sample, err
	}
	var samples []result.Sample
	for i := range 3 {
		var s result.Sample
		if err := e.decodeBacklog(ctx, &s, b, "decoder", 1, int64(i*e.backlog())); err != nil {
			return sample, err
		}
		samples = append(samples, s)
		last := len(e.processes) - 1
		e.processes[last].Stop()
		e.processes = e.processes[:last]
	}
	slices.SortFunc(samples, func(a, b result.Sample) int { return int(a.Rate - b.Rate) })
	return samples[1], nil
}
