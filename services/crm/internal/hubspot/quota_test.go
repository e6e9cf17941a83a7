package hubspot_test

import (
	"math"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/services/crm/internal/crmtest"
	"github.com/onhook/onhook/services/crm/internal/hubspot"
	"github.com/onhook/onhook/services/crm/internal/sink"
)

// bare is a batch that costs one request, and little work.
func bare() []sink.Item {
	batch := items(1)
	batch[0].Call.CustomerPhone, batch[0].Call.To = nil, nil
	return batch
}

// sustain delivers a batch again and again for as long as it takes to be some windows of 10 s past the first, and returns
// the requests per window in them.
func sustain(f *fixture, batch []sink.Item, workers, windows int) float64 {
	f.t.Helper()
	c := f.client()
	const window = 10 * time.Second
	stop := time.Now().Add(time.Duration(windows+1) * window)
	var atFirst int
	var wg sync.WaitGroup
	wg.Go(func() {
		<-time.After(window)
		atFirst = f.account.Requests("")
	})
	for range workers {
		wg.Go(func() {
			for time.Now().Before(stop) {
				f.delivered(c.Deliver(f.t.Context(), batch))
			}
		})
	}
	<-time.After(time.Until(stop))
	got := f.account.Requests("")
	wg.Wait()
	if most := f.account.MostInWindow(); most > 190 {
		f.t.Errorf("%d requests in a window of 10 s", most)
	}
	return float64(got-atFirst) / float64(windows)
}

// TestQuotaIsUsedUpAndNeverExceeded in fake time, by one worker and by several.
func TestQuotaIsUsedUpAndNeverExceeded(t *testing.T) {
	t.Parallel()
	for _, workers := range []int{1, 8} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			f.account.Latency = 20 * time.Millisecond
			if workers > 1 { // with one, no header helps
				f.account.Quota = 190
			}
			if got := sustain(f, bare(), workers, 3); got < 190*0.95 {
				t.Errorf("%d workers: %.1f requests in 10 s", workers, got)
			}
		})
	}
}

// TestAnswerThatIsLateSaysNothingOfNow: what it says was left is of a moment when requests still counted that count no
// more; they were not another client's.
func TestAnswerThatIsLateSaysNothingOfNow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.account.Quota, f.cfg.Quota = 20, 20
		batch := bare()
		c := f.client()
		for range 19 {
			f.delivered(c.Deliver(t.Context(), batch))
		}
		<-time.After(9900 * time.Millisecond)
		f.account.Fault("", 1, crmtest.HubSpotSlow(time.Second))
		var wg sync.WaitGroup
		wg.Go(func() { f.delivered(c.Deliver(t.Context(), batch)) })
		<-time.After(500 * time.Millisecond)
		f.delivered(c.Deliver(t.Context(), batch))
		wg.Wait()
		began := time.Now()
		for range 18 {
			f.delivered(c.Deliver(t.Context(), batch))
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("18 requests took %v", took)
		}
	})
}

// TestQuotaIsKeptWhateverTheDelaysAre: HubSpot counts a request at some moment between its start and its answer.
func TestQuotaIsKeptWhateverTheDelaysAre(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			random := rand.New(rand.NewPCG(seed, 1))
			var mu sync.Mutex
			delay := func() time.Duration {
				mu.Lock()
				defer mu.Unlock()
				return time.Duration(random.ExpFloat64() * float64(300*time.Millisecond))
			}
			f.cfg.Quota = 20 // and no header says so
			f.sent.next = late{f.sent.next, delay}
			batch := bare()
			c := f.client()
			var wg sync.WaitGroup
			for range 5 {
				wg.Go(func() {
					for range 30 {
						f.delivered(c.Deliver(t.Context(), batch))
						<-time.After(delay())
					}
				})
			}
			wg.Wait()
			if most := f.account.MostInWindow(); most > 20 || most < 19 {
				t.Errorf("seed %d: %d requests in a window of 10 s", seed, most)
			}
		})
	}
}

// late delays a request on its way there and back.
type late struct {
	next  http.RoundTripper
	delay func() time.Duration
}

func (l late) RoundTrip(r *http.Request) (*http.Response, error) {
	<-time.After(l.delay())
	resp, err := l.next.RoundTrip(r)
	<-time.After(l.delay())
	return resp, err
}

// TestSmallerQuotaIsLearned: HubSpot's headers say that the account has less than is configured.
func TestSmallerQuotaIsLearned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.account.Quota = 100
		batch := bare()
		c := f.client()
		began := time.Now()
		for range 450 {
			f.delivered(c.Deliver(t.Context(), batch))
		}
		if most := f.account.MostInWindow(); most > 100 {
			t.Errorf("%d requests in a window of 10 s", most)
		}
		if took := time.Since(began); took < 40*time.Second || took > 42*time.Second {
			t.Errorf("450 requests took %v", took)
		}
	})
}

// TestOtherClientsOfTheAccountAreSeen: two processes share what the account has, and neither meets its limit.
func TestOtherClientsOfTheAccountAreSeen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.account.Quota, f.account.Latency = 190, 20*time.Millisecond
		batch := bare()
		var wg sync.WaitGroup
		var limited atomic.Int32
		for _, c := range []*hubspot.Client{f.client(), f.client()} {
			wg.Go(func() {
				for range 400 {
					r := c.Deliver(t.Context(), batch)[0]
					if kind, d := retry.Classify(r.Err); kind == retry.Paused {
						limited.Add(1)
						<-time.After(d)
					} else if r.Err != nil {
						t.Error(r.Err)
					}
				}
			})
		}
		wg.Wait()
		if n := limited.Load(); n > 4 { // one in a window, when both are on their way for the last
			t.Errorf("%d requests were refused", n)
		}
	})
}

// TestSearchHasALimitOfItsOwn: 5 in a second, of which one is left to others.
func TestSearchHasALimitOfItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		var at []time.Time
		f.account.Fault("contacts/search", 1000, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			at = append(at, time.Now())
			next.ServeHTTP(w, r)
		})
		f.delivered(f.client().Deliver(t.Context(), items(400)))
		if len(at) != 8 {
			t.Fatalf("%d searches", len(at))
		}
		for i := 4; i < len(at); i++ {
			if d := at[i].Sub(at[i-4]); d < time.Second {
				t.Errorf("5 searches in %v", d)
			}
		}
	})
}

// TestHeadersOfNonsense change nothing but the pace.
func TestHeadersOfNonsense(t *testing.T) {
	t.Parallel()
	for _, header := range [][2]string{{"0", "0"}, {"-5", "-7"}, {"x", "y"}, {"9999999999", "3"}, {"", "0"}} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			f.account.Fault("", 3, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				w.Header().Set("X-HubSpot-RateLimit-Max", header[0])
				w.Header().Set("X-HubSpot-RateLimit-Remaining", header[1])
				next.ServeHTTP(w, r)
			})
			c := f.client()
			began := time.Now()
			for range 5 {
				f.delivered(c.Deliver(t.Context(), items(1)))
			}
			if took := time.Since(began); took > 2*time.Minute {
				t.Errorf("%v: %v", header, took)
			}
		})
	}
}

func TestQuotaLeft(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account.Quota = 190 // of 10 seconds; it then says what is left of the day too
	c := f.client()
	if left := c.QuotaLeft(); !math.IsNaN(left) {
		t.Errorf("%v is left before HubSpot has said", left)
	}
	f.delivered(c.Deliver(t.Context(), bare()))
	if left := c.QuotaLeft(); left != .8 {
		t.Errorf("%v of the day's quota is left", left)
	}
}
