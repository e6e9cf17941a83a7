package storetest

import (
	"fmt"
	"testing"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/store"
)

// Benchmark measures Save of new calls of about 4 kB.
func Benchmark(b *testing.B, s store.Store) {
	for _, size := range []int{100, 500} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			calls := make([]*call.Raw, size)
			for i := range calls {
				calls[i] = Raw(b, Full(""))[0]
			}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				for _, c := range calls {
					n++
					c.CallID = fmt.Sprintf("bench-%d-%d", size, n)
					c.Key = call.Key(c.Provider, c.Source, c.CallID)
				}
				for _, err := range s.Save(b.Context(), calls) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "calls/s")
		})
	}
}
