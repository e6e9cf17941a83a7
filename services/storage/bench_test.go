package storage_test

import (
	"testing"

	"github.com/onhook/onhook/pkg/store"
)

// BenchmarkCallsToSQLite measures the sink at work, per call of about 7 kB: fetched, saved and acknowledged. The broker
// runs in the same process, so its time and memory are in the figures.
func BenchmarkCallsToSQLite(b *testing.B) {
	f := setup(b)
	f.cfg.Config.Batch = 256
	s := openStore(b, sqliteDSN(b))
	calls := full(idsUpTo(b.N)...)
	for lo := 0; lo < len(calls); lo += 1000 {
		f.publish(calls[lo:min(lo+1000, len(calls))]...)
	}
	b.ReportAllocs()
	b.ResetTimer()
	f.start(s)
	f.waitSettled()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
	if got, err := s.List(b.Context(), store.Filter{Limit: b.N + 1}); err != nil || len(got) != b.N {
		b.Errorf("%d rows of %d calls, %v", len(got), b.N, err)
	}
}
