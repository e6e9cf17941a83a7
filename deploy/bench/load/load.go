// Package load posts webhooks and remembers what was acknowledged: as fast as the answers come over so many
// connections (closed loop), or at a fixed rate whatever the answers do (open loop).
package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onhook/onhook/deploy/bench/body"
)

// Config says what to send where.
type Config struct {
	Addr        string        // host:port
	Connections int           // each keeps alive, and has one request in flight
	Size        int           // of a body, about, in bytes
	Rate        float64       // requests a second of all connections; 0: closed loop
	Warm        time.Duration // before what counts
	Duration    time.Duration // of what counts
	First       int64         // the number of the first call id

	// Begin and End, unless nil, are called at the beginning and the end of what counts.
	Begin, End func()
}

// Result is what was answered.
type Result struct {
	Count   int64           // acknowledged within what counts
	Elapsed time.Duration   // of what counts
	Took    []time.Duration // each of these; open loop: from when the request was due
	Acked   []int64         // the numbers of every call id that was acknowledged, those before and after what counts too
	Due     []time.Time     // when each of Acked was sent, or with a rate, due
	Refused map[int]int     // answers other than 200, by status
}

// Rate is what was acknowledged per second.
func (r *Result) Rate() float64 { return float64(r.Count) / r.Elapsed.Seconds() }

// patience is how long an answer may take.
const patience = 30 * time.Second

// Run sends and waits for the last answer. It fails when a connection does.
//
//	pacer ─ due ─┐ (open loop)
//	             ├─► worker, one per connection ─► sample
//	             ┘
func Run(ctx context.Context, c Config) (*Result, error) {
	workers := make([]*worker, c.Connections)
	for i := range workers {
		workers[i] = newWorker(c, i)
	}
	for i, w := range workers { // at last: a server does not wait long for the first request of a connection
		var err error
		if w.conn, err = net.Dial("tcp", c.Addr); err != nil {
			for _, other := range workers[:i] {
				_ = other.conn.Close()
			}
			return nil, fmt.Errorf("connection %d of %d: %w", i+1, c.Connections, err)
		}
	}
	began := time.Now()
	from, until := began.Add(c.Warm), began.Add(c.Warm+c.Duration)
	ends, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	var due chan time.Time
	if c.Rate > 0 {
		due = make(chan time.Time, int((c.Warm+c.Duration).Seconds()*c.Rate)) // so that the pacer never waits
		go pace(ctx, due, began, c.Rate)
	}
	var wg sync.WaitGroup
	errs := make([]error, len(workers))
	for i, w := range workers {
		w.from, w.until = from, until
		wg.Go(func() {
			defer func() { _ = w.conn.Close() }()
			errs[i] = w.run(ends, due)
		})
	}
	at(from, c.Begin)
	at(until, c.End)
	wg.Wait()
	r := &Result{Elapsed: c.Duration, Refused: map[int]int{}}
	for _, w := range workers {
		r.Count += int64(len(w.took))
		r.Took = append(r.Took, w.took...)
		r.Acked = append(r.Acked, w.acked...)
		r.Due = append(r.Due, w.due...)
		for status, n := range w.refused {
			r.Refused[status] += n
		}
	}
	return r, errors.Join(errs...)
}

func at(t time.Time, do func()) {
	<-time.After(time.Until(t))
	if do != nil {
		do()
	}
}

// pace sends when each request is due, as many as due has room for, unless ctx ends early. It holds a thread and sleeps by
// the kernel's clock: the timers of Go are a millisecond late when nothing else runs.
func pace(ctx context.Context, due chan<- time.Time, began time.Time, rate float64) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(due)
	for i := range cap(due) {
		t := began.Add(time.Duration(float64(i) / rate * float64(time.Second)))
		for wait := time.Until(t); wait > 0; wait = time.Until(t) { // again where a signal cut it short
			left := unix.NsecToTimespec(wait.Nanoseconds())
			_ = unix.Nanosleep(&left, nil)
		}
		if ctx.Err() != nil {
			return
		}
		due <- t
	}
}

// worker has one connection.
type worker struct {
	conn        net.Conn
	requests    []*body.Request
	next        int64 // number
	from, until time.Time
	answer      answer

	took    []time.Duration
	acked   []int64
	due     []time.Time
	refused map[int]int
}

// perConnection is how many numbers of call ids each connection has to itself.
const perConnection = 1 << 32

func newWorker(c Config, i int) *worker {
	w := &worker{next: c.First + int64(i)*perConnection, refused: map[int]int{}, answer: answer{buf: make([]byte, 8192)}}
	for j := range body.Providers { // connections begin with another provider each, or all would send the same at a time
		w.requests = append(w.requests, body.New(uint64(i), body.Providers[(i+j)%len(body.Providers)], c.Size))
	}
	return w
}

func (w *worker) run(ctx context.Context, due <-chan time.Time) error {
	for i := 0; ; i++ {
		began := time.Now()
		if due != nil {
			t, ok := <-due
			if !ok {
				return nil
			}
			began = t
		} else if ctx.Err() != nil {
			return nil
		}
		if i%256 == 0 {
			if err := w.conn.SetDeadline(time.Now().Add(w.until.Sub(w.from) + 2*patience)); err != nil {
				return err
			}
		}
		n := w.next
		w.next++
		if _, err := w.conn.Write(w.requests[i%len(w.requests)].Wire(n)); err != nil {
			return err
		}
		status, err := w.answer.read(w.conn)
		if err != nil {
			return err
		}
		if status != 200 {
			w.refused[status]++
			continue
		}
		w.acked = append(w.acked, n)
		w.due = append(w.due, began)
		done := time.Now()
		counted := done // closed loop: by when it was done; open loop: by when it was due, however late it is done
		if due != nil {
			counted = began
		}
		if !counted.Before(w.from) && counted.Before(w.until) {
			w.took = append(w.took, done.Sub(began))
		}
	}
}
