package crm_test

import (
	"fmt"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onhook/onhook/pkg/call"
)

// BenchmarkBesideOthers measures one sink alone, and then beside a sink that is down and one that takes 5 s for each call.
// The others are mended after 30 s, or after ONHOOK_BENCH_DOWN: what they lag behind by then is delivered, and nothing is
// dead. The sink's pace is that of its receiver, so that to be compared is the share of it that is left beside the others.
// One iteration is one run.
func BenchmarkBesideOthers(b *testing.B) {
	const alone = 30 * time.Second
	down := alone
	if v := os.Getenv("ONHOOK_BENCH_DOWN"); v != "" {
		var err error
		if down, err = time.ParseDuration(v); err != nil {
			b.Fatalf("ONHOOK_BENCH_DOWN: %v", err)
		}
	}
	for range b.N {
		besideOthers(b, alone, down)
	}
}

func besideOthers(b *testing.B, alone, down time.Duration) {
	f := newFixture(b)
	var broken atomic.Bool
	broken.Store(true)
	var steadyDone atomic.Int64
	steady, steadyURL := f.receiver(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			pass(r, 20*time.Millisecond)
			next.ServeHTTP(w, r)
			steadyDone.Add(1)
		})
	})
	away, awayURL := f.receiver(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if broken.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	slow, slowURL := f.receiver(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if broken.Load() {
				pass(r, 5*time.Second)
			}
			next.ServeHTTP(w, r)
		})
	})
	sink := func(name, address, keys string) string {
		return fmt.Sprintf("  %s: {kind: webhook, url: %q, secrets: [%s], allow_private: true%s}\n", name, address, secret, keys)
	}
	third := sink("steady", steadyURL, ", connections: 2, concurrency: 1")

	stop := f.start(third)
	published := 0
	feed := func() { // so that the sink never waits for calls
		for int64(published) < steadyDone.Load()+1000 {
			calls := make([]*call.Call, 500)
			for i := range calls {
				calls[i] = newCall(fmt.Sprint(published + i))
			}
			f.publish(calls...)
			published += len(calls)
		}
	}
	rateAlone := rate(&steadyDone, alone, feed)
	stop()

	f.start(third, sink("away", awayURL, ""), sink("slow", slowURL, ""))
	before := published // the others begin with what comes now
	rateBeside := rate(&steadyDone, down, feed)
	lag := f.status("away").Pending
	if s := f.status("away"); s.Outage == nil {
		b.Error("the sink that is down is not said to be")
	}
	broken.Store(false)
	mended := time.Now()
	drained := map[string]float64{}
	for len(drained) < 3 {
		if time.Since(mended) > down+5*time.Minute {
			b.Fatalf("not all sinks drain: %v s", drained)
		}
		pause(100 * time.Millisecond)
		for _, name := range []string{"away", "slow", "steady"} {
			if _, ok := drained[name]; !ok && f.status(name).Pending == 0 {
				drained[name] = time.Since(mended).Seconds()
			}
		}
	}
	for name, n := range map[string]int{"steady": len(steady.Records()) - published, "away": len(away.Records()) - published + before, "slow": len(slow.Records()) - published + before} {
		if n != 0 {
			b.Errorf("%s has %+d calls too many", name, n)
		}
		if dead := f.dead(name); len(dead) > 0 {
			b.Errorf("%s: %d are dead, as %+v", name, len(dead), dead[0])
		}
	}
	b.ReportMetric(drained["away"], "s-to-drain-what-was-down")
	b.ReportMetric(drained["slow"], "s-to-drain-what-was-slow")
	b.ReportMetric(rateAlone, "calls/s-alone")
	b.ReportMetric(rateBeside, "calls/s-beside-others")
	b.ReportMetric(rateBeside/rateAlone, "of-alone")
	b.ReportMetric(float64(lag), "calls-behind-when-it-was-back")
}

// rate is how many there are of done in a second, once the first are.
func rate(done *atomic.Int64, during time.Duration, feed func()) float64 {
	feed()
	for from := done.Load(); done.Load() < from+100; {
		pause(10 * time.Millisecond)
	}
	n, began := done.Load(), time.Now()
	for time.Since(began) < during {
		feed()
		pause(100 * time.Millisecond)
	}
	return float64(done.Load()-n) / time.Since(began).Seconds()
}

// pass answers after d, or when the client has gone.
func pass(r *http.Request, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.Context().Done():
	}
}

func pause(d time.Duration) { <-time.After(d) }
