package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"github.com/onhook/onhook/deploy/bench/body"
	"github.com/onhook/onhook/deploy/bench/load"
	"github.com/onhook/onhook/deploy/bench/result"
)

// rawRows is what the parts below onhook do alone: the broker without HTTP, and the disk.
func rawRows() []row {
	var rows []row
	for _, size := range []int{kib2, kib20} {
		for _, s := range []struct {
			name string
			sync syncing
		}{{"fsync", always}, {"relaxed", relaxed}} {
			rows = append(rows, row{
				Row: result.Row{Name: rawName(s.name, size), Body: size, Unit: "acks/s", Note: "asynchronous, 256 without their PubAck at most"},
				measure: func(ctx context.Context, e *env) (result.Sample, error) {
					return raw(ctx, e, s.sync, size)
				},
			})
		}
		rows = append(rows, row{
			Row:     result.Row{Name: appendName(size), Body: size, Unit: "appends/s", Note: "one at a time"},
			measure: func(ctx context.Context, e *env) (result.Sample, error) { return appends(ctx, e, size) },
		})
	}
	return rows
}

func rawName(what string, size int) string {
	return fmt.Sprintf("JetStream without HTTP %s, %d KiB", what, size>>10)
}

func appendName(size int) string { return fmt.Sprintf("write and fdatasync, %d KiB", size>>10) }

// raw publishes for as long as a row lasts, with so many publishes without their answer.
func raw(ctx context.Context, e *env, s syncing, size int) (result.Sample, error) {
	var sample result.Sample
	b, err := e.startNATS(ctx, 1, s)
	if err != nil {
		return sample, err
	}
	if err := b.createStream(ctx); err != nil {
		return sample, err
	}
	js, done, err := b.connect()
	if err != nil {
		return sample, err
	}
	defer done()
	const window = 256
	var requests []*body.Request
	for i, p := range body.Providers {
		requests = append(requests, body.New(uint64(i), p, size))
	}
	var acked []int64
	var took []time.Duration
	publish := func(until time.Time, count bool) error {
		type pending struct {
			ack   jetstream.PubAckFuture
			n     int64
			began time.Time
		}
		waiting := make(chan pending, window)
		failed := make(chan error, 1)
		go func() {
			var err error
			for p := range waiting {
				select {
				case <-p.ack.Ok():
					acked = append(acked, p.n)
					if count {
						took = append(took, time.Since(p.began))
					}
				case err = <-p.ack.Err():
				}
			}
			failed <- err
		}()
		for i := len(acked); time.Now().Before(until) && ctx.Err() == nil; i++ {
			r := requests[i%len(requests)]
			began := time.Now()
			ack, err := js.PublishAsync("webhooks."+r.Provider+"."+r.Provider, r.Body(int64(i)))
			if err != nil {
				close(waiting)
				return errors.Join(err, <-failed)
			}
			waiting <- pending{ack, int64(i), began}
		}
		close(waiting)
		return <-failed
	}
	if err := publish(time.Now().Add(warm(e.duration)), false); err != nil {
		return sample, err
	}
	began := time.Now()
	e.begin()
	if err := publish(began.Add(e.duration), true); err != nil {
		return sample, err
	}
	sample.Count = int64(len(took))
	sample.Rate = float64(sample.Count) / time.Since(began).Seconds()
	sample.Latency = result.LatencyOf(took)
	e.end(&sample)
	sample.Wrong, err = b.missing(ctx, acked)
	return sample, err
}

// appends writes bodies to a file, each on the disk before the next.
func appends(ctx context.Context, e *env, size int) (result.Sample, error) {
	f, err := os.Create(filepath.Join(e.data, "appended"))
	if err != nil {
		return result.Sample{}, err
	}
	defer func() { _ = f.Close() }()
	r := body.New(0, "altur", size)
	var took []time.Duration
	began := time.Now()
	for n := int64(0); time.Since(began) < e.duration && ctx.Err() == nil; n++ {
		at := time.Now()
		if _, err := f.Write(r.Body(n)); err != nil {
			return result.Sample{}, err
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return result.Sample{}, err
		}
		took = append(took, time.Since(at))
	}
	return result.Sample{
		Rate: float64(len(took)) / time.Since(began).Seconds(), Count: int64(len(took)), Latency: result.LatencyOf(took),
	}, nil
}

// halfRows send at half of what the same receiver was measured to take at most, over 256 connections. The bare handler is
// sent as much as onhook: what it takes is what HTTP and the loader take of these cores.
func halfRows() []row {
	var rows []row
	add := func(r receiver, size int, most, note string) {
		rows = append(rows, row{
			Row: result.Row{Name: halfName(r.name, size), Connections: 256, Body: size, Unit: "acks/s", Note: note},
			measure: func(ctx context.Context, e *env) (result.Sample, error) {
				rate, err := e.run.Figure(rowName(most, size, 256), result.Rate)
				if err != nil {
					return result.Sample{}, err
				}
				return r.measure(ctx, e, load.Config{Connections: 256, Size: size, Rate: rate / 2})
			},
		})
	}
	for _, r := range receivers {
		switch {
		case r.stored:
			add(r, kib2, r.name, "open loop")
		case r.name == "bare handler, tuned":
			add(r, kib2, "onhook fsync", "open loop, half of what onhook fsync takes: the floor")
		}
		if r.name == "onhook fsync" {
			add(r, kib20, r.name, "open loop")
		}
	}
	return rows
}

func halfName(what string, size int) string {
	return fmt.Sprintf("%s at half, %d KiB", what, size>>10)
}
