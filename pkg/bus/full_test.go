package bus

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/natsembed"
	"github.com/onhook/onhook/pkg/retry"
)

// The server has one error code for a full stream and for a second message on a call's subject. The first must never
// pass for the second: a call would be taken for stored.
func TestFullStreamIsAnOutageNeverADuplicate(t *testing.T) {
	t.Parallel()
	srv, err := natsembed.Start(natsembed.Config{Dir: t.TempDir()}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Stop)
	cfg := DefaultConfig()
	cfg.Server = srv
	b, err := Connect(t.Context(), cfg, "test", zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	for round, limit := range []func(*jetstream.StreamConfig){
		func(c *jetstream.StreamConfig) { c.MaxMsgs = 2 },
		func(c *jetstream.StreamConfig) { c.MaxMsgs, c.MaxBytes = -1, 4000 },
	} {
		for _, name := range []string{calls, webhooks} {
			st, err := b.js.Stream(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			sc := st.CachedInfo().Config
			limit(&sc)
			if _, err := b.js.UpdateStream(t.Context(), sc); err != nil {
				t.Fatal(err)
			}
			if err := st.Purge(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		body := strings.Repeat("x", 1500)
		c := func(id string) *call.Call {
			return &call.Call{Provider: "altur", Source: "s", CallID: id, Event: call.Ended, Error: body}
		}
		got := b.PublishCalls(t.Context(), []*call.Call{c("1"), c("2"), c("3"), c("1")})
		if got[0] != nil || got[1] != nil {
			t.Fatalf("%v", got)
		}
		kind, delay := retry.Classify(got[2])
		if kind != retry.Paused || delay <= 0 || !errors.Is(got[2], ErrFull) || errors.Is(got[2], ErrDuplicate) {
			t.Errorf("a call into a full stream: %v", got[2])
		}
		if !errors.Is(got[3], ErrDuplicate) {
			t.Errorf("a duplicate in a full stream: %v", got[3])
		}

		d := &Delivery{Provider: "altur", Source: "s", ReceivedAt: time.Now(), Body: []byte(body)}
		for i := range 3 {
			d.ID = fmt.Sprintf("%d-%d", round, i)
			err = b.PublishDelivery(t.Context(), d)
		}
		if !errors.Is(err, ErrFull) {
			t.Errorf("a delivery into a full stream: %v", err)
		}
		if err := b.Ready(t.Context()); round == 0 && (err == nil || !strings.Contains(err.Error(), "full")) {
			t.Errorf("ready with a full stream: %v", err)
		}
	}
}
