package bus_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/bus/bustest"
	"github.com/onhook/onhook/pkg/natsembed"
)

// A backlog goes out in order, as much of it at a time as an envelope holds; the same part again is stored once.
func TestBacklog(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t)
	var ds []*bus.Delivery
	for i := range 300 {
		ds = append(ds, newDelivery(fmt.Sprint(i)))
	}
	ds = append(ds, newDelivery(strings.Repeat("x", natsembed.MaxPayload+1)), newDelivery(strings.Repeat("\x00", 10)))
	if n, err := b.PublishBacklog(t.Context(), nil); n != 0 || err != nil {
		t.Errorf("of nothing: %d %v", n, err)
	}
	for left := ds; len(left) > 0; {
		n, err := b.PublishBacklog(t.Context(), left)
		again, aerr := b.PublishBacklog(t.Context(), left)
		if err != nil || aerr != nil || n == 0 || n != again {
			t.Fatalf("%d %v, again %d %v", n, err, again, aerr)
		}
		left = left[n:]
	}
	streams, err := b.Streams(t.Context())
	if err != nil || streams[0].Messages != uint64(len(ds)) {
		t.Fatalf("%v %+v", err, streams[0])
	}
	for i, m := range fetch(t, b, bus.Decoder, false, len(ds)) {
		if d, err := m.Delivery(t.Context()); err != nil || d.ID != ds[i].ID || string(d.Body) != string(ds[i].Body) {
			t.Fatalf("%d: %v %+v", i, err, d)
		}
	}
}
