package hubspot

import (
	"context"
	"slices"
	"sync"
	"time"
)

// slack is added to a window for timers that fire early and clocks that do not run alike.
const slack = 10 * time.Millisecond

// limiter keeps requests to a number in any window of time, wherever the window starts.
//
// A request counts from when it is sent until a window after its answer. HubSpot counts it at some moment in between,
// so that no delay on the way can bring more of them into one of its windows than into ours.
type limiter struct {
	window time.Duration
	limit  int

	mu      sync.Mutex
	flying  int
	taken   int         // ever
	ended   []time.Time // when answers came, oldest first; those of other clients of the account among them
	changed chan struct{}
}

func newLimiter(limit int, window time.Duration) *limiter {
	return &limiter{window: window + slack, limit: limit, changed: make(chan struct{})}
}

// slot is the place of one request, and what was known when it got it.
type slot struct{ used, taken int }

// take waits until a request may be sent; done must follow when it is answered.
func (l *limiter) take(ctx context.Context) (slot, error) {
	for {
		l.mu.Lock()
		wait := l.wait(time.Now())
		if wait <= 0 {
			l.flying++
			l.taken++
			s := slot{used: l.flying + len(l.ended), taken: l.taken}
			l.mu.Unlock()
			return s, nil
		}
		changed := l.changed
		l.mu.Unlock()
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return slot{}, ctx.Err()
		case <-changed:
			t.Stop()
		case <-t.C:
		}
	}
}

// wait is how long until there may be room. The caller holds mu.
func (l *limiter) wait(now time.Time) time.Duration {
	past := 0
	for past < len(l.ended) && now.Sub(l.ended[past]) >= l.window {
		past++
	}
	l.ended = slices.Delete(l.ended, 0, past)
	over := l.flying + len(l.ended) - l.limit // one more than fits has to end
	switch {
	case over < 0:
		return 0
	case over < len(l.ended):
		return l.window - now.Sub(l.ended[over])
	default:
		return l.window // the next answer changes it sooner
	}
}

// done says that a request was answered, or was given up.
func (l *limiter) done() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flying--
	l.ended = append(l.ended, time.Now())
	l.signal()
}

// learn takes over how much HubSpot says, in the answer to a request, was left of the account's quota at some moment since
// it was sent. What was missing then, and cannot have been ours, is another client's, or more than the account has: it
// counts as if it had been answered now.
func (l *limiter) learn(left int, s slot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	ours := s.used + l.taken - s.taken
	for range l.limit - ours - max(left, 0) {
		l.ended = append(l.ended, now)
	}
	l.signal()
}

// signal wakes those that wait, to look again. The caller holds mu.
func (l *limiter) signal() {
	close(l.changed)
	l.changed = make(chan struct{})
}
