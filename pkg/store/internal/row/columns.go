// Package row turns calls into rows of the table of calls and back, the same for every engine.
//
// A row holds the call once: what people filter and join on in columns of its own, the four large parts in JSON columns,
// and all the rest in the JSON column record. Phones, names and ids inside record are repeated as columns (projections)
// for the sake of queries and are never read back.
package row

import (
	"slices"

	"github.com/onhook/onhook/pkg/call"
)

// The columns with a field of the call of their own: written from it and read back into it.
var (
	texts = [...]struct {
		name  string
		field func(*call.Call) *string
	}{
		{"provider", func(c *call.Call) *string { return &c.Provider }},
		{"source", func(c *call.Call) *string { return &c.Source }},
		{"call_id", func(c *call.Call) *string { return &c.CallID }},
		{"event", func(c *call.Call) *string { return (*string)(&c.Event) }},
		{"key", func(c *call.Call) *string { return &c.Key }},
		{"status", func(c *call.Call) *string { return (*string)(&c.Status) }},
		{"direction", func(c *call.Call) *string { return (*string)(&c.Direction) }},
		{"end_reason", func(c *call.Call) *string { return (*string)(&c.EndReason) }},
		{"answered_by", func(c *call.Call) *string { return (*string)(&c.AnsweredBy) }},
		{"auth", func(c *call.Call) *string { return (*string)(&c.Auth) }},
		{"delivery_id", func(c *call.Call) *string { return &c.DeliveryID }},
	}
	times = [...]struct {
		name  string
		field func(*call.Call) **call.Time
	}{
		{"created_at", func(c *call.Call) **call.Time { return &c.CreatedAt }},
		{"started_at", func(c *call.Call) **call.Time { return &c.StartedAt }},
		{"ended_at", func(c *call.Call) **call.Time { return &c.EndedAt }},
		{"received_at", func(c *call.Call) **call.Time { return &c.ReceivedAt }},
	}
	ints = [...]struct {
		name  string
		field func(*call.Call) **int64
	}{
		{"duration_ms", func(c *call.Call) **int64 { return &c.DurationMS }},
		{"billed_duration_ms", func(c *call.Call) **int64 { return &c.BilledDurationMS }},
	}
)

// projections are the columns that repeat a part of record.
var projections = [...]struct {
	name  string
	value func(*call.Call) string
}{
	{"customer_phone", func(c *call.Call) string { return phone(c.CustomerPhone) }},
	{"customer_phone_raw", func(c *call.Call) string {
		if c.CustomerPhone == nil || c.CustomerPhone.Raw == phone(c.CustomerPhone) {
			return ""
		}
		return c.CustomerPhone.Raw
	}},
	{"from_phone", func(c *call.Call) string { return phone(c.From) }},
	{"to_phone", func(c *call.Call) string { return phone(c.To) }},
	{"customer_name", func(c *call.Call) string {
		if c.Customer == nil {
			return ""
		}
		return c.Customer.Name
	}},
	{"customer_external_id", func(c *call.Call) string {
		if c.Customer == nil {
			return ""
		}
		return c.Customer.ExternalID
	}},
	{"agent_id", func(c *call.Call) string {
		if c.Agent == nil {
			return ""
		}
		return c.Agent.ID
	}},
}

// Places in Row.Text.
const (
	provider         = 0
	source           = 1
	callID           = 2
	event            = 3
	customerPhone    = len(texts)
	customerPhoneRaw = len(texts) + 1
)

// Places in Row.JSON; the record is the last.
const (
	transcript = iota
	analysis
	extracted
	extensions
)

// parts are the JSON columns, in the order of Row.JSON.
var parts = [...]string{"transcript", "analysis", "extracted", "extensions", "record"}

// omitted hides a field of the embedded call: it is always nil.
type omitted *struct{}

// record is the rest of a call: what no other column holds.
type record struct {
	*call.Call
	CallID string `json:"call_id,omitempty"` // only where the column holds another, see idKey
	// CallIDBase64 is in place of CallID where no engine holds the id as it is.
	CallIDBase64 []byte `json:"call_id_base64,omitempty"`

	Provider         omitted `json:"provider,omitempty"`
	Source           omitted `json:"source,omitempty"`
	Event            omitted `json:"event,omitempty"`
	Key              omitted `json:"key,omitempty"`
	Status           omitted `json:"status,omitempty"`
	Direction        omitted `json:"direction,omitempty"`
	EndReason        omitted `json:"end_reason,omitempty"`
	AnsweredBy       omitted `json:"answered_by,omitempty"`
	Auth             omitted `json:"auth,omitempty"`
	DeliveryID       omitted `json:"delivery_id,omitempty"`
	CreatedAt        omitted `json:"created_at,omitempty"`
	StartedAt        omitted `json:"started_at,omitempty"`
	EndedAt          omitted `json:"ended_at,omitempty"`
	ReceivedAt       omitted `json:"received_at,omitempty"`
	DurationMS       omitted `json:"duration_ms,omitempty"`
	BilledDurationMS omitted `json:"billed_duration_ms,omitempty"`
	Transcript       omitted `json:"transcript,omitempty"`
	Analysis         omitted `json:"analysis,omitempty"`
	Extracted        omitted `json:"extracted,omitempty"`
	Extensions       omitted `json:"extensions,omitempty"`
}

// Row is a call as the table holds it. An empty text and an empty JSON are NULL.
type Row struct {
	Text [len(texts) + len(projections)]string
	Time [len(times)]*call.Time
	Int  [len(ints)]*int64
	JSON [len(parts)]string
}

// Columns are the names of a row's columns by type, each in the order of Row's array of that name.
func Columns() (text, time, int, json []string) {
	for _, c := range texts {
		text = append(text, c.name)
	}
	for _, c := range projections {
		text = append(text, c.name)
	}
	for _, c := range times {
		time = append(time, c.name)
	}
	for _, c := range ints {
		int = append(int, c.name)
	}
	return text, time, int, slices.Clone(parts[:])
}

func phone(p *call.Phone) string {
	if p == nil {
		return ""
	}
	if p.E164 != "" {
		return p.E164
	}
	return p.Raw
}
