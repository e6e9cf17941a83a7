package worker

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/onhook/onhook/pkg/retry"
)

// The doubling once overflowed, and after some thirty attempts the longest backoff became the shortest.
func TestBackoffNeverShrinksAndStaysWithinItsBounds(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ min, max time.Duration }{
		{time.Second, 10 * time.Minute},
		{time.Minute, 24 * time.Hour},
		{time.Hour, time.Hour},
		{time.Nanosecond, 1<<63 - 1},
	} {
		w := &Worker{cfg: Config{BackoffMin: test.min, BackoffMax: test.max}}
		longest := func(failed int) (d time.Duration) {
			for range 100 {
				got := w.backoff(failed)
				if got < test.min || got > test.max {
					t.Fatalf("%+v: %v after %d failed attempts", test, got, failed)
				}
				d = max(d, got)
			}
			return d
		}
		for failed := 1; failed <= 1000; failed++ {
			longest(failed)
		}
		if got := longest(1); got != test.min {
			t.Errorf("%+v: %v after the first attempt", test, got)
		}
		for _, failed := range []int{64, 100, 1000} { // of a hundred random times one is in the upper half
			if got := longest(failed); got < test.max/2 {
				t.Errorf("%+v: at most %v after %d failed attempts", test, got, failed)
			}
		}
	}
}

// A vendor that asked for two hours was once asked again after probe_max.
func TestAPauseThatTheSinkAsksForIsNotCutShort(t *testing.T) {
	t.Parallel()
	w := &Worker{cfg: Config{BackoffMin: time.Second, ProbeMax: time.Hour}}
	down := errors.New("429")
	for _, test := range []struct {
		err  error
		want time.Duration
	}{
		{retry.Outage(2*time.Hour, down), time.Hour},
		{retry.Outage(time.Minute, down), time.Minute},
		{retry.Outage(0, down), time.Second},
		{retry.OutageAtLeast(2*time.Hour, down), 2 * time.Hour},
		{fmt.Errorf("account: %w", retry.OutageAtLeast(2*time.Hour, down)), 2 * time.Hour},
		{retry.OutageAtLeast(100*time.Hour, down), 24 * time.Hour},
		{retry.OutageAtLeast(0, down), time.Second},
		{retry.Outage(2*time.Hour, retry.OutageAtLeast(2*time.Hour, down)), time.Hour},
	} {
		if got := w.pause(test.err); got != test.want {
			t.Errorf("%v, want %v", got, test.want)
		}
	}
}
