package spool

import (
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/zap"
)

// BenchmarkSpool is how fast deliveries of 2 KiB are made safe when 256 requests wait at once.
func BenchmarkSpool(b *testing.B) {
	s, err := Open(b.TempDir(), 1<<40, zap.NewNop())
	if err != nil {
		b.Fatal(err)
	}
	body := strings.Repeat("0123456789abcdef", 128)
	b.SetParallelism(128) // times GOMAXPROCS
	b.ReportAllocs()
	var failed atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if s.Append(b.Context(), delivery(body)) != nil {
				failed.Add(1)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
	if failed.Load() > 0 {
		b.Errorf("%d failed", failed.Load())
	}
	if err := s.Close(); err != nil {
		b.Error(err)
	}
}
