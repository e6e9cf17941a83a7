package bus

import (
	"strings"

	"github.com/nats-io/nats.go"
)

// A plain message, a call and their copies have their traceparent as a header of that name. A record of an envelope has no
// room for one that every reader of version 1 would pass over, so an envelope has those of all its deliveries in one header.

// addTraces names the traces of a group to the envelope around it.
func addTraces(h nats.Header, group []*waiting) {
	var traces []string
	for _, w := range group {
		if w.d.Trace != "" {
			traces = append(traces, w.d.ID+" "+w.d.Trace)
		}
	}
	if len(traces) > 0 {
		h[headerTraces] = []string{strings.Join(traces, ",")}
	}
}

// tracesFrom is what addTraces has named, by delivery id.
func tracesFrom(h nats.Header) map[string]string {
	named := h.Get(headerTraces)
	if named == "" {
		return nil
	}
	traces := map[string]string{}
	for one := range strings.SplitSeq(named, ",") {
		id, parent, _ := strings.Cut(one, " ")
		traces[id] = parent
	}
	return traces
}
