package bus_test

import (
	"testing"
	"time"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/bus/bustest"
)

// After a broker's failover, what had been in the workers' hands came again message by message, each a batch by itself.
func TestWhatIsDeliveredAgainComesInBatches(t *testing.T) {
	t.Parallel()
	const n = 100
	b := bustest.StartServer(t).ConnectWith(t, func(c *bus.Config) { c.AckWait = time.Second })
	for range n {
		if err := b.PublishDelivery(t.Context(), newDelivery("{}")); err != nil {
			t.Fatal(err)
		}
	}
	fetch(t, b, bus.Decoder, false, n) // and never answered for
	in, _, err := b.Open(t.Context(), bus.Decoder)
	if err != nil {
		t.Fatal(err)
	}
	fetches := 0
	for got := 0; got < n; fetches++ {
		msgs, err := in.Fetch(t.Context(), n, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range msgs {
			if err := m.Ack(); err != nil {
				t.Fatal(err)
			}
		}
		got += len(msgs)
	}
	if fetches > n/4 {
		t.Errorf("%d messages came in %d batches", n, fetches)
	}
}
