package decoder

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/bus/bustest"
	"github.com/onhook/onhook/pkg/provider"
	"github.com/onhook/onhook/schemas"
)

// BenchmarkDecode measures what the decoder itself does per delivery: from the broker's message to the call, without
// publishing it. See BenchmarkDeliveriesToCalls for the whole.
func BenchmarkDecode(b *testing.B) {
	broker := bustest.Start(b)
	d, err := New(b.Context(), DefaultConfig(), provider.All(), broker, zap.NewNop(), prometheus.NewRegistry())
	if err != nil {
		b.Fatal(err)
	}
	in, _, err := broker.Open(b.Context(), bus.Decoder)
	if err != nil {
		b.Fatal(err)
	}
	for _, p := range provider.All() {
		body := largestExample(b, p.Name)
		dl := &bus.Delivery{ID: p.Name, Provider: p.Name, Source: "bench", ReceivedAt: time.Now(), ContentType: "application/json", Body: body}
		if err := broker.PublishDelivery(b.Context(), dl); err != nil {
			b.Fatal(err)
		}
		msgs, err := in.Fetch(b.Context(), 1, 0)
		if err != nil || len(msgs) != 1 {
			b.Fatalf("%d messages, %v", len(msgs), err)
		}
		b.Run(p.Name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if _, _, err := d.decode(b.Context(), msgs[0]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// largestExample is the largest body that the provider's examples have, without its white space.
func largestExample(b *testing.B, provider string) []byte {
	b.Helper()
	files, err := fs.Glob(schemas.FS, "provider/"+provider+"/*.example.json")
	if err != nil || len(files) == 0 {
		b.Fatalf("%s: examples %q, %v", provider, files, err)
	}
	var largest bytes.Buffer
	for _, file := range files {
		raw, err := fs.ReadFile(schemas.FS, file)
		if err != nil {
			b.Fatal(err)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, raw); err != nil {
			b.Fatal(err)
		}
		if compact.Len() > largest.Len() {
			largest = compact
		}
	}
	return largest.Bytes()
}
