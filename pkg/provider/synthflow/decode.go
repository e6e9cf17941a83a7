// Package synthflow understands the post-call webhook of Synthflow in the shapes documented since 2024.
//
// Facts are from docs.synthflow.ai: "Post-call webhook", "Webhooks security", and the changelogs of 2026-02-04,
// 2026-03-06 and 2026-03-18. What is called seen below is not documented, but was met in real accounts.
package synthflow

import (
	"time"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/provider/payload"
)

// Name is the provider's.
const Name = "synthflow"

// Decode reads the post-call webhook.
func Decode(body []byte) (*call.Call, error) {
	root, err := payload.Parse(Name, body)
	if err != nil {
		return nil, err
	}
	c := &call.Call{Provider: Name, EventRaw: root.Text("event"), Direction: call.DirectionUnknown}
	if isInbound(root, c.EventRaw) {
		return nil, root.Never("call_inbound is no post-call event", "event")
	}
	if c.EventRaw == "" {
		c.EventRaw = "post_call" // the only event, which has no name in the body
	}
	o, id, err := callID(root)
	if err != nil {
		return nil, err
	}
	c.CallID = id
	lead := root.Object("lead")
	c.PayloadVersion = version(root, o, lead)
	outcome(c, root, o)

	c.ExternalID = o.Text("external_id")
	c.ForwardedFrom = o.Phone("diversion")
	c.Agent = payload.NonZero(call.Agent{ID: o.Text("model_id")})
	c.CustomerPhone = lead.Phone("phone_number")
	c.Customer = payload.NonZero(call.Customer{
		Name:       lead.Text("name"),
		Attributes: lead.Map("prompt_variables"),
	})
	c.Timezone = o.Text("timezone")
	c.DurationMS = o.Seconds("duration")
	c.StartedAt = o.Time("start_time", c.Timezone)
	if c.IsFinal && c.StartedAt != nil && c.DurationMS != nil {
		if end := call.At(c.StartedAt.Add(time.Duration(*c.DurationMS) * time.Millisecond)); end.Writable() {
			c.EndedAt = end
			c.Derived = append(c.Derived, "ended_at")
		} else {
			o.Warn("start_time", "with the duration, an end beyond the year 9999")
		}
	}
	transcript(c, o.Text("transcript"))
	for _, holder := range []*payload.Object{o, root} { // documented for the API only
		if uri := holder.Text("recording_url"); uri != "" && c.Recording == nil {
			c.Recording = &call.Recording{URI: uri, Access: call.AccessUnknown}
		}
	}
	actions(c, root.Object("executed_actions"))
	variables(c, root.Object("collected_variables"))
	analysis(c, root.Object("analysis"))
	answeredBy(c)

	c.Extensions = root.Rest()
	c.Warnings = root.Warnings()
	return c, nil
}

// version tells the payload's age by the members that came later; Synthflow does not number it.
func version(root, o, lead *payload.Object) string {
	switch {
	case root.Has("analysis"), root.Has("collected_variables"):
		return Name + "/2026"
	case o.Has("diversion"), o.Has("external_id"), lead.Has("prompt_variables"):
		return Name + "/2025"
	}
	return Name + "/2024"
}
