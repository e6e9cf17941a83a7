package ingress

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/onhook/onhook/pkg/bus/bustest"
)

// sink is a ResponseWriter that costs nothing to speak of.
type sink struct {
	header http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }
func (s *sink) WriteHeader(status int)      { s.status = status }

// sender posts one body again and again, past the network.
type sender struct {
	handler http.Handler
	request *http.Request
	body    *bytes.Reader
	answer  sink
}

func newSender(b *testing.B, handler http.Handler, size int) *sender {
	b.Helper()
	body := fmt.Appendf(nil, `{"event_type":"on_call_end","id":"1","transcript":%q}`, strings.Repeat("x", size))[:size-2]
	body = append(body, `"}`...)
	header := sign(b, "altur", body, newSecret, "hex")
	header.Set("Content-Type", "application/json")
	reader := bytes.NewReader(body)
	return &sender{
		handler: handler,
		body:    reader,
		answer:  sink{header: http.Header{}},
		request: &http.Request{
			Method: http.MethodPost, URL: &url.URL{Path: "/v1/webhooks/altur"}, Header: header,
			Body: io.NopCloser(reader), ContentLength: int64(len(body)),
		},
	}
}

func (s *sender) send(b *testing.B) {
	s.body.Seek(0, io.SeekStart)
	clear(s.answer.header)
	s.handler.ServeHTTP(&s.answer, s.request)
	if s.answer.status != http.StatusOK {
		b.Errorf("status %d", s.answer.status)
	}
}

// benchHandler logs as a process does, to nowhere.
func benchHandler(b *testing.B, p publisher) http.Handler {
	b.Helper()
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(io.Discard), zap.InfoLevel))
	in, err := New(withListen("127.0.0.1:0"), testSources(), p, log, prometheus.NewRegistry())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = in.listener.Close() })
	return in.routes()
}

var benchSizes = []int{2 << 10, 20 << 10}

// BenchmarkReceive is what ingress itself costs a signed delivery: all but the network and the broker.
func BenchmarkReceive(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			s := newSender(b, benchHandler(b, fake{}), size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				s.send(b)
			}
		})
	}
}

// BenchmarkReceivePublish is the same with a real broker, every write of which is on disk before it is acknowledged:
// one sender shows the latency, many at once the throughput.
func BenchmarkReceivePublish(b *testing.B) {
	for _, size := range benchSizes {
		for _, senders := range []int{1, 64} {
			b.Run(fmt.Sprintf("%dKiB/senders=%d", size>>10, senders), func(b *testing.B) {
				handler := benchHandler(b, bustest.Start(b))
				b.SetBytes(int64(size))
				b.ReportAllocs()
				if senders == 1 {
					s := newSender(b, handler, size)
					for b.Loop() {
						s.send(b)
					}
					return
				}
				b.SetParallelism(max(1, senders/runtime.GOMAXPROCS(0)))
				b.RunParallel(func(pb *testing.PB) {
					s := newSender(b, handler, size)
					for pb.Next() {
						s.send(b)
					}
				})
			})
		}
	}
}
