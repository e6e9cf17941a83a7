package worker

import (
	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/trace"
)

// spans is what is traced of an attempt: a span for each message that belongs to a trace. Every attempt at a message is a
// child of what brought the message about, and the parent of what the handler makes of it.
type spans struct {
	sink   string
	batch  []*bus.Message
	traced []traced // one per message; nil where none is traced
}

type traced struct {
	span   trace.Span
	parent string
}

// begin begins the spans of an attempt.
func (w *Worker) begin(batch []*bus.Message) spans {
	s := spans{sink: w.consumer.Name, batch: batch}
	if w.tracer == nil {
		return s
	}
	s.traced = make([]traced, len(batch))
	for i, m := range batch {
		s.traced[i] = traced{w.tracer.Handle(s.sink, m.Trace), m.Trace}
		m.Trace = s.traced[i].span.Parent()
	}
	return s
}

// end ends the span of the batch's message i.
func (s *spans) end(i int, result string) {
	if s.traced == nil {
		return
	}
	m, t := s.batch[i], s.traced[i]
	m.Trace = t.parent // for the next attempt, if it is held
	about := trace.About{Sink: s.sink, Attempt: m.Failed + 1, Result: result, Failed: result != resultDone && result != resultSkipped}
	about.ID, about.Provider, about.Source = m.Names()
	t.span.End(about)
}
