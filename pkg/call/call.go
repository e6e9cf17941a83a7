// Package call is the canonical record of one phone call, the same for every provider and every sink.
//
// schemas/call.schema.json describes the same record for other languages; a test in this package holds the two
// together. A field that is not known is left out, and nothing is ever invented: a derived value is named in Derived,
// an oddity in Warnings.
package call

import "encoding/json"

// Schema names the version of the record.
const Schema = "onhook.call/1"

// Call is what is known of one phone call. Its identity is (Provider, Source, Event, CallID).
type Call struct {
	Schema     string `json:"schema"`
	Key        string `json:"key"` // provider:source:call_id, see Key
	Provider   string `json:"provider"`
	Source     string `json:"source"`
	CallID     string `json:"call_id"` // the provider's own id, an opaque string
	ExternalID string `json:"external_id,omitempty"`

	Event          Event  `json:"event"`
	EventRaw       string `json:"event_raw,omitempty"`
	IsFinal        bool   `json:"is_final"`
	PayloadVersion string `json:"payload_version"`

	// The delivery that the call was decoded from. Empty for a call decoded from a file.
	DeliveryID string            `json:"delivery_id,omitempty"`
	ReceivedAt *Time             `json:"received_at,omitempty"`
	Auth       Auth              `json:"auth,omitempty"`
	BodySHA256 string            `json:"body_sha256,omitempty"` // lower-case hex
	BodySize   int64             `json:"body_size,omitempty"`   // bytes
	BodyRef    string            `json:"body_ref,omitempty"`    // where the body is kept: STREAM/sequence
	Headers    map[string]string `json:"headers,omitempty"`     // an allow-list of the request's headers, lower-case names

	Direction       Direction  `json:"direction"`
	Status          Status     `json:"status"`
	StatusRaw       string     `json:"status_raw,omitempty"`
	EndReason       EndReason  `json:"end_reason"`
	EndReasonRaw    string     `json:"end_reason_raw,omitempty"`
	EndReasonDetail string     `json:"end_reason_detail,omitempty"`
	AnsweredBy      AnsweredBy `json:"answered_by"`
	AnsweredByRaw   string     `json:"answered_by_raw,omitempty"`
	Error           string     `json:"error,omitempty"`

	From          *Phone `json:"from,omitempty"`
	To            *Phone `json:"to,omitempty"`
	CustomerPhone *Phone `json:"customer_phone,omitempty"`
	ForwardedFrom *Phone `json:"forwarded_from,omitempty"`

	CreatedAt        *Time  `json:"created_at,omitempty"`
	StartedAt        *Time  `json:"started_at,omitempty"`
	EndedAt          *Time  `json:"ended_at,omitempty"`
	Timezone         string `json:"timezone,omitempty"` // IANA name
	DurationMS       *int64 `json:"duration_ms,omitempty"`
	BilledDurationMS *int64 `json:"billed_duration_ms,omitempty"`

	Agent    *Agent    `json:"agent,omitempty"`
	Campaign *Campaign `json:"campaign,omitempty"`
	Customer *Customer `json:"customer,omitempty"`
	Tags     []string  `json:"tags,omitempty"`

	Extracted       map[string]json.RawMessage `json:"extracted,omitempty"`        // what the caller said, by the customer's own field names
	ExtractedSource map[string]string          `json:"extracted_source,omitempty"` // the same keys: action:<name>, variable, variable:<agent>
	Actions         []Action                   `json:"actions,omitempty"`

	Transcript Transcript `json:"transcript"`
	Recording  *Recording `json:"recording,omitempty"`
	Analysis   *Analysis  `json:"analysis,omitempty"`

	Extensions map[string]json.RawMessage `json:"extensions,omitempty"` // all of the payload that no field above holds, nested as sent
	Derived    []string                   `json:"derived,omitempty"`    // paths of fields that were computed, not sent
	Warnings   []string                   `json:"warnings,omitempty"`   // oddities met while decoding, with their paths
}

// Phone is a telephone number. E164 is empty when Raw is not a number with its country code.
type Phone struct {
	E164 string `json:"e164,omitempty"` // "+" and 7 to 15 digits, the first not 0
	Raw  string `json:"raw"`            // as the provider sent it
}

// Agent is the AI agent that spoke.
type Agent struct {
	ID       string `json:"id,omitempty"`
	Name     string `json:"name,omitempty"`
	Nickname string `json:"nickname,omitempty"`
}

// Campaign is the call's place in an outbound campaign.
type Campaign struct {
	ContactRef       string `json:"contact_ref,omitempty"`
	ContactStatus    string `json:"contact_status,omitempty"` // the provider's own word, an open list
	FailedRetries    *int64 `json:"failed_retries,omitempty"`
	VoicemailRetries *int64 `json:"voicemail_retries,omitempty"`
}

// Customer is the human side of the call.
type Customer struct {
	ID         string                     `json:"id,omitempty"`
	ExternalID string                     `json:"external_id,omitempty"` // their id in the call center's own systems
	Name       string                     `json:"name,omitempty"`
	Email      string                     `json:"email,omitempty"`
	StatusRaw  string                     `json:"status_raw,omitempty"`
	Context    string                     `json:"context,omitempty"`
	Language   string                     `json:"language,omitempty"` // free text, as sent
	Attributes map[string]json.RawMessage `json:"attributes,omitempty"`
}

// Action is one thing that the agent did during the call.
type Action struct {
	Name   string          `json:"name"`
	Type   string          `json:"type,omitempty"`
	Params json.RawMessage `json:"params,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  string          `json:"error,omitempty"`
	At     *Time           `json:"at,omitempty"`
}

// Transcript is what was said. Form says which of the fields the provider sent.
type Transcript struct {
	Form  TranscriptForm `json:"form"`
	Turns []Turn         `json:"turns,omitempty"`
	Text  string         `json:"text,omitempty"` // as sent where Form is text; a line "role: text" per turn where Form is turns
	URI   string         `json:"uri,omitempty"`
}

// Turn is one utterance.
type Turn struct {
	I        int    `json:"i"` // from 0
	Role     Role   `json:"role"`
	RoleRaw  string `json:"role_raw,omitempty"`
	Text     string `json:"text"`
	At       *Time  `json:"at,omitempty"`
	OffsetMS *int64 `json:"offset_ms,omitempty"` // since the call started
}

// Recording is where the call's audio can be had.
type Recording struct {
	URI       string `json:"uri"`
	Access    Access `json:"access"`
	StoredRef string `json:"stored_ref,omitempty"`
}

// Analysis is the provider's own judgement of the call.
type Analysis struct {
	Summary        string                     `json:"summary,omitempty"`
	Sentiment      string                     `json:"sentiment,omitempty"`
	Score          *float64                   `json:"score,omitempty"` // 0 to 100
	Outcome        string                     `json:"outcome,omitempty"`
	Classification string                     `json:"classification,omitempty"`
	Criteria       []Criterion                `json:"criteria,omitempty"`
	Flags          map[string]json.RawMessage `json:"flags,omitempty"`
	Details        map[string]json.RawMessage `json:"details,omitempty"`
}

// Criterion is one question that the provider's judge answered about the call.
type Criterion struct {
	Name       string  `json:"name"`
	Verdict    Verdict `json:"verdict"`
	VerdictRaw string  `json:"verdict_raw,omitempty"`
	Feedback   string  `json:"feedback,omitempty"`
}

// Key is the one string that names a call in every sink.
func Key(provider, source, callID string) string {
	return provider + ":" + source + ":" + callID
}
