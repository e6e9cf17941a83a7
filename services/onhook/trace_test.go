package onhook

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/pkg/provider"
	"github.com/onhook/onhook/pkg/service"
	"github.com/onhook/onhook/pkg/trace"
	"github.com/onhook/onhook/schemas"
	"github.com/onhook/onhook/services/ingress"
)

// heard is an exporter that says when it has a span.
type heard struct {
	*tracetest.InMemoryExporter
	more chan struct{}
}

func (h heard) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := h.InMemoryExporter.ExportSpans(ctx, spans)
	select {
	case h.more <- struct{}{}:
	default: // whoever waits will look anyway
	}
	return err
}

// TestOneCallIsOneTrace follows a call through every service: each span is a child of the one whose work it goes on with,
// the sender's own request at the top and the request to the webhook at the end. The webhook fails once.
func TestOneCallIsOneTrace(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	traceparents := make(chan string, 8)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		traceparents <- r.Header.Get("Traceparent")
		if asked.Add(1) == 1 {
			w.WriteHeader(http.StatusConflict) // to be tried again, and counted
		}
	}))
	defer receiver.Close()
	file, err := config.Parse("onhook.yaml", []byte(`
sources: {altur: {provider: altur, secrets: [dev-secret]}}
ingress: {listen: "127.0.0.1:0"}
crm:
  hooks: {kind: webhook, url: "`+receiver.URL+`", secrets: [whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ=], allow_private: true, backoff_min: 1ms, backoff_max: 2ms}
`))
	if err != nil {
		t.Fatal(err)
	}
	s, err := loadSettings(file)
	if err != nil {
		t.Fatal(err)
	}
	p, err := service.NewProcess(service.Options{Admin: "127.0.0.1:0"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	spans := heard{tracetest.NewInMemoryExporter(), make(chan struct{}, 1)}
	p.Tracer = trace.New(sdk.NewTracerProvider(sdk.WithSyncer(spans)))
	ctx, stop := context.WithCancel(t.Context())
	listening, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- compose(ctx, p, s, t.TempDir(), func(in *ingress.Ingress) { listening <- in.Addr() })
	}()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()

	const theirs = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	body, err := schemas.FS.ReadFile("provider/altur/full-v2.example.json")
	if err != nil {
		t.Fatal(err)
	}
	altur, _ := provider.Lookup("altur")
	var addr string
	select {
	case addr = <-listening:
	case err := <-ended:
		ended <- errors.New("ended early")
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/v1/webhooks/altur", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = altur.Sign(body, "dev-secret", "")
	req.Header.Set("Traceparent", theirs)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d", resp.StatusCode)
	}

	// "again" is scheduled by the broker, whose clock goes in seconds.
	for len(spans.GetSpans()) < 5 {
		select {
		case <-spans.more:
		case err := <-ended:
			ended <- nil
			t.Fatalf("it ended: %v", err)
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
	ids := map[string]string{theirs[36:52]: "the sender"}
	for _, span := range spans.GetSpans() {
		ids[span.SpanContext.SpanID().String()] = span.Name
	}
	got := map[string]string{}
	for _, span := range spans.GetSpans() {
		if id := span.SpanContext.TraceID().String(); id != theirs[3:35] {
			t.Errorf("%s is of trace %s", span.Name, id)
		}
		attributes := map[string]string{}
		for _, a := range span.Attributes {
			attributes[string(a.Key)] = a.Value.String()
		}
		if attributes["onhook.provider"] != "altur" || attributes["onhook.source"] != "altur" || attributes["onhook.id"] == "" {
			t.Errorf("%s says %v", span.Name, attributes)
		}
		got[span.Name+" "+attributes["onhook.attempt"]+" "+attributes["onhook.result"]] = ids[span.Parent.SpanID().String()]
		for _, v := range attributes {
			if strings.ContainsAny(v, " +@") { // a number, a name or an address, or words of somebody's
				t.Errorf("%s says %q", span.Name, v)
			}
		}
	}
	for name, parent := range map[string]string{
		"ingress  accepted": "the sender",
		"decoder 1 done":    "ingress",
		"storage 1 done":    "decoder",
		"crm-hooks 1 again": "decoder",
		"crm-hooks 2 done":  "decoder",
	} {
		if got[name] != parent {
			t.Errorf("the parent of %q is %q, want %q; there are %v", name, got[name], parent, got)
		}
	}
	for range 2 {
		if tp := <-traceparents; len(tp) != 55 || tp[3:35] != theirs[3:35] || ids[tp[36:52]] != "crm-hooks" {
			t.Errorf("the webhook was sent with %q", tp)
		}
	}
}
