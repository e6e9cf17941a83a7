package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/onhook/onhook/deploy/bench/process"
	"github.com/onhook/onhook/deploy/bench/result"
	"github.com/onhook/onhook/deploy/bench/slowdisk"
)

// row is a thing to measure, and how.
type row struct {
	result.Row
	once     bool // in the first round only: it does not vary
	postgres bool // it needs PostgreSQL
	slow     bool // its data is on the slow disk
	measure  func(ctx context.Context, e *env) (result.Sample, error)
}

// env is what one sample is taken in: a folder and processes that do not outlive it.
type env struct {
	dir      string // empty at first
	data     string // where brokers keep theirs: dir, or the slow disk
	bin      string // where the programs are, each by its name
	duration time.Duration
	quick    bool
	round    int // from 0
	rounds   int
	run      *result.Run // what was measured so far
	postgres *postgres

	processes []*process.Process
	before    map[string]float64 // CPU seconds by process
	busy      float64            // CPU seconds of the machine
	began     time.Time
}

// cannot says why the row cannot be measured here, or nil.
func (r *row) cannot(pg *postgres) error {
	switch {
	case r.postgres:
		return pg.err
	case r.slow:
		return slowdisk.Able()
	}
	return nil
}

// sample takes one sample. A failure is a sample that says so: the other rows are measured all the same.
func (r *row) sample(ctx context.Context, e *env) result.Sample {
	s, err := func() (result.Sample, error) {
		if err := os.MkdirAll(e.dir, 0o700); err != nil {
			return result.Sample{}, err
		}
		if r.slow {
			if err := e.slowDisk(ctx); err != nil {
				return result.Sample{}, err
			}
		}
		return r.measure(ctx, e)
	}()
	e.stop()
	if rerr := os.RemoveAll(e.dir); err == nil {
		err = rerr
	}
	if err != nil && s.Wrong == "" {
		s.Wrong = err.Error()
	}
	return s
}

// start starts a program of bin, or this one in a role.
func (e *env) start(name, program string, args ...string) (*process.Process, error) {
	path := filepath.Join(e.bin, program)
	if _, ok := roles[program]; ok {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		path, args = self, append([]string{program}, args...)
	}
	p, err := process.Start(name, e.dir, path, args...)
	if err == nil {
		e.processes = append(e.processes, p)
	}
	return p, err
}

// stop stops every process, the last first.
func (e *env) stop() {
	for i := len(e.processes) - 1; i >= 0; i-- {
		e.processes[i].Stop()
	}
	e.processes = nil
}

// begin takes down what the processes have used so far; end adds what they used since to a sample.
func (e *env) begin() {
	e.before, e.began = map[string]float64{}, time.Now()
	e.busy, _ = cpuSeconds()
	for _, p := range e.processes {
		if u, err := p.Usage(); err == nil {
			e.before[p.Name] = u.CPU
		}
	}
}

func (e *env) end(s *result.Sample) {
	busy, _ := cpuSeconds()
	s.Busy = (busy - e.busy) / time.Since(e.began).Seconds()
	s.CPU, s.Resident = map[string]float64{}, map[string]int64{}
	for _, p := range e.processes {
		u, err := p.Usage()
		if err != nil {
			s.Wrong = err.Error()
			continue
		}
		s.CPU[p.Name] = u.CPU - e.before[p.Name]
		s.Resident[p.Name] = u.Resident
	}
}

// write writes a file of dir and returns its path.
func (e *env) write(name, format string, args ...any) (string, error) {
	path := filepath.Join(e.dir, name)
	return path, os.WriteFile(path, fmt.Appendf(nil, format, args...), 0o600)
}
