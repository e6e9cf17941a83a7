// Package trace follows a delivery through the services: as OpenTelemetry spans, and between processes as the traceparent
// of W3C Trace Context. Where tracing is off there is no Tracer, and nothing here costs anything.
package trace

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	otel "go.opentelemetry.io/otel/trace"
)

// Header is the name that a traceparent has among headers, of messages and of requests.
const Header = "traceparent"

// Tracer begins spans. A nil Tracer begins none.
type Tracer struct{ tracer otel.Tracer }

// New makes a tracer whose spans p takes.
func New(p otel.TracerProvider) *Tracer {
	return &Tracer{p.Tracer("github.com/onhook/onhook")}
}

type key struct{}

// With is ctx for a process that traces with t.
func With(ctx context.Context, t *Tracer) context.Context { return context.WithValue(ctx, key{}, t) }

// From is the tracer of the process, or nil.
func From(ctx context.Context) *Tracer {
	t, _ := ctx.Value(key{}).(*Tracer)
	return t
}

// Span is a piece of work. The zero Span is none.
type Span struct{ span otel.Span }

// Receive begins the span of a webhook, as a part of the sender's trace where its request names one.
func (t *Tracer) Receive(h http.Header) Span {
	if t == nil {
		return Span{}
	}
	return t.begin("ingress", h.Get(Header), otel.SpanKindServer)
}

// Handle begins the span of a consumer's attempt at a message. Without a parent there is none: a trace begins at ingress.
func (t *Tracer) Handle(consumer, parent string) Span {
	if t == nil || parent == "" {
		return Span{}
	}
	return t.begin(consumer, parent, otel.SpanKindConsumer)
}

func (t *Tracer) begin(name, parent string, kind otel.SpanKind) Span {
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{Header: parent})
	_, span := t.tracer.Start(ctx, name, otel.WithSpanKind(kind))
	return Span{span}
}

// Parent is the traceparent for what comes of this piece of work. It is empty where the span is not sampled: what comes
// of it is not traced either.
func (s Span) Parent() string {
	if s.span == nil || !s.span.SpanContext().IsSampled() {
		return ""
	}
	into := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(otel.ContextWithSpan(context.Background(), s.span), into)
	return into[Header]
}

// About is what a span says of its work: ids and words of onhook's own, and nothing that a call holds.
type About struct {
	ID       string // of the delivery or the message
	Provider string
	Source   string
	Sink     string // the consumer; empty for ingress
	Attempt  int    // from 1; 0 where there is but one
	Result   string // as the metrics name it
	Failed   bool   // whether that is an error
}

// End ends the span.
func (s Span) End(a About) {
	if s.span == nil {
		return
	}
	for _, word := range []struct{ key, value string }{
		{"onhook.id", a.ID}, {"onhook.provider", a.Provider}, {"onhook.source", a.Source}, {"onhook.sink", a.Sink}, {"onhook.result", a.Result},
	} {
		if word.value != "" {
			s.span.SetAttributes(attribute.String(word.key, word.value))
		}
	}
	if a.Attempt > 0 {
		s.span.SetAttributes(attribute.Int("onhook.attempt", a.Attempt))
	}
	if a.Failed {
		s.span.SetStatus(codes.Error, a.Result) // not the error itself: that is for the log, and may quote a vendor
	}
	s.span.End()
}
