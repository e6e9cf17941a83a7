package ingress

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
)

// A provider that repeats one webhook ten thousand times is told ten thousand times that it is received.
func TestTenThousandCopiesAtOnce(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("ten thousand deliveries, each on disk before its answer")
	}
	const copies, senders = 10_000, 64
	b := startBroker(t)
	f := setup(t, b, options{})
	body := example(t, "altur/full-v2")
	header := sign(t, "altur", body, newSecret, "hex")
	var left atomic.Int64
	left.Store(copies)
	var mu sync.Mutex
	ids := make(map[string]bool, copies)
	var all sync.WaitGroup
	for range senders {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				a, err := f.try(t.Context(), "altur", header, body)
				if err != nil || a.status != http.StatusOK {
					t.Errorf("%v %d %s", err, a.status, a.body)
					return
				}
				mu.Lock()
				ids[string(a.body)] = true
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if n := b.stored(t); n != copies || len(ids) != copies || f.count("altur", accepted) != copies {
		t.Errorf("%d stored, %d delivery ids, %d counted, want %d of each", n, len(ids), f.count("altur", accepted), copies)
	}
}
