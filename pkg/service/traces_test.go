package service_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel"

	"github.com/onhook/onhook/pkg/service"
	"github.com/onhook/onhook/pkg/trace"
)

// TestSpansReachTheCollector: what was traced until the process stops is exported, over the protocol that collectors speak.
func TestSpansReachTheCollector(t *testing.T) { // not parallel: it sets the environment
	posts := make(chan string, 8)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		posts <- r.URL.Path + " " + r.Header.Get("Content-Type") + " " + string(body)
	}))
	defer collector.Close()
	defer http.DefaultClient.CloseIdleConnections()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
	p, err := service.NewProcess(service.Options{Admin: "127.0.0.1:0"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	err = p.Run(ctx, service.Part{Name: "worker", Run: func(ctx context.Context) error {
		trace.From(ctx).Receive(http.Header{}).End(trace.About{Source: "altur"})
		stop()
		<-ctx.Done()
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case post := <-posts:
		for _, want := range []string{"/v1/traces application/x-protobuf ", "ingress", "onhook.source", "service.name", "onhook-", "deployment.environment"} {
			if !strings.Contains(post, want) {
				t.Errorf("%q is not in %q", want, post)
			}
		}
	default:
		t.Error("nothing was exported")
	}
}

// TestLostSpansDoNotFillTheLog while a collector is away.
func TestLostSpansDoNotFillTheLog(t *testing.T) { // not parallel: it sets the environment
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	var logs bytes.Buffer
	p, err := service.NewProcess(service.Options{Admin: "127.0.0.1:0"}, &logs)
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		otel.Handle(errors.New("nobody is there"))
	}
	if n := strings.Count(logs.String(), "nobody is there"); n < 1 || n > 2 { // 2: a minute began meanwhile
		t.Errorf("%d lines", n)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := p.Run(ctx); err != nil {
		t.Error(err)
	}
}

// TestTracingIsOff until the environment names an endpoint, and refused where that cannot be.
func TestTracingIsOff(t *testing.T) { // not parallel: it sets the environment
	for name, c := range map[string]struct {
		env   map[string]string
		on    bool
		wrong string
	}{
		"nothing":       {nil, false, ""},
		"endpoint":      {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/v1/traces"}, true, ""},
		"disabled":      {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}, false, ""},
		"over protobuf": {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, true, ""},
		"over gRPC":     {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, false, "http/protobuf"},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			p, err := service.NewProcess(service.Options{Admin: "127.0.0.1:0"}, io.Discard)
			if c.wrong != "" {
				if _, usage := errors.AsType[*service.UsageError](err); !usage || !strings.Contains(err.Error(), c.wrong) {
					t.Fatalf("%v, want a usage error about %q", err, c.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if on := p.Tracer != nil; on != c.on {
				t.Errorf("tracing is on: %v", on)
			}
			ctx, stop := context.WithCancel(t.Context())
			stop()
			if err := p.Run(ctx); err != nil { // nobody is at the endpoint, which keeps no process from stopping in order
				t.Error(err)
			}
		})
	}
}
