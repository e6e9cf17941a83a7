package bus_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/bus/bustest"
	"github.com/onhook/onhook/pkg/call"
)

func newDelivery(body string) *bus.Delivery {
	return &bus.Delivery{
		ID:          uuid.Must(uuid.NewV7()).String(),
		Provider:    "altur",
		Source:      "collections-mx",
		ReceivedAt:  time.Now().UTC().Truncate(time.Millisecond),
		Auth:        call.AuthVerifiedBody,
		ContentType: "application/json",
		UserAgent:   "altur/1.0",
		Body:        []byte(body),
	}
}

func newCall(id string, event call.Event) *call.Call {
	return &call.Call{Schema: call.Schema, Provider: "altur", Source: "s", CallID: id, Key: call.Key("altur", "s", id), Event: event}
}

// fetch returns the next n messages of c's own stream, or of what was redriven to it.
func fetch(t *testing.T, b *bus.Bus, c bus.Consumer, fromRedrive bool, n int) []*bus.Message {
	t.Helper()
	in, again, err := b.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if fromRedrive {
		in = again
	}
	var msgs []*bus.Message
	for len(msgs) < n {
		more, err := in.Fetch(t.Context(), n-len(msgs), 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(more) == 0 {
			t.Fatalf("%d of %d messages came", len(msgs), n)
		}
		msgs = append(msgs, more...)
	}
	return msgs
}

func TestDeliveryRoundTrip(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t)
	want := newDelivery("\x00\xff not JSON at all")
	if err := b.PublishDelivery(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	m := fetch(t, b, bus.Decoder, false, 1)[0]
	got, err := m.Delivery(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if got := m.Origin.String(); got != "WEBHOOKS/1" {
		t.Errorf("origin %s", got)
	}
}

func TestDeliveryWithHostileHeadersIsStored(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t)
	d := newDelivery("{}")
	d.UserAgent = "a\r\nNats-Msg-Id: x\x00é"
	d.ContentType = "\r\n"
	if err := b.PublishDelivery(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	got, err := fetch(t, b, bus.Decoder, false, 1)[0].Delivery(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.UserAgent != "aNats-Msg-Id: x" || got.ContentType != "" {
		t.Errorf("user agent %q, content type %q", got.UserAgent, got.ContentType)
	}
}

func TestPublishIsRetriedOverARestartOfTheBroker(t *testing.T) {
	t.Parallel()
	srv := bustest.StartServer(t)
	b := srv.Connect(t)
	srv.Stop()
	done := make(chan error, 1)
	go func() { done <- b.PublishDelivery(t.Context(), newDelivery("{}")) }()
	srv.Start(t)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	fetch(t, b, bus.Decoder, false, 1)
}

func TestOneCallPerIdentity(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t)
	cs := []*call.Call{
		newCall("a", call.Ended),
		newCall("a", call.Ended),
		newCall("a", call.Progress), // another event of the same call does not block it
		nil,
		newCall("A", call.Ended),
	}
	got := b.PublishCalls(t.Context(), cs)
	want := []error{nil, bus.ErrDuplicate, nil, nil, nil}
	for i := range want {
		if !errors.Is(got[i], want[i]) {
			t.Errorf("call %d: %v, want %v", i, got[i], want[i])
		}
	}
}

func TestOneCallPerIdentityUnderConcurrentPublishersAndARestart(t *testing.T) {
	t.Parallel()
	srv := bustest.StartServer(t)
	const ids, publishers = 200, 3
	publish := func() (stored int64) {
		var n atomic.Int64
		var wg sync.WaitGroup
		for range publishers {
			b := srv.Connect(t)
			wg.Go(func() {
				cs := make([]*call.Call, ids)
				for i := range cs {
					cs[i] = newCall(fmt.Sprint(i), call.Ended)
				}
				for i, err := range b.PublishCalls(t.Context(), cs) {
					switch {
					case err == nil:
						n.Add(1)
					case !errors.Is(err, bus.ErrDuplicate):
						t.Errorf("call %d: %v", i, err)
					}
				}
			})
		}
		wg.Wait()
		return n.Load()
	}
	if n := publish(); n != ids {
		t.Errorf("%d stored, want %d", n, ids)
	}
	srv.Stop()
	srv.Start(t)
	if n := publish(); n != 0 {
		t.Errorf("%d stored again after a restart", n)
	}
}

func TestScheduleComesBackWithItsCount(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t)
	if err := b.PublishDelivery(t.Context(), newDelivery(`{"n":1}`)); err != nil {
		t.Fatal(err)
	}
	first := fetch(t, b, bus.Decoder, false, 1)[0]
	if err := first.Schedule(t.Context(), time.Now().Add(time.Second), 3); err != nil {
		t.Fatal(err)
	}
	s, err := b.Status(t.Context(), bus.Decoder)
	if err != nil {
		t.Fatal(err)
	}
	if s.Pending != 1 || s.Scheduled != 1 || s.OldestSeconds <= 0 {
		t.Errorf("while scheduled: %+v", s)
	}
	second := fetch(t, b, bus.Decoder, true, 1)[0]
	if second.Failed != 3 || second.Origin.String() != "WEBHOOKS/1" {
		t.Errorf("failed %d, origin %s", second.Failed, second.Origin)
	}
	d, err := second.Delivery(t.Context())
	if err != nil || string(d.Body) != `{"n":1}` {
		t.Errorf("%v %s", err, d.Body)
	}
	if err := second.Ack(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		s, err := b.Status(t.Context(), bus.Decoder)
		return err == nil && s.Pending == 0 && s.OldestSeconds == 0
	})
}

func TestDeadListShowRedriveDiscard(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t)
	for i := range 3 {
		if err := b.PublishDelivery(t.Context(), newDelivery(fmt.Sprintf(`{"n":%d}`, i))); err != nil {
			t.Fatal(err)
		}
	}
	cause := errors.New("altur: $.id: missing\nsecond line")
	for _, m := range fetch(t, b, bus.Decoder, false, 3) {
		if err := m.Bury(t.Context(), cause.Error(), cause, 1); err != nil {
			t.Fatal(err)
		}
	}
	list, err := b.ListDead(t.Context(), "decoder", 0, 10)
	if err != nil || len(list) != 3 {
		t.Fatalf("%v %+v", err, list)
	}
	got := list[1]
	if got.Consumer != "decoder" || got.Reason != "altur: $.id: missing second line" || got.Attempts != 1 || got.Origin != "WEBHOOKS/2" || got.Provider != "altur" || got.Source != "collections-mx" {
		t.Errorf("%+v", got)
	}
	if other, err := b.ListDead(t.Context(), "storage", 0, 10); err != nil || len(other) != 0 {
		t.Errorf("%v %+v", err, other)
	}
	one, err := b.GetDead(t.Context(), got.Seq)
	if err != nil || string(one.Body) != `{"n":1}` {
		t.Errorf("%v %s", err, one.Body)
	}
	if err := b.DiscardDead(t.Context(), list[0].Seq); err != nil {
		t.Error(err)
	}
	if err := b.DiscardDead(t.Context(), list[0].Seq); !errors.Is(err, bus.ErrNotFound) {
		t.Errorf("discarded twice: %v", err)
	}
	if err := b.RedriveDead(t.Context(), got.Seq); err != nil {
		t.Fatal(err)
	}
	m := fetch(t, b, bus.Decoder, true, 1)[0]
	if m.Failed != 0 || m.Origin.String() != "WEBHOOKS/2" {
		t.Errorf("redriven with %d failed attempts, origin %s", m.Failed, m.Origin)
	}
	// Dead again within the duplicate window: it must be there again.
	if err := m.Bury(t.Context(), "still", errors.New("still"), 1); err != nil {
		t.Fatal(err)
	}
	if list, err = b.ListDead(t.Context(), "", 0, 10); err != nil || len(list) != 2 {
		t.Errorf("%v %+v", err, list)
	}
	if err := b.RedriveDead(t.Context(), 999); !errors.Is(err, bus.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 1000 {
		if done() {
			return
		}
		<-tick.C
	}
	t.Fatal("waited 10 s in vain")
}
