package ingress

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/trace"
)

// Tracing that is off must not be felt on the way to an ack.
func TestTracingThatIsOffAllocatesNothing(t *testing.T) {
	var tracer *trace.Tracer
	header := http.Header{"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}
	d := &bus.Delivery{ID: "id", Provider: "altur", Source: "altur"}
	if n := testing.AllocsPerRun(100, func() {
		span := tracer.Receive(header)
		d.Trace = span.Parent()
		span.End(trace.About{ID: d.ID, Provider: d.Provider, Source: d.Source, Result: accepted})
	}); n != 0 || d.Trace != "" {
		t.Errorf("%v allocations, trace %q", n, d.Trace)
	}
}

func TestSpanOfARequest(t *testing.T) {
	t.Parallel()
	const theirs = "0af7651916cd43dd8448eb211c80319c"
	for name, c := range map[string]struct {
		path, traceparent string
		status            int
		remote            bool
		want              map[string]string
	}{
		"refused":         {"/v1/webhooks/altur", "", 401, false, map[string]string{"onhook.source": "altur", "onhook.provider": "altur", "onhook.result": "unauthorized"}},
		"of a trace":      {"/v1/webhooks/open", "00-" + theirs + "-b7ad6b7169203331-01", 200, true, map[string]string{"onhook.source": "open", "onhook.provider": "cllr", "onhook.result": "accepted", "onhook.id": "*"}},
		"of nonsense":     {"/v1/webhooks/open", "00-" + theirs, 200, false, map[string]string{"onhook.source": "open", "onhook.provider": "cllr", "onhook.result": "accepted", "onhook.id": "*"}},
		"a token and all": {"/v1/webhooks/nobody/secret", "", 404, false, map[string]string{"onhook.result": "unknown_source"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			exporter := tracetest.NewInMemoryExporter()
			var published string
			in, err := New(withListen("127.0.0.1:0"), testSources(), fake{publish: func(_ context.Context, d *bus.Delivery) error {
				published = d.Trace
				return nil
			}}, zap.NewNop(), prometheus.NewRegistry())
			if err != nil {
				t.Fatal(err)
			}
			defer in.listener.Close()
			ctx := trace.With(t.Context(), trace.New(sdk.NewTracerProvider(sdk.WithSyncer(exporter))))
			req := httptest.NewRequestWithContext(ctx, http.MethodPost, c.path, strings.NewReader(`{"call_id":"1"}`))
			if c.traceparent != "" {
				req.Header.Set("Traceparent", c.traceparent)
			}
			answer := httptest.NewRecorder()
			in.routes().ServeHTTP(answer, req)
			if answer.Code != c.status {
				t.Fatalf("status %d: %s", answer.Code, answer.Body)
			}
			spans := exporter.GetSpans()
			if len(spans) != 1 {
				t.Fatalf("%d spans", len(spans))
			}
			s := spans[0]
			if s.Name != "ingress" || s.Parent.IsRemote() != c.remote || c.remote && s.SpanContext.TraceID().String() != theirs {
				t.Errorf("%s, parent %v, of %s", s.Name, s.Parent, s.SpanContext.TraceID())
			}
			if want := "00-" + s.SpanContext.TraceID().String() + "-" + s.SpanContext.SpanID().String() + "-01"; c.status == 200 && published != want {
				t.Errorf("the delivery's trace is %q, want %s", published, want)
			}
			for _, a := range s.Attributes {
				want, ok := c.want[string(a.Key)]
				if got := a.Value.AsString(); !ok || want != "*" && got != want {
					t.Errorf("%s is %q, want %q", a.Key, got, want)
				}
				delete(c.want, string(a.Key))
			}
			if len(c.want) > 0 {
				t.Errorf("missing: %v", c.want)
			}
		})
	}
}
