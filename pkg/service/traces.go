package service

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/onhook/onhook/pkg/trace"
)

// flushTimeout is for the spans that are not exported yet when the process stops.
const flushTimeout = 5 * time.Second

// newTracer makes the tracer that OpenTelemetry's environment variables ask for, and what exports its last spans. Both are
// nil where none names an endpoint. The endpoint is not asked whether it is there: a process does not need it.
func newTracer(ctx context.Context, log *zap.Logger) (*trace.Tracer, func(context.Context) error, error) {
	if firstEnv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT") == "" || os.Getenv("OTEL_SDK_DISABLED") == "true" {
		return nil, nil, nil
	}
	if p := firstEnv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"); p != "" && p != "http/protobuf" {
		return nil, nil, &UsageError{Err: fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL is %q; traces go out as http/protobuf alone, which collectors take on port 4318", p)}
	}
	// A collector that is away fails several batches a second under load; a line each minute says it too.
	seldom := log.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core { return zapcore.NewSamplerWithOptions(c, time.Minute, 1, 0) }))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { seldom.Warn("spans are lost", zap.Error(err)) }))
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, nil, &UsageError{Err: fmt.Errorf("traces cannot be exported as the environment says: %w", err)}
	}
	of := resource.NewSchemaless(attribute.String("service.name", serviceName()), attribute.String("service.version", Version()))
	if of, err = resource.Merge(of, resource.Environment()); err != nil { // which OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES are
		return nil, nil, &UsageError{Err: fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)}
	}
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(of)) // sampled as OTEL_TRACES_SAMPLER says
	return trace.New(provider), provider.Shutdown, nil
}

// serviceName is onhook, or as in onhook-decoder the binary's.
func serviceName() string {
	name := filepath.Base(os.Args[0])
	if name == "onhook" {
		return name
	}
	return "onhook-" + name
}

func firstEnv(names ...string) string {
	for _, name := range names {
		if v := os.Getenv(name); v != "" {
			return v
		}
	}
	return ""
}

// exportTraces exports the spans that are left once ctx ends. A collector that is away keeps no process from stopping in order.
func exportTraces(ctx context.Context, flush func(context.Context) error, log *zap.Logger) error {
	<-ctx.Done()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	if err := flush(ctx); err != nil {
		log.Warn("the last spans could not be exported", zap.Error(err))
	}
	return nil
}
