package service

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// probeBudget is what a check may take before it counts as failed; probes of Kubernetes give up soon after.
const probeBudget = 2 * time.Second

// Check is a condition of readiness. Probe's error is shown to operators, so it says what is wrong and holds no
// secret. Probe is not called again before it has returned.
type Check struct {
	Name  string
	Probe func(ctx context.Context) error
	Note  func(ctx context.Context) string // what operators should know although Probe found nothing wrong; may be nil
}

// checks are those of one process.
type checks struct {
	mu  sync.Mutex
	all []*guarded
}

// guarded is a check that runs at most once at a time: one that hangs must not pile up with every request.
type guarded struct {
	Check
	free chan struct{} // holds a token while no probe is running
}

type readiness struct {
	Ready  bool          `json:"ready"`
	Checks []checkResult `json:"checks"`
}

type checkResult struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Reason string `json:"reason,omitempty"`
	Note   string `json:"note,omitempty"`
}

func (c *checks) add(check Check) {
	g := &guarded{Check: check, free: make(chan struct{}, 1)}
	g.free <- struct{}{}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, g)
	slices.SortStableFunc(c.all, func(a, b *guarded) int { return cmp.Compare(a.Name, b.Name) })
}

// run probes all checks in parallel.
func (c *checks) run(ctx context.Context) readiness {
	c.mu.Lock()
	all := slices.Clone(c.all)
	c.mu.Unlock()

	out := readiness{Ready: true, Checks: make([]checkResult, len(all))}
	var wg sync.WaitGroup
	for i, g := range all {
		wg.Go(func() {
			note, err := g.probe(ctx)
			out.Checks[i] = checkResult{Name: g.Name, OK: true, Note: note}
			if err != nil {
				out.Checks[i] = checkResult{Name: g.Name, Reason: err.Error()}
			}
		})
	}
	wg.Wait()
	for _, r := range out.Checks {
		out.Ready = out.Ready && r.OK
	}
	return out
}

// probe returns within the budget, even if the check does not heed its context.
func (g *guarded) probe(ctx context.Context) (note string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, probeBudget, fmt.Errorf("no answer within %s", probeBudget))
	defer cancel()
	select {
	case <-g.free:
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	type result struct {
		note string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		defer func() {
			if v := recover(); v != nil {
				done <- result{err: fmt.Errorf("panic: %v", v)}
			}
			g.free <- struct{}{}
		}()
		var r result
		if r.err = g.Probe(ctx); r.err == nil && g.Note != nil {
			r.note = g.Note(ctx)
		}
		done <- r
	}()
	select {
	case r := <-done:
		return r.note, r.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

func (a *Admin) healthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

func (a *Admin) readyz(w http.ResponseWriter, r *http.Request) {
	state := readiness{Checks: []checkResult{{Name: "process", Reason: "stopping"}}}
	if !a.stopping.Load() {
		state = a.checks.run(r.Context())
	}
	status := http.StatusOK
	if !state.Ready {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, state)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client may be gone; nobody else is to be told
}
