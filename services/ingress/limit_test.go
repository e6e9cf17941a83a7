package ingress

import (
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onhook/onhook/pkg/provider"
)

func TestRateLimitIsTheSourcesOwn(t *testing.T) {
	t.Parallel()
	f := setup(t, fake{}, options{})
	body := []byte("{}")
	// Whoever does not know the token cannot use up what is its holder's.
	for range 20 {
		f.send(t, "limited/wrong", nil, body).refused(t, http.StatusUnauthorized)
		f.send(t, "limited/"+newToken, nil, nil).refused(t, http.StatusBadRequest)
	}
	f.send(t, "limited/"+newToken, nil, body).accepted(t)
	f.send(t, "limited/"+newToken, nil, body).accepted(t)
	for range 5 {
		got := f.send(t, "limited/"+newToken, nil, body)
		got.refused(t, http.StatusTooManyRequests)
		if wait, err := strconv.Atoi(got.header.Get("Retry-After")); err != nil || wait < 500 || wait > 1000 {
			t.Errorf("Retry-After is %q, want about the 1000 seconds until the next one", got.header.Get("Retry-After"))
		}
		f.send(t, "cllr/"+newToken, nil, body).accepted(t)
	}
	if n := f.count("limited", "rate_limited"); n != 5 {
		t.Errorf("%d counted", n)
	}
}

func newLimited(t *testing.T, rate float64, burst int) *source {
	t.Helper()
	s, err := newSource("s", provider.Source{Provider: "cllr", Insecure: true, RateLimit: rate, Burst: burst})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOverLimit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		rate   float64
		burst  int
		atOnce int
		wait   time.Duration
	}{
		{"no limit", 0, 0, 1000, 0},
		{"burst is a second's worth", 10, 0, 10, time.Second}, // Retry-After counts in seconds
		{"burst of a slow limit is one", 0.1, 0, 1, 10 * time.Second},
		{"burst of its own", 0.5, 7, 7, 2 * time.Second},
		{"hardly ever", 1e-300, 1, 1, time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newLimited(t, c.rate, c.burst)
				for i := range c.atOnce {
					if wait := s.overLimit(); wait != 0 {
						t.Fatalf("delivery %d is to wait %v", i, wait)
					}
				}
				if got := s.overLimit(); got != c.wait {
					t.Errorf("the next one is to wait %v, want %v", got, c.wait)
				}
				if c.wait == 0 || c.wait == time.Hour {
					return
				}
				<-time.After(c.wait)
				if wait := s.overLimit(); wait != 0 {
					t.Errorf("having waited, it is to wait %v more", wait)
				}
			})
		})
	}
}

// Deliveries that were refused at the same time once disturbed the limiter so that several times the limit passed.
func TestFloodOfRefusedDeliveriesDoesNotMoveTheLimit(t *testing.T) {
	t.Parallel()
	const rate, burst = 400, 100 // the burst covers a quarter of a second without a turn on the processor
	s := newLimited(t, rate, burst)
	var passed atomic.Int64
	var flood sync.WaitGroup
	began := time.Now()
	for range 8 {
		flood.Go(func() {
			for time.Since(began) < time.Second {
				if s.overLimit() == 0 {
					passed.Add(1)
				}
			}
		})
	}
	flood.Wait()
	want := rate * time.Since(began).Seconds()
	// The limiter lets some more pass when a goroutine is kept waiting with the time that it came at.
	if n := float64(passed.Load()); n < want/2 || n > 2*(want+burst) {
		t.Errorf("%v passed, want about %v", n, want+burst)
	}
}
