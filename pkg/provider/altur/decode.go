// Package altur understands the webhooks of Altur: on_call_end in both of its documented versions.
//
// Facts are from docs.altur.io, "Webhooks" and "on_call_end".
package altur

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/provider/payload"
)

// Name is the provider's.
const Name = "altur"

const (
	callEnd = "on_call_end"
	v1      = Name + "/v1"
	v2      = Name + "/v2"
)

// statuses are documented for GET /call/{id}; the webhook's own list is not.
var statuses = map[string]call.Status{
	"busy":        call.StatusBusy,
	"created":     call.StatusInProgress,
	"ended":       call.StatusCompleted, // unless a machine answered
	"failed":      call.StatusFailed,
	"forwarding":  call.StatusInProgress,
	"in_progress": call.StatusInProgress,
	"no_answer":   call.StatusNoAnswer,
	"queued":      call.StatusInProgress,
	"ringing":     call.StatusInProgress,
}

var answerers = map[string]call.AnsweredBy{
	"human":   call.AnsweredByHuman,
	"machine": call.AnsweredByMachine,
	"unknown": call.AnsweredByUnknown,
}

var directions = map[string]call.Direction{
	"inbound":  call.DirectionInbound,
	"outbound": call.DirectionOutbound,
}

var roles = map[string]call.Role{
	"agent":     call.RoleAgent,
	"assistant": call.RoleAgent,
	"customer":  call.RoleCustomer,
	"system":    call.RoleSystem,
	"tool":      call.RoleTool,
	"user":      call.RoleCustomer,
}

// Decode reads an on_call_end. Altur's campaign.* events are about no call: payload.ErrIgnored.
func Decode(body []byte) (*call.Call, error) {
	root, err := payload.Parse(Name, body)
	if err != nil {
		return nil, err
	}
	version, err := detect(root)
	if err != nil {
		return nil, err
	}
	id, err := root.ID("id")
	if err != nil {
		return nil, err
	}
	c := &call.Call{
		Provider:       Name,
		CallID:         id,
		PayloadVersion: version,
		Event:          call.Ended,
		EventRaw:       callEnd,
		IsFinal:        true,
		Direction:      call.DirectionUnknown,
	}
	if version == v2 {
		c.Direction = direction(root)
	}
	outcome(c, root)

	c.From = root.Phone("phone_number_from")
	c.To = root.Phone("phone_number_to")
	c.CreatedAt = root.Time("created_at", "UTC") // documented as UTC
	c.StartedAt = root.Time("started_at", "UTC")
	c.EndedAt = root.Time("ended_at", "UTC")
	c.DurationMS = root.Seconds("duration") // not what the times say: the documented example disagrees with itself
	c.BilledDurationMS = root.Seconds("billed_duration")
	if c.BilledDurationMS == nil {
		c.BilledDurationMS = root.Seconds("billable_duration") // the API's spelling
	}
	agent := root.Object("assistant")
	c.Agent = payload.NonZero(call.Agent{
		ID:       agent.Text("id"),
		Name:     agent.Text("name"),
		Nickname: agent.Text("nickname"),
	})
	people(c, root)
	transcript(c, root)
	recording(c, root)

	c.Extensions = root.Rest()
	c.Warnings = root.Warnings()
	return c, nil
}

// detect tells the payload's version. In v1 the root's type is the event, in v2 the direction.
func detect(root *payload.Object) (string, error) {
	if !root.Holds("event_type") {
		if event := root.Text("type"); event != callEnd {
			return "", root.Never("missing, and $.type is not "+callEnd, "event_type")
		}
		return v1, nil
	}
	event := root.Text("event_type")
	switch {
	case event == callEnd:
		return v2, nil
	case strings.HasPrefix(event, "campaign."):
		return "", fmt.Errorf("%s: an event of a campaign: %w", Name, payload.ErrIgnored)
	default:
		return "", root.Never("not "+callEnd, "event_type")
	}
}

func direction(root *payload.Object) call.Direction {
	raw := root.Text("type")
	if d, ok := directions[payload.Word(raw)]; ok {
		return d
	}
	if raw != "" {
		root.PutBack("type") // the call has no field for a direction's raw word
		root.Warn("type", "unknown direction")
	}
	return call.DirectionUnknown
}

// outcome sets the status, who answered, and the end reason, which Altur never sends.
func outcome(c *call.Call, root *payload.Object) {
	c.StatusRaw = root.Text("status")
	c.AnsweredByRaw = root.Text("answered_by")

	status, known := statuses[payload.Word(c.StatusRaw)]
	switch {
	case !known:
		status = call.StatusUnknown
		root.Warn("status", "unknown status")
	case !status.Terminal():
		root.Warn("status", "not final, in an event that is")
	}
	answeredBy, known := answerers[payload.Word(c.AnsweredByRaw)]
	if !known {
		answeredBy = call.AnsweredByUnknown
		if c.AnsweredByRaw != "" {
			root.Warn("answered_by", "unknown word")
		}
	}
	c.EndReason = call.EndUnknown
	switch status {
	case call.StatusCompleted:
		if answeredBy == call.AnsweredByMachine {
			status, c.EndReason = call.StatusVoicemail, call.EndVoicemailDetected
		}
	case call.StatusNoAnswer:
		answeredBy, c.EndReason = call.AnsweredByNobody, call.EndNoAnswer
	case call.StatusBusy:
		answeredBy, c.EndReason = call.AnsweredByNobody, call.EndBusy
	case call.StatusFailed:
		answeredBy = call.AnsweredByNobody
	}
	if answeredBy == call.AnsweredByNobody {
		c.Derived = append(c.Derived, "answered_by")
	}
	if c.EndReason != call.EndUnknown {
		c.Derived = append(c.Derived, "end_reason")
	}
	c.Status, c.AnsweredBy = status, answeredBy
}

// people reads campaign_user, and field by field the deprecated end_user where that says nothing. Where the two
// differ, end_user's value stays in the extensions.
func people(c *call.Call, root *payload.Object) {
	contact, user := root.Object("campaign_user"), root.Object("end_user")
	prefer := func(name, userName string) (*payload.Object, string) {
		if !contact.Holds(name) {
			return user, userName
		}
		user.TakeSame(userName, contact, name)
		return contact, name
	}
	text := func(name, userName string) string {
		o, name := prefer(name, userName)
		return o.Text(name)
	}
	from, name := prefer("status", "status")
	status := from.Text(name)

	campaign := call.Campaign{
		ContactRef:       contact.Text("f_id"),
		FailedRetries:    contact.Integer("failed_retries"),
		VoicemailRetries: contact.Integer("voicemail_retries"),
	}
	if from == contact {
		campaign.ContactStatus = status
	}
	c.Campaign = payload.NonZero(campaign)
	c.Customer = payload.NonZero(call.Customer{
		ID:         user.Text("id"),
		ExternalID: campaign.ContactRef,
		Name:       text("name", "display_name"),
		StatusRaw:  status,
		Context:    text("context", "context"),
	})
	from, name = prefer("tags", "tags")
	c.Tags = from.Strings(name)
	from, name = prefer("extracted_data", "extracted_data")
	c.Extracted = from.Map(name)

	from, name = prefer("contact", "phone_number")
	c.CustomerPhone = from.Phone(name)
	if c.CustomerPhone != nil {
		return
	}
	switch c.Direction {
	case call.DirectionInbound:
		c.CustomerPhone = c.From
	case call.DirectionOutbound:
		c.CustomerPhone = c.To
	}
	if c.CustomerPhone != nil {
		c.Derived = append(c.Derived, "customer_phone")
	}
}

func transcript(c *call.Call, root *payload.Object) {
	turns := root.Objects("transcript")
	c.Transcript.Form = call.TranscriptNone
	if len(turns) == 0 {
		return
	}
	c.Transcript = call.Transcript{Form: call.TranscriptTurns, Turns: make([]call.Turn, len(turns))}
	c.Derived = append(c.Derived, "transcript.text")
	var text strings.Builder
	offsets := false
	for i, t := range turns {
		turn := call.Turn{
			I:       i,
			RoleRaw: t.Text("sent_by"),
			Text:    t.Text("content"),
			At:      t.Time("sent_at", "UTC"),
			Role:    call.RoleUnknown,
		}
		if role, ok := roles[payload.Word(turn.RoleRaw)]; ok {
			turn.Role = role
		}
		if turn.At != nil && c.StartedAt != nil && !turn.At.Before(c.StartedAt.Time) {
			ms := turn.At.Sub(c.StartedAt.Time).Milliseconds()
			turn.OffsetMS, offsets = &ms, true
		}
		if i > 0 {
			text.WriteByte('\n')
		}
		text.WriteString(string(turn.Role))
		text.WriteString(": ")
		text.WriteString(turn.Text)
		c.Transcript.Turns[i] = turn
	}
	c.Transcript.Text = text.String()
	if offsets {
		c.Derived = append(c.Derived, "transcript.turns.offset_ms")
	}
}

// recording resolves the URL, which Altur's API gives relative to itself.
func recording(c *call.Call, root *payload.Object) {
	sent := root.Text("recording_url")
	if sent == "" {
		return
	}
	c.Recording = &call.Recording{URI: sent, Access: call.AccessAPIKey}
	u, err := url.Parse(sent)
	switch {
	case err != nil:
		root.Warn("recording_url", "not a URL")
	case u.Scheme == "":
		base := url.URL{Scheme: "https", Host: "api.altur.io", Path: "/"}
		c.Recording.URI = base.ResolveReference(u).String()
		c.Derived = append(c.Derived, "recording.uri")
	}
}
