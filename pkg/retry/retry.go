// Package retry says what an error means to whoever must decide about the message behind it: again, later, never,
// or that the sink itself is down. A plain error is the common case and means: again, after a backoff.
package retry

import (
	"errors"
	"time"
)

// Kind is what an error means. See Classify.
type Kind int

// The kinds. The zero Kind is that of a nil error.
const (
	Done   Kind = iota // no error
	Again              // a plain error: again after a backoff; counted
	Later              // After: again, not sooner than its delay; counted
	Dead               // Never: no further attempt can succeed
	Paused             // Outage: the sink is down, whatever the message; not counted
)

type tagged struct {
	err   error
	kind  Kind
	delay time.Duration
	least bool // whether the sink itself named the delay
}

func (t *tagged) Error() string { return t.err.Error() }
func (t *tagged) Unwrap() error { return t.err }

// After asks for another attempt, but not sooner than d from now; Retry-After is its usual origin.
func After(d time.Duration, err error) error { return tag(err, Later, d) }

// Never says that no further attempt can succeed: the message itself is at fault.
func Never(err error) error { return tag(err, Dead, 0) }

// Outage says that the sink is down or out of quota, whatever the message; d is when it is worth looking again.
func Outage(d time.Duration, err error) error { return tag(err, Paused, d) }

// OutageAtLeast is Outage where the sink itself named d, as by Retry-After: it must not be asked sooner. See AtLeast.
func OutageAtLeast(d time.Duration, err error) error {
	if err == nil {
		return nil
	}
	return &tagged{err: err, kind: Paused, delay: d, least: true}
}

func tag(err error, k Kind, d time.Duration) error {
	if err == nil {
		return nil
	}
	return &tagged{err: err, kind: k, delay: d}
}

// AtLeast reports whether err is of OutageAtLeast. The outermost tag counts.
func AtLeast(err error) bool {
	t, ok := errors.AsType[*tagged](err)
	return ok && t.least
}

// Classify says what err means and, for Later and Paused, the delay it asked for. The outermost tag counts.
func Classify(err error) (Kind, time.Duration) {
	if err == nil {
		return Done, 0
	}
	if t, ok := errors.AsType[*tagged](err); ok {
		return t.kind, t.delay
	}
	return Again, 0
}
