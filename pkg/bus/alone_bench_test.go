package bus_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/onhook/onhook/pkg/bus/bustest"
)

// What group commit costs a delivery that is alone: beside such a message published by the client library.
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
			m := nats.NewMsg("webhooks.altur.x")
			m.Data = d.Body
			for _, name := range []string{"ce-id", "ce-source", "ce-type", "ce-specversion", "ce-time", "ce-datacontenttype", "Onhook-Auth", "Onhook-User-Agent"} {
				m.Header.Set(name, "a value of some 20 bytes")
			}
			if _, err := js.PublishMsg(b.Context(), m, jetstream.WithMsgID(uuid.Must(uuid.NewV7()).String())); err != nil {
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
