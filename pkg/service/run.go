// Package service is how a process lives: its logger, its admin listener with health and metrics, the signals that
// end it, and a shutdown that stops its parts one by one, in reverse order.
package service

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"go.uber.org/zap"
)

// Part is something that works for as long as the process lives.
type Part struct {
	Name string
	Run  func(ctx context.Context) error // works until ctx ends
}

// errExited is what a part returns whose goroutine ended without returning: runtime.Goexit, which t.FailNow calls.
var errExited = errors.New("its goroutine exited")

// running is a part that has been started.
type running struct {
	name   string
	cancel context.CancelFunc
	done   chan struct{} // closed when the part has returned
	err    error         // what it returned; to be read after done
}

// Run starts the parts in their order and works until ctx ends or a part returns. Then it stops them in reverse
// order: it ends a part's own context, waits for the part up to grace, and goes on with the one before it, so a part
// can rely on those before it until it has returned.
//
// A part that returns before it was asked to, with an error or without one, ends the process. The error names each
// part that returned early, failed while stopping, panicked, or did not stop within grace; nil is an orderly end.
//
//	Run ──┬─► parts[0] ◄─ cancel, wait ─┐ last
//	      ├─► parts[1]                  │
//	      └─► parts[n] ◄─ cancel, wait ─┘ first, when ctx ends or any part writes to ended
func Run(ctx context.Context, log *zap.Logger, grace time.Duration, parts ...Part) error {
	ended := make(chan *running, len(parts)) // with room for every part, so that none waits to say that it has ended
	started := make([]*running, len(parts))
	for i, part := range parts {
		// The part must not see ctx end: it is stopped when its turn comes.
		partCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		p := &running{name: part.Name, cancel: cancel, done: make(chan struct{}), err: errExited}
		started[i] = p
		go func() {
			defer func() {
				if v := recover(); v != nil {
					p.err = fmt.Errorf("panic: %v", v)
					log.Error("part panicked", zap.String("part", p.name), zap.Error(p.err), zap.ByteString("stack", debug.Stack()))
				}
				close(p.done)
				ended <- p
			}()
			p.err = part.Run(partCtx)
		}()
	}

	var errs []error
	select {
	case <-ctx.Done():
		log.Info("stopping", zap.NamedError("reason", context.Cause(ctx)), zap.Duration("grace", grace))
	case p := <-ended:
		if ctx.Err() == nil || p.err != nil {
			errs = append(errs, p.early())
			log.Error("stopping, as a part has ended", zap.String("part", p.name), zap.Error(p.err))
			p.err = nil // told
		}
	}
	for _, p := range slices.Backward(started) {
		if err := p.stop(log, grace); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (p *running) early() error {
	if p.err == nil {
		return fmt.Errorf("%s ended although nobody asked it to", p.name)
	}
	return fmt.Errorf("%s: %w", p.name, p.err)
}

// stop ends the part's context and waits for it to return. It may have returned on its own, after the process began
// to stop: then only its error counts.
func (p *running) stop(log *zap.Logger, grace time.Duration) error {
	began := time.Now()
	p.cancel()
	timeout := time.NewTimer(grace)
	defer timeout.Stop()
	select {
	case <-p.done:
	case <-timeout.C:
		log.Error("part did not stop in time; going on without it", zap.String("part", p.name), zap.Duration("grace", grace))
		return fmt.Errorf("%s did not stop within %s", p.name, grace)
	}
	if p.err != nil && !errors.Is(p.err, context.Canceled) {
		log.Error("part failed while stopping", zap.String("part", p.name), zap.Error(p.err))
		return fmt.Errorf("%s: while stopping: %w", p.name, p.err)
	}
	log.Info("stopped", zap.String("part", p.name), zap.Duration("took", time.Since(began)))
	return nil
}
