package bus_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/bus/bustest"
	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/retry"
)

// What a later version of onhook has written is tried again, and comes again as it was: it does not die at once, and is not
// taken for what this version knows, with what it does not know left out.
func TestAMessageOfALaterVersionIsTriedAgainAsItIs(t *testing.T) {
	t.Parallel()
	delivery := func(ctx context.Context, m *bus.Message) error { _, err := m.Delivery(ctx); return err }
	asCall := func(_ context.Context, m *bus.Message) error { _, err := m.Call(); return err }
	asRaw := func(_ context.Context, m *bus.Message) error { _, err := m.RawCall(); return err }
	outcome := func(_ context.Context, m *bus.Message) error { _, err := m.Outcome(); return err }
	for name, test := range map[string]struct {
		consumer bus.Consumer
		subject  string
		header   nats.Header
		data     string
		read     func(context.Context, *bus.Message) error
		says     string
	}{
		"envelope": {bus.Decoder, "webhooks.many.2", nats.Header{"Onhook-Envelope": {"2"}, "Onhook-Deliveries": {"2"}, "ce-type": {"onhook.webhook.envelope.v2"}}, "\x00\xffanything",
			delivery, `Onhook-Envelope is "2", and this version of onhook reads "1"`},
		"delivery": {bus.Decoder, "webhooks.altur.s", nats.Header{"ce-id": {"id"}, "ce-source": {"/altur/s"}, "ce-type": {"onhook.webhook.received.v2"}, "ce-time": {"2026-01-01T00:00:00Z"}}, "{}",
			delivery, `ce-type is "onhook.webhook.received.v2"`},
		"call by its type": {bus.Storage, "calls.ended.altur.s.a", nats.Header{"ce-type": {"onhook.call.v2"}}, `{"schema": {"major": 2}}`,
			asCall, `ce-type is "onhook.call.v2"`},
		"call by its schema": {bus.Storage, "calls.ended.altur.s.a", nats.Header{"ce-type": {"onhook.call.v1"}}, `{"schema": "onhook.call/2", "provider": "altur", "source": "s", "call_id": "a"}`,
			asCall, `"onhook.call/2", and this version of onhook reads "` + call.Schema + `"`},
		"raw call by its type": {bus.Storage, "calls.ended.altur.s.a", nats.Header{"ce-type": {"onhook.call.v2"}}, `{"schema": {"major": 2}}`,
			asRaw, `ce-type is "onhook.call.v2"`},
		"raw call by its schema": {bus.Storage, "calls.ended.altur.s.a", nats.Header{"ce-type": {"onhook.call.v1"}}, `{"schema": "onhook.call/2", "provider": "altur", "source": "s", "call_id": "a", "transcript": 2}`,
			asRaw, `"onhook.call/2", and this version of onhook reads "` + call.Schema + `"`},
		"outcome": {bus.Outcomes, "outcomes.hooks", nats.Header{"ce-type": {"onhook.outcome.v2"}}, `{}`,
			outcome, `ce-type is "onhook.outcome.v2"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := bustest.StartServer(t)
			b := srv.Connect(t)
			nc, err := nats.Connect(srv.ClientURL())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(nc.Close)
			if _, err := nc.RequestMsg(&nats.Msg{Subject: test.subject, Header: test.header, Data: []byte(test.data)}, time.Minute); err != nil {
				t.Fatal(err)
			}
			m := fetch(t, b, test.consumer, false, 1)[0]
			for range 2 { // as it was stored, and as it was scheduled
				err = test.read(t.Context(), m)
				if kind, _ := retry.Classify(err); kind != retry.Again || !strings.Contains(err.Error(), test.says) {
					t.Fatalf("kind %d: %v", kind, err)
				}
				if err := m.Schedule(t.Context(), time.Now(), m.Failed+1); err != nil {
					t.Fatal(err)
				}
				m = fetch(t, b, test.consumer, true, 1)[0]
			}
			if err := m.Bury(t.Context(), "gave up", err, m.Failed+1); err != nil {
				t.Fatal(err)
			}
			dead, err := b.GetDead(t.Context(), 1)
			if err != nil || !bytes.Equal(dead.Body, []byte(test.data)) {
				t.Errorf("%v: %q", err, dead.Body)
			}
		})
	}
}
