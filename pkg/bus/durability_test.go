package bus_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/bus/bustest"
)

func TestDurabilityIsCheckedNotHopedFor(t *testing.T) {
	t.Parallel()
	jsz := func(body string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }))
		t.Cleanup(s.Close)
		return s.URL
	}
	syncs, lazy, broken := jsz(`{"config":{"sync_always":true}}`), jsz(`{"config":{"sync_interval":120000000000}}`), jsz(`nonsense`)
	srv := bustest.StartServer(t)
	for _, tt := range []struct {
		name, asked, monitor string
		embedded, ok         bool
		finding              string
	}{
		{"embedded", "", "", true, true, "fsync: the server syncs every write"},
		{"embedded, replicated asked", "replicated", "", true, false, "not replicated: of replicas WEBHOOKS has 1, CALLS has 1"},
		{"one server, unseen", "", "", false, false, "not known to be durable"},
		{"one server, seen to sync", "", syncs, false, true, "fsync"},
		{"one server, seen not to sync", "", lazy, false, false, "sync_interval: always"},
		{"said to sync, seen not to", "fsync", lazy, false, false, "sync_interval: always"},
		{"said to sync, unseen", "fsync", "", false, true, "as the configuration says"},
		{"said to sync, monitoring broken", "fsync", broken, false, true, "as the configuration says"},
		{"relaxed", "relaxed", "", false, true, "relaxed, as asked"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var b *bus.Bus
			if tt.embedded {
				b = srv.ConnectWith(t, func(c *bus.Config) { c.Server, c.Durability = srv.Server, tt.asked })
			} else {
				b = srv.ConnectWith(t, func(c *bus.Config) { c.Durability, c.MonitorURL = tt.asked, tt.monitor })
			}
			d, err := b.Durability(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if d.OK != tt.ok || !strings.Contains(d.Finding, tt.finding) {
				t.Errorf("%+v", d)
			}
			if err := b.Durable(t.Context()); (err == nil) != tt.ok {
				t.Error(err)
			}
		})
	}
}
