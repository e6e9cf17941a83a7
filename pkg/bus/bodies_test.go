package bus_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/bus/bustest"
	"github.com/onhook/onhook/pkg/natsembed"
	"github.com/onhook/onhook/pkg/retry"
)

// large is a body that no message of the test's broker can hold, and that does not compress.
func large() []byte {
	body := make([]byte, natsembed.MaxPayload+1<<20)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(body)
	return body
}

func newLarge() *bus.Delivery {
	d := newDelivery("")
	d.Body = large()
	return d
}

func objects(t *testing.T, js jetstream.JetStream, bucket string) []*jetstream.ObjectInfo {
	t.Helper()
	store, err := js.ObjectStore(t.Context(), bucket)
	if err != nil {
		t.Fatal(err)
	}
	all, err := store.List(t.Context())
	if err != nil && !errors.Is(err, jetstream.ErrNoObjectsFound) {
		t.Fatal(err)
	}
	return all
}

// A body beyond the broker's limit arrives as it was sent; published again, as after a lost PubAck, it is one delivery.
func TestLargeBody(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"", "staging-"} {
		srv := bustest.StartServer(t)
		b := srv.ConnectWith(t, func(c *bus.Config) { c.Prefix = prefix })
		d := newLarge()
		for range 2 {
			if err := b.PublishDelivery(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
		m := fetch(t, b, bus.Decoder, false, 1)[0]
		got, err := m.Delivery(t.Context())
		if err != nil || got.ID != d.ID || got.Auth != d.Auth || !bytes.Equal(got.Body, d.Body) {
			t.Errorf("%q: %v, %d bytes", prefix, err, len(got.Body))
		}
		if m.Size() != int64(len(d.Body)) {
			t.Errorf("%q: size %d", prefix, m.Size())
		}
		streams, err := b.Streams(t.Context())
		if err != nil || streams[0].Messages != 1 {
			t.Errorf("%q: %v %+v", prefix, err, streams)
		}
		if all := objects(t, admin(t, srv), prefix+"bodies"); len(all) != 2 { // one of each attempt
			t.Errorf("%q: %d objects", prefix, len(all))
		}
	}
}

// An operator's own limit on the stream is a limit of size like the server's.
func TestBodyBeyondTheStreamsLimit(t *testing.T) {
	t.Parallel()
	srv := bustest.StartServer(t)
	b := srv.Connect(t)
	js := admin(t, srv)
	st, err := js.Stream(t.Context(), "WEBHOOKS")
	if err != nil {
		t.Fatal(err)
	}
	cfg := st.CachedInfo().Config
	cfg.MaxMsgSize = 4 << 10
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	d := newDelivery(string(large()[:64<<10]))
	if err := b.PublishDelivery(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if got, err := fetch(t, b, bus.Decoder, false, 1)[0].Delivery(t.Context()); err != nil || !bytes.Equal(got.Body, d.Body) {
		t.Errorf("%v", err)
	}
}

// A buried delivery outlives the stream that it came from, and so must its body.
func TestABuriedDeliveryTakesItsLargeBodyAlong(t *testing.T) {
	t.Parallel()
	srv := bustest.StartServer(t)
	b := srv.Connect(t)
	js := admin(t, srv)
	want := newLarge()
	if err := b.PublishDelivery(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	bury := func(m *bus.Message) bus.Dead {
		t.Helper()
		if err := m.Bury(t.Context(), "never", errors.New("a defect"), 1); err != nil {
			t.Fatal(err)
		}
		all, err := b.ListDead(t.Context(), "", 0, 10)
		if err != nil || len(all) != 1 || all[0].Size != len(want.Body) {
			t.Fatalf("%v %+v", err, all)
		}
		d, err := b.GetDead(t.Context(), all[0].Seq)
		if err != nil || !bytes.Equal(d.Body, want.Body) {
			t.Fatalf("%v, %d bytes", err, len(d.Body))
		}
		return d
	}
	d := bury(fetch(t, b, bus.Decoder, false, 1)[0])
	store, err := js.ObjectStore(t.Context(), "bodies")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects(t, js, "bodies") { // they have aged out
		if err := store.Delete(t.Context(), o.Name); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.RedriveDead(t.Context(), d.Seq); err != nil {
		t.Fatal(err)
	}
	again := fetch(t, b, bus.Decoder, true, 1)[0]
	if got, err := again.Delivery(t.Context()); err != nil || !bytes.Equal(got.Body, want.Body) {
		t.Fatal(err)
	}
	d = bury(again)
	if err := b.DiscardDead(t.Context(), d.Seq); err != nil {
		t.Fatal(err)
	}
	for _, o := range objects(t, js, "dead-bodies") {
		if strings.HasPrefix(o.Name, "REDRIVE-") {
			t.Error("the discarded message's object is still there")
		}
	}
}

// What is lost or damaged is no outage, which would hold every other delivery up; and it can be buried.
func TestALostLargeBodyIsNoOutage(t *testing.T) {
	t.Parallel()
	srv := bustest.StartServer(t)
	b := srv.Connect(t)
	js := admin(t, srv)
	store, err := js.ObjectStore(t.Context(), "bodies")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		harm func(id string) error
	}{
		{"lost", func(id string) error { return store.Delete(t.Context(), id) }},
		{"another", func(id string) error {
			_, err := store.PutBytes(t.Context(), id, bytes.Repeat([]byte("x"), len(large())))
			return err
		}},
		{"without a chunk", func(id string) error {
			o, err := store.GetInfo(t.Context(), id)
			if err != nil {
				return err
			}
			st, err := js.Stream(t.Context(), "OBJ_bodies")
			if err != nil {
				return err
			}
			m, err := st.GetLastMsgForSubject(t.Context(), "$O.bodies.C."+o.NUID)
			if err != nil {
				return err
			}
			return st.DeleteMsg(t.Context(), m.Sequence)
		}},
		{"shorter", func(id string) error { _, err := store.PutBytes(t.Context(), id, []byte("x")); return err }},
	} {
		d := newLarge()
		if err := b.PublishDelivery(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		for _, o := range objects(t, js, "bodies") {
			if strings.HasPrefix(o.Name, d.ID) {
				if err := tt.harm(o.Name); err != nil {
					t.Fatal(err)
				}
			}
		}
		m := fetch(t, b, bus.Decoder, false, 1)[0]
		_, err := m.Delivery(t.Context())
		if kind, _ := retry.Classify(err); kind != retry.Again {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err := m.Bury(t.Context(), "attempts", errors.New("x"), 20); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// While the broker is away a large body waits, as any other.
func TestALargeBodyWhileTheBrokerIsAwayIsAnOutage(t *testing.T) {
	t.Parallel()
	srv := bustest.StartServer(t)
	b := srv.Connect(t)
	d := newLarge()
	if err := b.PublishDelivery(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	m := fetch(t, b, bus.Decoder, false, 1)[0]
	srv.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := m.Delivery(ctx)
	if kind, _ := retry.Classify(err); kind != retry.Paused {
		t.Errorf("%v", err)
	}
}

// A stream that was deleted counts from 1 again. What was buried of the old one, and its body, must not be taken for the new.
func TestWhatIsBuriedOfAStreamThatWasMadeAnewIsKeptBesideTheOld(t *testing.T) {
	t.Parallel()
	srv := bustest.StartServer(t)
	js := admin(t, srv)
	want := map[string]bool{}
	for i := range 2 {
		b := srv.Connect(t)
		d := newLarge()
		d.Body[0] = byte(i)
		want[string(d.Body)] = true
		if err := b.PublishDelivery(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		if err := fetch(t, b, bus.Decoder, false, 1)[0].Bury(t.Context(), "never", errors.New("x"), 1); err != nil {
			t.Fatal(err)
		}
		if err := js.DeleteStream(t.Context(), "WEBHOOKS"); err != nil {
			t.Fatal(err)
		}
	}
	b := srv.Connect(t)
	all, err := b.ListDead(t.Context(), "", 0, 10)
	if err != nil || len(all) != 2 {
		t.Fatalf("%v %+v", err, all)
	}
	for _, d := range all {
		got, err := b.GetDead(t.Context(), d.Seq)
		if err != nil || !want[string(got.Body)] {
			t.Errorf("%d: %v", d.Seq, err)
		}
		delete(want, string(got.Body))
	}
}

// One delivery that is slow made the lag of all that came and went after it.
func TestWhatIsSettledBehindASlowDeliveryIsNotPending(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t)
	if err := b.PublishDelivery(t.Context(), newDelivery("slow")); err != nil {
		t.Fatal(err)
	}
	const envelopes, each = 50, 100
	for range envelopes {
		var ds []*bus.Delivery
		for range each {
			ds = append(ds, newDelivery("{}"))
		}
		if n, err := b.PublishBacklog(t.Context(), ds); err != nil || n != each {
			t.Fatalf("%d %v", n, err)
		}
	}
	for _, m := range fetch(t, b, bus.Decoder, false, envelopes*each+1)[1:] {
		if err := m.Ack(); err != nil {
			t.Fatal(err)
		}
	}
	var s bus.ConsumerStatus
	waitFor(t, func() bool {
		var err error
		if s, err = b.Status(t.Context(), bus.Decoder); err != nil {
			t.Fatal(err)
		}
		return s.Pending <= each && s.InHand == s.Pending
	})
}
