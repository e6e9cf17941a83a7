package onhook

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/service"
)

// status is what `onhook status` prints.
type status struct {
	Version    string             `json:"version"`
	Durability bus.Durability     `json:"durability"`
	Streams    []bus.StreamStatus `json:"streams"`
	Consumers  []consumerStatus   `json:"consumers"`
}

// consumerStatus is a consumer's, and whether it is a CRM sink's that is configured no more.
type consumerStatus struct {
	bus.ConsumerStatus
	Orphan bool `json:"orphan,omitempty"`
}

func (a *api) status(r *http.Request) (any, error) {
	s := status{Version: service.Version()}
	var err error
	if s.Streams, err = a.bus.Streams(r.Context()); err != nil {
		return nil, err
	}
	if s.Durability, err = a.bus.Durability(r.Context()); err != nil {
		return nil, err
	}
	all, err := a.consumers(r.Context())
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		cs, err := a.bus.Status(r.Context(), c)
		if err != nil {
			return nil, err
		}
		sink, crm := c.IsCRM()
		s.Consumers = append(s.Consumers, consumerStatus{cs, crm && !slices.Contains(a.sinks, sink)})
	}
	return s, nil
}

// consumers are those of the pipeline, of the configured CRM sinks, and of those that once were.
func (a *api) consumers(ctx context.Context) ([]bus.Consumer, error) {
	all := slices.Clone(bus.Consumers)
	orphans, err := a.bus.Orphans(ctx, a.sinks)
	if err != nil {
		return nil, err
	}
	for _, sink := range slices.Concat(a.sinks, orphans) {
		all = append(all, bus.CRM(sink))
	}
	return all, nil
}

// removed is what was deleted with a sink's consumer.
type removed struct {
	Unsettled uint64 `json:"unsettled"` // calls that it had not been given, or not taken
}

func (a *api) removeSink(r *http.Request) (any, error) {
	sink := r.PathValue("sink")
	if err := bus.CheckCRMName(sink); err != nil {
		return nil, badRequest("%q: %v", sink, err)
	}
	if slices.Contains(a.sinks, sink) {
		return nil, badRequest("crm.%s is configured; take it out of the configuration first, and start anew what reads it", sink)
	}
	force := false
	if text := r.URL.Query().Get("force"); text != "" {
		var err error
		if force, err = strconv.ParseBool(text); err != nil {
			return nil, badRequest("force: want true or false")
		}
	}
	n, err := a.bus.RemoveCRM(r.Context(), sink, force)
	if errors.Is(err, bus.ErrNoConsumer) {
		return nil, notFound(err)
	}
	if errors.Is(err, bus.ErrInUse) || errors.Is(err, bus.ErrMaybeInUse) {
		return nil, badRequest("%v", err)
	}
	return removed{n}, err
}
