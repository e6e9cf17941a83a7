package bus

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
)

// Under more than the broker can store, the queue was longer than its deliveries could wait: each reached its head when
// its sender had nearly gone, and 13 a second were acknowledged of the 1,300 that could have been. In fake time, 256
// deliveries per 200 ms: what is too much is refused at once, and the rest is stored as fast as ever.
func TestOverloadRefusesAtOnceAndKeepsThePace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const publish, offered, budget, length = 200 * time.Millisecond, 5 * maxDeliveries / 2 * 10, 8 * time.Second, 40 // 5 × what is taken, seconds
		stored := 0
		c := &committer{wake: make(chan struct{}, 1), publish: func(_ context.Context, m *nats.Msg, _ string) error {
			<-time.After(publish)
			stored += max(1, len(readEnvelope(m.Data)))
			return nil
		}}
		ctx, cancel := context.WithCancel(t.Context())
		go c.run(ctx)
		var mu sync.Mutex
		acked, refused, late, lateRefusals := 0, 0, 0, 0
		var slowest time.Duration
		var wg sync.WaitGroup
		for range length * 100 {
			for range offered / 100 {
				wg.Go(func() {
					began := time.Now()
					ctx, cancel := context.WithTimeout(t.Context(), budget)
					defer cancel()
					err := c.commit(ctx, &Delivery{ID: "id", Provider: "p", Source: "s", Body: []byte("{}")})
					took := time.Since(began)
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err == nil:
						acked, slowest = acked+1, max(slowest, took)
					case !errors.Is(err, ErrOverload):
						late++
					default:
						refused++
						if took > 0 {
							lateRefusals++
						}
					}
				})
			}
			<-time.After(10 * time.Millisecond)
		}
		wg.Wait()
		cancel()
		can := length * int(time.Second/publish) * maxDeliveries
		t.Logf("acked %d of %d possible, refused %d, of these late %d, too late %d, slowest %v", acked, can, refused, lateRefusals, late, slowest)
		if acked < can*9/10 || stored != acked {
			t.Errorf("%d acknowledged and %d stored of %d that could be", acked, stored, can)
		}
		if late > 0 || lateRefusals > refused/100 {
			t.Errorf("%d were never answered, and of %d refusals %d came late", late, refused, lateRefusals)
		}
		if slowest > budget*3/4 {
			t.Errorf("the slowest took %v", slowest)
		}
	})
}

// A broker that was slow for once must not be taken for slow for ever.
func TestOverloadIsForgottenWhenTheBrokerIsFastAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		took := 30 * time.Second
		c := &committer{wake: make(chan struct{}, 1), publish: func(context.Context, *nats.Msg, string) error {
			<-time.After(took)
			return nil
		}}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go c.run(ctx)
		commit := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return c.commit(ctx, &Delivery{ID: "id"})
		}
		if err := commit(); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		<-time.After(took)
		took = time.Millisecond
		if err := commit(); err != nil {
			t.Error(err)
		}
	})
}
