package bus_test

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/onhook/onhook/pkg/bus/bustest"
)

// What group commit costs a delivery that is alone: beside the same bytes published by the client library.
func BenchmarkAlone(b *testing.B) {
	srv := bustest.StartServer(b)
	conn := srv.Connect(b)
	nc, err := nats.Connect(srv.ClientURL())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		b.Fatal(err)
	}
	d := newDelivery(strings.Repeat("x", 2<<10))
	b.Run("client", func(b *testing.B) {
		for b.Loop() {
			if _, err := js.Publish(b.Context(), "webhooks.altur.x", d.Body); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("delivery", func(b *testing.B) {
		for b.Loop() {
			if err := conn.PublishDelivery(b.Context(), newDelivery(string(d.Body))); err != nil {
				b.Fatal(err)
			}
		}
	})
}
