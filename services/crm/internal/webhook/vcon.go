package webhook

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/services/crm/internal/sink"
)

// vcon is a call as draft-ietf-vcon-vcon-core-03 has it, unsigned: the webhook's signature is around it. What the draft
// calls a body is text here, as it is in the drafts before.
type vcon struct {
	VCon      string     `json:"vcon"` // deprecated, but what readers of the drafts before look for
	UUID      uuid.UUID  `json:"uuid"`
	CreatedAt *call.Time `json:"created_at"`
	Subject   string     `json:"subject,omitempty"`
	Parties   []party    `json:"parties"`
	Dialog    []dialog   `json:"dialog,omitempty"`
	Analysis  []analysis `json:"analysis,omitempty"`
}

type party struct {
	Type       string `json:"type,omitempty"` // person, bot or organization
	Tel        string `json:"tel,omitempty"`
	Mailto     string `json:"mailto,omitempty"`
	Name       string `json:"name,omitempty"`
	Validation string `json:"validation,omitempty"`
	UUID       string `json:"uuid,omitempty"`
}

// The places of the parties.
const (
	agentParty = iota
	customerParty
)

type dialog struct {
	Type        string     `json:"type"` // recording, text or incomplete
	Start       *call.Time `json:"start"`
	Duration    *float64   `json:"duration,omitempty"` // seconds
	Parties     []int      `json:"parties"`            // who called first
	Originator  *int       `json:"originator,omitempty"`
	Disposition string     `json:"disposition,omitempty"` // of an incomplete one
	MediaType   string     `json:"mediatype,omitempty"`
	Body        string     `json:"body,omitempty"`
	Encoding    string     `json:"encoding,omitempty"`
}

type analysis struct {
	Type      string `json:"type"`
	Dialog    []int  `json:"dialog,omitempty"`
	Vendor    string `json:"vendor"`
	Product   string `json:"product,omitempty"`
	Schema    string `json:"schema,omitempty"`
	MediaType string `json:"mediatype,omitempty"`
	Body      string `json:"body"`
	Encoding  string `json:"encoding"`
}

func newVCon(i sink.Item) (vcon, error) {
	c := i.Call
	created := first(c.ReceivedAt, c.EndedAt, c.StartedAt, c.CreatedAt)
	if created == nil {
		created = call.At(time.Unix(0, 0)) // it must have one, and be the same at every attempt
	}
	v := vcon{VCon: "0.4.0", UUID: vconID(c, created.Time), CreatedAt: created, Parties: parties(c)}
	if start := first(c.StartedAt, c.CreatedAt, c.EndedAt, c.ReceivedAt); start != nil {
		v.Dialog = []dialog{newDialog(c, start)}
	}
	var err error
	v.Analysis, err = analyses(i, len(v.Dialog) > 0)
	return v, err
}

// vconID is a UUIDv8: the time that the call was received, then a hash of its identity.
func vconID(c *call.Call, at time.Time) uuid.UUID {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], uint64(max(at.UnixMilli(), 0))<<16)
	sum := sha256.Sum256([]byte(string(c.Event) + " " + c.Key))
	copy(id[6:], sum[:10])
	id[6] = 0x80 | id[6]&0x0f // version 8
	id[8] = 0x80 | id[8]&0x3f // the variant of RFC 9562
	return id
}

func parties(c *call.Call) []party {
	agent, customer := party{Type: "bot"}, party{Type: "person"}
	if c.Agent != nil {
		agent.Name = c.Agent.Name
		if id, err := uuid.Parse(c.Agent.ID); err == nil {
			agent.UUID = id.String()
		}
	}
	ours := c.From // of an outbound call
	if c.Direction == call.DirectionInbound {
		ours = c.To
	}
	agent.Tel, customer.Tel = tel(ours), tel(c.CustomerPhone)
	if c.Customer != nil {
		customer.Name, customer.Mailto = c.Customer.Name, c.Customer.Email
	}
	for _, p := range []*party{&agent, &customer} {
		if p.Name != "" {
			p.Validation = "none" // nobody has looked at a passport
		}
	}
	return []party{agent, customer}
}

func tel(p *call.Phone) string {
	switch {
	case p == nil:
		return ""
	case p.E164 != "":
		return "tel:" + p.E164
	default:
		return p.Raw
	}
}

func newDialog(c *call.Call, start *call.Time) dialog {
	d := dialog{Type: "recording", Start: start, Parties: []int{agentParty, customerParty}}
	switch c.Direction {
	case call.DirectionInbound, call.DirectionWeb:
		d.Parties = []int{customerParty, agentParty}
		d.Originator = new(customerParty)
	case call.DirectionOutbound:
		d.Originator = new(agentParty)
	}
	if c.DurationMS != nil {
		d.Duration = new(float64(*c.DurationMS) / 1000)
	}
	if d.Disposition = disposition(c); d.Disposition != "" {
		d.Type = "incomplete" // and has no content
		return d
	}
	if c.Transcript.Text != "" {
		d.Type, d.MediaType, d.Body, d.Encoding = "text", "text/plain", c.Transcript.Text, "none"
	}
	return d
}

// disposition is why there was no conversation, or empty where there was one or none can tell.
func disposition(c *call.Call) string {
	switch {
	case c.EndReason == call.EndLimitReached:
		return "congestion"
	case c.Status == call.StatusNoAnswer:
		return "no-answer"
	case c.Status == call.StatusBusy:
		return "busy"
	case c.Status == call.StatusFailed:
		return "failed"
	case c.Status == call.StatusCanceled:
		return "hung-up"
	case c.Status == call.StatusVoicemail && c.EndReason != call.EndVoicemailMessageLeft:
		return "voicemail-no-message"
	}
	return ""
}

func analyses(i sink.Item, hasDialog bool) (all []analysis, err error) {
	c := i.Call
	add := func(a analysis) {
		a.Vendor = c.Provider
		if hasDialog {
			a.Dialog = []int{0}
		}
		all = append(all, a)
	}
	text := func(kind, body string) {
		if body != "" {
			add(analysis{Type: kind, MediaType: "text/plain", Body: body, Encoding: "none"})
		}
	}
	structured := func(kind, schema string, body any) {
		raw, no := marshal(body)
		if no != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", schema, no))
			return
		}
		add(analysis{Type: kind, Product: "onhook", Schema: schema, MediaType: "application/json", Body: string(raw), Encoding: "json"})
	}
	if len(c.Transcript.Turns) > 0 {
		structured("transcript", "onhook.turns/1", c.Transcript.Turns)
	}
	if a := c.Analysis; a != nil {
		text("summary", a.Summary)
		text("sentiment", a.Sentiment)
		if len(a.Criteria) > 0 {
			structured("report", "onhook.criteria/1", a.Criteria)
		}
	}
	if len(c.Extracted) > 0 {
		structured("report", "onhook.extracted/1", c.Extracted)
	}
	if len(i.Fields) > 0 {
		structured("report", "onhook.fields/1", i.Fields)
	}
	return all, err
}
