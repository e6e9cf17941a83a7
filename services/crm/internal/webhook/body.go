package webhook

import (
	"bytes"
	"encoding/json"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/services/crm/internal/sink"
)

// The bodies, as body names them.
const (
	BodyThin = "thin" // which call it is, and what became of it
	BodyFull = "full" // that, and the call
	BodyVCon = "vcon" // the call as the IETF's conversation container
)

var bodies = []string{BodyThin, BodyFull, BodyVCon}

var contentTypes = map[string]string{BodyThin: "application/json", BodyFull: "application/json", BodyVCon: "application/vcon"}

var writers = map[string]func(sink.Item) ([]byte, error){
	BodyThin: func(i sink.Item) ([]byte, error) { return marshal(newEvent(i, false)) },
	BodyFull: func(i sink.Item) ([]byte, error) { return marshal(newEvent(i, true)) },
	BodyVCon: func(i sink.Item) ([]byte, error) {
		v, err := newVCon(i)
		if err != nil {
			return nil, err
		}
		return marshal(v)
	},
}

// event is the body that the specification recommends. It is the same at every attempt.
type event struct {
	Type      string     `json:"type"` // call.ended or call.progress
	Timestamp *call.Time `json:"timestamp,omitempty"`
	Data      data       `json:"data"`
}

// data says which call it is and what became of it. It names nobody.
type data struct {
	Key        string         `json:"key"`
	Provider   string         `json:"provider"`
	Source     string         `json:"source"`
	CallID     string         `json:"call_id"`
	ExternalID string         `json:"external_id,omitempty"`
	Event      call.Event     `json:"event"`
	Status     call.Status    `json:"status"`
	Direction  call.Direction `json:"direction"`
	StartedAt  *call.Time     `json:"started_at,omitempty"`
	EndedAt    *call.Time     `json:"ended_at,omitempty"`
	DurationMS *int64         `json:"duration_ms,omitempty"`
	Fields     map[string]any `json:"fields,omitempty"`
	Call       *call.Call     `json:"call,omitempty"`
}

func newEvent(i sink.Item, full bool) event {
	c := i.Call
	e := event{Type: "call." + string(c.Event), Timestamp: first(c.EndedAt, c.ReceivedAt, c.StartedAt), Data: data{
		Key: c.Key, Provider: c.Provider, Source: c.Source, CallID: c.CallID, ExternalID: c.ExternalID,
		Event: c.Event, Status: c.Status, Direction: c.Direction,
		StartedAt: c.StartedAt, EndedAt: c.EndedAt, DurationMS: c.DurationMS, Fields: i.Fields,
	}}
	if full {
		e.Data.Call = c
	}
	return e
}

func first(times ...*call.Time) *call.Time {
	for _, t := range times {
		if t != nil {
			return t
		}
	}
	return nil
}

// marshal is json.Marshal without the escapes for HTML.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
