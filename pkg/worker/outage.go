package worker

import (
	"context"
	"sync"
)

// outage is whether the worker's sink is known to be down. One of the worker's loops begins and ends it, and probes
// meanwhile; the others wait. The zero outage is none.
type outage struct {
	mu   sync.Mutex
	over chan struct{} // nil when there is none
}

// begin reports whether the caller is the first to see the outage; then it must end it.
func (o *outage) begin() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over != nil {
		return false
	}
	o.over = make(chan struct{})
	return true
}

func (o *outage) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.over)
	o.over = nil
}

// wait returns when there is no outage, or ctx ends.
func (o *outage) wait(ctx context.Context) {
	o.mu.Lock()
	over := o.over
	o.mu.Unlock()
	if over == nil {
		return
	}
	select {
	case <-over:
	case <-ctx.Done():
	}
}
