package ingress_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/bus/bustest"
	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/pkg/provider"
	"github.com/onhook/onhook/services/ingress"
)

// nowhere is a publisher that leaves the publish out.
type nowhere struct{}

func (nowhere) PublishDelivery(context.Context, *bus.Delivery) error { return nil }

// BenchmarkAcks is acknowledged deliveries per second over 256 keep-alive connections: with an fsync before each
// answer, and by the same handler with the publish left out. Loader and server share the machine.
func BenchmarkAcks(b *testing.B) {
	for _, size := range []int{2 << 10, 20 << 10} {
		body := paddedBody(size)
		for _, mode := range []string{"bare", "fsync"} {
			b.Run(fmt.Sprintf("%s/%dKiB", mode, size>>10), func(b *testing.B) {
				var pub interface {
					PublishDelivery(context.Context, *bus.Delivery) error
				} = nowhere{}
				if mode == "fsync" {
					pub = bustest.StartInProcess(b)
				}
				cfg := ingress.DefaultConfig()
				cfg.Listen = "127.0.0.1:0"
				in, err := ingress.New(cfg, provider.Sources{"altur": {Provider: "altur", Secrets: config.Secrets{"dev-secret"}}}, pub, zap.NewNop(), prometheus.NewRegistry())
				if err != nil {
					b.Fatal(err)
				}
				ctx, cancel := context.WithCancel(context.Background())
				done := make(chan error, 1)
				go func() { done <- in.Run(ctx) }()
				load(b, in.Addr(), body, 256)
				cancel()
				if err := <-done; err != nil {
					b.Error(err)
				}
			})
		}
	}
}

// load sends b.N signed deliveries over so many connections, each with one in flight.
func load(b *testing.B, addr string, body []byte, connections int) {
	altur, _ := provider.Lookup("altur")
	var req bytes.Buffer
	r, err := http.NewRequest(http.MethodPost, "http://"+addr+"/v1/webhooks/altur", bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	r.Header = altur.Sign(body, "dev-secret", "")
	r.Header.Set("Content-Type", "application/json")
	if err := r.Write(&req); err != nil {
		b.Fatal(err)
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	var mu sync.Mutex
	var took []time.Duration
	var wg sync.WaitGroup
	conns := make([]net.Conn, connections)
	for i := range conns {
		if conns[i], err = net.Dial("tcp", addr); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	for _, c := range conns {
		wg.Go(func() {
			defer c.Close()
			var mine []time.Duration
			answer := make([]byte, 4096)
			for left.Add(-1) >= 0 {
				began := time.Now()
				if _, err := c.Write(req.Bytes()); err != nil {
					b.Error(err)
					return
				}
				n, err := io.ReadAtLeast(c, answer, len("HTTP/1.1 200"))
				for err == nil && !bytes.HasSuffix(answer[:n], []byte("}\n")) && !bytes.HasSuffix(answer[:n], []byte("}")) {
					var more int
					more, err = c.Read(answer[n:])
					n += more
				}
				if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 200")) {
					b.Errorf("%v %.40q", err, answer[:n])
					return
				}
				mine = append(mine, time.Since(began))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
		})
	}
	wg.Wait()
	b.StopTimer()
	slices.Sort(took)
	if len(took) > 0 {
		b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "acks/s")
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	}
}

func paddedBody(size int) []byte {
	var b bytes.Buffer
	fmt.Fprint(&b, `{"event_type":"on_call_end","id":"cll_bench","status":"ended","transcript":[`)
	for i := 0; b.Len() < size-120; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"sent_by":"user","content":"Fine, I will pay %d pesos on the %dth, José."}`, i*37%1999, i%28+1)
	}
	b.WriteString("]}")
	return b.Bytes()
}
