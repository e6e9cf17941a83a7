package bus_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/bus/bustest"
	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/retry"
)

// admin is what an operator does to the streams, past package bus.
func admin(t *testing.T, srv *bustest.Server) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(srv.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func status(t *testing.T, b *bus.Bus, c bus.Consumer) bus.ConsumerStatus {
	t.Helper()
	s, err := b.Status(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// While disconnected the client refuses a publish itself, at once. That was taken for the call's own fault, and counted.
func TestPublishingCallsWhileDisconnectedIsAnOutage(t *testing.T) {
	t.Parallel()
	srv := bustest.StartServer(t)
	b := srv.Connect(t)
	srv.Stop()
	waitFor(t, func() bool { return b.Ready(t.Context()) != nil })
	for range 2 {
		for _, err := range b.PublishCalls(t.Context(), []*call.Call{newCall("a", call.Ended), newCall("b", call.Ended)}) {
			if kind, delay := retry.Classify(err); kind != retry.Paused || delay <= 0 {
				t.Errorf("kind %d, delay %v: %v", kind, delay, err)
			}
		}
	}
}

// More calls than may be unanswered at once are no error.
func TestMoreCallsThanTheConnectionHasInFlight(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t)
	cs := make([]*call.Call, 5_000)
	for i := range cs {
		cs[i] = newCall(fmt.Sprint(i), call.Ended)
	}
	for i, err := range b.PublishCalls(t.Context(), cs) {
		if err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
	}
}

// A limit on the size of one message concerns that message alone; as an outage it would hold all others for ever.
func TestACallLargerThanTheStreamTakesIsDeadAndNoOutage(t *testing.T) {
	t.Parallel()
	srv := bustest.StartServer(t)
	b, js := srv.Connect(t), admin(t, srv)
	st, err := js.Stream(t.Context(), "CALLS")
	if err != nil {
		t.Fatal(err)
	}
	cfg := st.CachedInfo().Config
	cfg.MaxMsgSize = 4096
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	large := newCall("large", call.Ended)
	large.Error = strings.Repeat("x", 5000)
	errs := b.PublishCalls(t.Context(), []*call.Call{large, newCall("small", call.Ended)})
	if kind, _ := retry.Classify(errs[0]); kind != retry.Dead || errs[1] != nil {
		t.Errorf("%v", errs)
	}
}

func TestAChangedAckWaitTakesEffect(t *testing.T) {
	t.Parallel()
	srv := bustest.StartServer(t)
	for _, wait := range []time.Duration{time.Second, time.Minute, 2 * time.Second} {
		b := srv.ConnectWith(t, func(c *bus.Config) { c.AckWait = wait })
		if _, _, err := b.Open(t.Context(), bus.Decoder); err != nil {
			t.Fatal(err)
		}
		for _, stream := range []string{"WEBHOOKS", "REDRIVE"} {
			c, err := admin(t, srv).Consumer(t.Context(), stream, "decoder")
			if err != nil {
				t.Fatal(err)
			}
			if got := c.CachedInfo().Config.AckWait; got != wait {
				t.Errorf("%s: the consumer waits %v, the bus tells its workers %v", stream, got, wait)
			}
		}
	}
}

// Neither what was deleted nor what aged out is waited for, whether it was in a worker's hands or not.
func TestStatusForgetsWhatIsGone(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]func(*testing.T, jetstream.Stream, jetstream.JetStream){
		"deleted": func(t *testing.T, st jetstream.Stream, _ jetstream.JetStream) {
			for seq := range uint64(4) {
				if err := st.DeleteMsg(t.Context(), seq+1); err != nil {
					t.Fatal(err)
				}
			}
		},
		"purged": func(t *testing.T, st jetstream.Stream, _ jetstream.JetStream) {
			if err := st.Purge(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
		"aged out": func(t *testing.T, st jetstream.Stream, js jetstream.JetStream) {
			cfg := st.CachedInfo().Config
			cfg.MaxAge, cfg.Duplicates = 200*time.Millisecond, 100*time.Millisecond
			if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := bustest.StartServer(t)
			b, js := srv.Connect(t), admin(t, srv)
			for range 4 {
				if err := b.PublishDelivery(t.Context(), newDelivery("{}")); err != nil {
					t.Fatal(err)
				}
			}
			held := fetch(t, b, bus.Decoder, false, 2)
			if s := status(t, b, bus.Decoder); s.Pending != 4 || s.InHand != 2 || s.OldestSeconds <= 0 {
				t.Fatalf("before: %+v", s)
			}
			st, err := js.Stream(t.Context(), "WEBHOOKS")
			if err != nil {
				t.Fatal(err)
			}
			remove(t, st, js)
			waitFor(t, func() bool {
				s := status(t, b, bus.Decoder)
				return s.Pending == 0 && s.InHand == 0 && s.OldestSeconds == 0
			})
			for _, m := range held { // the worker that holds one does not know
				if err := m.Ack(); err != nil {
					t.Error(err)
				}
			}
			if err := b.PublishDelivery(t.Context(), newDelivery("{}")); err != nil {
				t.Fatal(err)
			}
			if s := status(t, b, bus.Decoder); s.Pending != 1 || s.OldestSeconds > 5 {
				t.Errorf("the next one: %+v", s)
			}
		})
	}
}

// What settled while the status was being read was taken for the oldest that waits.
func TestOldestSecondsIsZeroWheneverNothingIsPending(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t)
	in, _, err := b.Open(t.Context(), bus.Decoder)
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- func() error {
			for {
				select {
				case <-stop:
					return nil
				default:
				}
				if err := b.PublishDelivery(t.Context(), newDelivery("{}")); err != nil {
					return err
				}
				msgs, err := in.Fetch(t.Context(), 1, 0)
				for _, m := range msgs {
					err = errors.Join(err, m.Ack())
				}
				if err != nil {
					return err
				}
			}
		}()
	}()
	for range 500 {
		if s := status(t, b, bus.Decoder); s.Pending == 0 && s.OldestSeconds != 0 {
			t.Errorf("%+v", s)
			break
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestLingerEndsWithTheContext(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t)
	if err := b.PublishDelivery(t.Context(), newDelivery("{}")); err != nil {
		t.Fatal(err)
	}
	in, _, err := b.Open(t.Context(), bus.Decoder)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	type fetched struct {
		msgs []*bus.Message
		err  error
	}
	done := make(chan fetched, 1)
	go func() { msgs, err := in.Fetch(ctx, 2, 30*time.Second); done <- fetched{msgs, err} }()
	waitFor(t, func() bool { return status(t, b, bus.Decoder).InHand == 1 })
	began := time.Now()
	cancel()
	got := <-done
	if took := time.Since(began); got.err != nil || len(got.msgs) != 1 || took > 5*time.Second {
		t.Errorf("%d messages after %v, %v", len(got.msgs), took, got.err)
	}
}

// Many large deliveries at once were more than the server holds for one client: it cut the connection.
func TestABatchOfLargeDeliveriesArrives(t *testing.T) {
	t.Parallel()
	srv := bustest.StartServer(t)
	b := srv.Connect(t)
	const n = 60
	body := strings.Repeat("x", 4<<20)
	for range n {
		if err := b.PublishDelivery(t.Context(), newDelivery(body)); err != nil {
			t.Fatal(err)
		}
	}
	in, _, err := b.Open(t.Context(), bus.Decoder)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for got := 0; got < n; {
		msgs, err := in.Fetch(t.Context(), 256, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range msgs {
			if err := m.Ack(); err != nil {
				t.Fatal(err)
			}
		}
		got += len(msgs)
		if len(msgs) == 0 {
			t.Fatalf("%d of %d came, then none", got, n)
		}
	}
	if took := time.Since(began); took > b.AckWait() {
		t.Errorf("it took %v: some were delivered twice", took)
	}
}

// The server counts what is pending a moment after it has stored it. Whoever waited for nothing pending went on too soon.
func TestWhatWasJustPublishedIsPending(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t)
	in, _, err := b.Open(t.Context(), bus.Decoder)
	if err != nil {
		t.Fatal(err)
	}
	for range 300 {
		if err := b.PublishDelivery(t.Context(), newDelivery("{}")); err != nil {
			t.Fatal(err)
		}
		if s := status(t, b, bus.Decoder); s.Pending == 0 || s.OldestSeconds <= 0 {
			t.Fatalf("%+v", s)
		}
		msgs, err := in.Fetch(t.Context(), 1, 0)
		if err != nil || len(msgs) != 1 {
			t.Fatalf("%d messages, %v", len(msgs), err)
		}
		if err := msgs[0].Ack(); err != nil {
			t.Fatal(err)
		}
		waitFor(t, func() bool { return status(t, b, bus.Decoder).Pending == 0 })
	}
}
