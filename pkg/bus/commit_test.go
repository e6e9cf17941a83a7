package bus_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/bus/bustest"
)

// Under load many deliveries share one message, and each comes out as it went in; alone, a delivery is a plain message.
func TestGroupCommit(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t)
	if err := b.PublishDelivery(t.Context(), newDelivery("alone")); err != nil {
		t.Fatal(err)
	}
	const publishers, each = 100, 20
	bodies := map[string]bool{"alone": true}
	var wg sync.WaitGroup
	for p := range publishers {
		for i := range each {
			bodies[body(p, i)] = true
		}
		wg.Go(func() {
			for i := range each {
				if err := b.PublishDelivery(t.Context(), newDelivery(body(p, i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	streams, err := b.Streams(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s := streams[0]; s.Messages != publishers*each+1 {
		t.Errorf("%d deliveries in %s", s.Messages, s.Name)
	}
	s, err := b.Status(t.Context(), bus.Decoder)
	if err != nil {
		t.Fatal(err)
	}
	if s.Pending != publishers*each+1 {
		t.Errorf("%d deliveries pending", s.Pending)
	}
	msgs := fetch(t, b, bus.Decoder, false, publishers*each+1)
	shared := map[uint64]int{}
	for _, m := range msgs {
		d, err := m.Delivery(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !bodies[string(d.Body)] {
			t.Errorf("%.20q came twice, or was never sent", d.Body)
		}
		delete(bodies, string(d.Body))
		shared[m.Origin.Seq]++
		if err := m.Ack(); err != nil {
			t.Error(err)
		}
	}
	if shared[1] != 1 || msgs[0].Origin.String() != "WEBHOOKS/1" {
		t.Errorf("the one that was alone is not plain: %s", msgs[0].Origin)
	}
	if len(shared) > len(msgs)/2 {
		t.Errorf("%d messages for %d deliveries: no groups were made", len(shared), len(msgs))
	}
	waitFor(t, func() bool {
		s, err := b.Status(t.Context(), bus.Decoder)
		return err == nil && s.Pending == 0
	})
}

func body(p, i int) string {
	return fmt.Sprintf(`{"p":%d,"i":%d,"pad":"%s"}`, p, i, strings.Repeat("x", i*500))
}

// An envelope is one message to the broker, but its deliveries are settled one by one.
func TestAnEnvelopeIsSettledDeliveryByDelivery(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			if err := b.PublishDelivery(t.Context(), newDelivery(fmt.Sprint(i))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var dead string
	var group []*bus.Message
	settled := 0
	msgs := fetch(t, b, bus.Decoder, false, 200)
	for i, m := range msgs {
		if m.Origin.Index > 0 && (i+1 == len(msgs) || msgs[i+1].Origin.Seq != m.Origin.Seq) {
			group = msgs[i+1-m.Origin.Index : i+1]
			break
		}
		if m.Origin.Index == 0 {
			if err := m.Ack(); err != nil {
				t.Fatal(err)
			}
			settled++
		}
	}
	if len(group) < 2 {
		t.Fatal("no envelope was made")
	}
	for i, m := range group {
		if i == 1 {
			dead = m.Origin.String()
			if err := m.Bury(t.Context(), "bad", fmt.Errorf("bad"), 1); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := m.Ack(); err != nil {
			t.Fatal(err)
		}
	}
	list, err := b.ListDead(t.Context(), "decoder", 0, 10)
	if err != nil || len(list) != 1 || list[0].Origin != dead || list[0].Provider != "altur" {
		t.Fatalf("%v %+v", err, list)
	}
	if err := b.RedriveDead(t.Context(), list[0].Seq); err != nil {
		t.Fatal(err)
	}
	again := fetch(t, b, bus.Decoder, true, 1)[0]
	d, err := again.Delivery(t.Context())
	if err != nil || again.Origin.String() != dead {
		t.Fatalf("%v %s", err, again.Origin)
	}
	if first, err := group[1].Delivery(t.Context()); err != nil || first.ID != d.ID {
		t.Errorf("%v %+v", err, d)
	}
	want := uint64(len(msgs) - settled - len(group) + 1) // the one that was redriven is in hand
	waitFor(t, func() bool {
		s, err := b.Status(t.Context(), bus.Decoder)
		return err == nil && s.Pending == want
	})
}

// Restarts of the broker lose PubAcks, and groups are made anew: what was acknowledged must be there all the same.
func TestEveryAcknowledgedDeliveryIsThereAfterRestartsUnderLoad(t *testing.T) {
	t.Parallel()
	srv := bustest.StartServer(t)
	b := srv.Connect(t)
	stop := make(chan struct{})
	var mu sync.Mutex
	acked := map[string]bool{}
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				d := newDelivery("{}")
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				err := b.PublishDelivery(ctx, d)
				cancel()
				if err == nil {
					mu.Lock()
					acked[d.ID] = true
					mu.Unlock()
				}
			}
		})
	}
	reached := func(n int) func() bool {
		return func() bool { mu.Lock(); defer mu.Unlock(); return len(acked) > n }
	}
	for range 4 {
		mu.Lock()
		n := len(acked)
		mu.Unlock()
		waitFor(t, reached(n+1000))
		srv.Stop()
		srv.Start(t)
	}
	close(stop)
	wg.Wait()
	streams, err := b.Streams(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range fetch(t, b, bus.Decoder, false, int(streams[0].Messages)) {
		d, err := m.Delivery(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		delete(acked, d.ID)
	}
	if len(acked) > 0 {
		t.Errorf("%d deliveries were acknowledged and are not there", len(acked))
	}
}
