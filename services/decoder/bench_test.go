package decoder_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"github.com/onhook/onhook/pkg/bus"
)

// BenchmarkDeliveriesToCalls measures the decoder at work, per delivery: fetched, decoded, published to CALLS
// and acknowledged. The broker runs in the same process, so its time and memory are in the figures.
func BenchmarkDeliveriesToCalls(b *testing.B) {
	f := setup(b)
	var body map[string]any
	if err := json.Unmarshal(read(b, "provider/altur/full-v2.example.json"), &body); err != nil {
		b.Fatal(err)
	}
	size := 0
	var deliveries []*bus.Delivery
	for i := range b.N {
		body["id"] = fmt.Sprint(i)
		raw, err := json.Marshal(body)
		if err != nil {
			b.Fatal(err)
		}
		size = len(raw)
		deliveries = append(deliveries, newDelivery("altur", "bench", string(raw)))
	}
	const senders = 64
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := s; i < len(deliveries); i += senders {
				f.publish(deliveries[i])
			}
		})
	}
	wg.Wait()
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	d := f.start()
	// Not by waitSettled, which has the broker read what waits: so often, that is most of its work.
	f.waitFor("every call", func() bool { return d.count(b, "altur", "call") == b.N })
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
	f.waitSettled()
}
