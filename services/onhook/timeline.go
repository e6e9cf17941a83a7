package onhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/store"
)

// step is one thing that happened to a call.
type step struct {
	Name     string     `json:"name"`  // received, decoded, stored, or the CRM sink's
	State    string     `json:"state"` // done, delivered, dead, skipped, or none where nothing is known yet
	At       *call.Time `json:"at,omitempty"`
	Event    call.Event `json:"event,omitempty"` // of a sink
	Attempts int        `json:"attempts,omitempty"`
	VendorID string     `json:"vendor_id,omitempty"`
	Note     string     `json:"note,omitempty"`
	Error    string     `json:"error,omitempty"`
}

// The states that are not an outcome's.
const (
	stateDone = "done"
	stateNone = "none"
)

// timeline is what happened to a call, in the order in which it does.
func (a *api) timeline(r *http.Request) (any, error) {
	found, err := a.showCall(r)
	if err != nil {
		return nil, err
	}
	c := found.(*call.Call)
	return a.steps(r.Context(), c)
}

func (a *api) steps(ctx context.Context, c *call.Call) ([]step, error) {
	h, err := a.db.History(ctx, c.Provider, c.Source, c.CallID)
	if errors.Is(err, store.ErrNotFound) {
		return nil, notFound(fmt.Errorf("source %q has no call %q any more", c.Source, c.CallID))
	}
	if err != nil {
		return nil, err
	}
	received := step{Name: "received", State: stateNone}
	if c.ReceivedAt != nil {
		received = step{Name: "received", State: stateDone, At: c.ReceivedAt, Note: c.BodyRef}
	}
	decoded := step{Name: "decoded", State: stateNone}
	at, ok, err := a.bus.CallPublished(ctx, c)
	if err != nil {
		return nil, err
	}
	if ok { // after 30 days it is in the database alone
		decoded = step{Name: "decoded", State: stateDone, At: call.At(at)}
	}
	steps := []step{received, decoded, {Name: "stored", State: stateDone, At: call.At(h.StoredAt)}}
	var told []string
	for _, o := range h.Outcomes {
		told = append(told, o.Sink)
		steps = append(steps, step{Name: "crm." + o.Sink, State: string(o.Result), At: o.At, Event: o.Event,
			Attempts: o.Attempts, VendorID: o.VendorID, Note: o.Note, Error: o.Error})
	}
	for _, sink := range a.sinks {
		if !slices.Contains(told, sink) {
			steps = append(steps, step{Name: "crm." + sink, State: stateNone})
		}
	}
	return steps, nil
}

// callWithTimeline is what `onhook calls show --json` prints.
type callWithTimeline struct {
	*call.Call
	Timeline []step `json:"timeline"`
}

// printTimeline prints one line per step.
func printTimeline(t terminal, steps []step) error {
	tw := table(t.out, "STEP", "STATE", "TIME", "ATTEMPTS", "VENDOR ID", "NOTE")
	for _, s := range steps {
		attempts, note := "", s.Note
		if s.Attempts > 0 {
			attempts = strconv.Itoa(s.Attempts)
		}
		if s.Error != "" {
			note = s.Error
		}
		name := s.Name
		if s.Event == call.Progress {
			name += " (progress)"
		}
		row(tw, name, s.State, timeText(s.At), attempts, s.VendorID, note)
	}
	return tw.Flush()
}
