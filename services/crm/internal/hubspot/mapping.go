package hubspot

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/services/crm/internal/mask"
	"github.com/onhook/onhook/services/crm/internal/phone"
)

// callKey is the unique property of calls: call.Key.
const callKey = "onhook_key"

// timestamp is the property that every call must have.
const timestamp = "hs_timestamp"

// In units of UTF-16, as HubSpot counts; a text property holds 65,536:
// https://knowledge.hubspot.com/properties/property-field-types-in-hubspot
const (
	keyRoom   = 255
	titleRoom = 255
	textRoom  = 65_000
)

// callStatuses are HubSpot's words; a status that is not here is left out.
var callStatuses = map[call.Status]string{
	call.StatusBusy:       "BUSY",
	call.StatusCanceled:   "CANCELED",
	call.StatusCompleted:  "COMPLETED",
	call.StatusFailed:     "FAILED",
	call.StatusInProgress: "IN_PROGRESS",
	call.StatusNoAnswer:   "NO_ANSWER",
	call.StatusVoicemail:  "COMPLETED",
}

// defaultDispositions are the outcomes that every account has:
// https://developers.hubspot.com/docs/api-reference/latest/crm/activities/calls/guide
var defaultDispositions = map[string]string{
	"busy":           "9d9162e7-6cf3-4944-bf63-4dff82258764",
	"connected":      "f240bbac-87c9-4f6e-bf70-924b57d47db7",
	"left_voicemail": "b2cf5968-551e-4856-9783-52b3da59a7d0",
	"no_answer":      "73a0d17f-1163-4015-bdd5-ec830791da20",
	"wrong_number":   "17b47fee-58de-441e-a44c-c6300d46f273",
}

// keyOf is the call's key, with a hash for its end where HubSpot has no room for it.
func keyOf(k *call.Call) string {
	if units(k.Key) <= keyRoom {
		return k.Key
	}
	sum := sha256.Sum256([]byte(k.Key))
	return fit(k.Key, keyRoom-1-2*len(sum)) + ":" + hex.EncodeToString(sum[:])
}

// customerNumber is the customer's, where it can be called.
func customerNumber(k *call.Call) string {
	if k.CustomerPhone == nil {
		return ""
	}
	return phone.E164(k.CustomerPhone.E164)
}

// callInput is what HubSpot is given of a call.
func (c *Client) callInput(r *record) (input, error) {
	p, err := c.callProperties(r)
	if err != nil {
		return input{}, err
	}
	hidden := mask.Names(r.call)
	for name := range r.fields { // what they say may be of a person, whatever property it is put into
		hidden = append(hidden, p[name])
	}
	return input{
		what: "the call", key: r.key, trace: r.key, properties: p, hidden: hidden,
		body: objectInput{ID: r.key, IDProperty: callKey, Properties: p, Trace: r.key},
	}, nil
}

func (c *Client) callProperties(r *record) (map[string]string, error) {
	k := r.call
	p := map[string]string{}
	set := func(name, v string) {
		if v = fit(clean(v), textRoom); v != "" {
			p[name] = v
		}
	}
	for _, t := range []*call.Time{k.StartedAt, k.EndedAt, k.CreatedAt, k.ReceivedAt} {
		if t != nil {
			set(timestamp, strconv.FormatInt(t.UnixMilli(), 10))
			break
		}
	}
	link := ""
	if s, ok := r.fields["onhook_link"].(string); ok && strings.HasPrefix(s, "https://") {
		link = s
	}
	extracted := c.visible(k.Extracted)
	set("hs_call_title", title(k))
	set("hs_call_body", c.body(k, extracted, link))
	if k.DurationMS != nil {
		set("hs_call_duration", strconv.FormatInt(*k.DurationMS, 10))
	}
	if k.Direction == call.DirectionInbound || k.Direction == call.DirectionOutbound {
		set("hs_call_direction", strings.ToUpper(string(k.Direction)))
	}
	set("hs_call_status", callStatuses[k.Status])
	set("hs_call_disposition", c.disposition(k))
	set("hs_call_from_number", number(k.From))
	set("hs_call_to_number", number(k.To))
	if k.Recording != nil && c.cfg.RecordingLink && strings.HasPrefix(k.Recording.URI, "https://") {
		set("hs_call_recording_url", k.Recording.URI)
	}
	set("onhook_provider", k.Provider)
	if k.Agent != nil {
		set("hubspot_owner_id", c.cfg.Owners[k.Agent.ID])
		set("onhook_agent", k.Agent.Name)
	}
	set("onhook_outcome", outcomeOf(k))
	if k.AnsweredBy != call.AnsweredByUnknown {
		set("onhook_answered_by", string(k.AnsweredBy))
	}
	set("onhook_extracted", compact(extracted))
	for name, v := range r.fields {
		s, ok := value(v)
		if name == timestamp && strings.TrimSpace(s) == "" { // HubSpot takes no call without one
			continue
		}
		if ok {
			p[name] = fit(clean(s), textRoom)
		}
	}
	p[callKey] = r.key
	if p[timestamp] == "" {
		return nil, retry.Never(errors.New("the call has no time at all, and HubSpot wants one"))
	}
	return p, nil
}

// title is "agent – direction – outcome", of which any part may be missing.
func title(k *call.Call) string {
	var parts []string
	if k.Agent != nil {
		parts = append(parts, k.Agent.Name)
	}
	if k.Direction != call.DirectionUnknown {
		parts = append(parts, string(k.Direction))
	}
	if o := outcomeOf(k); o != "" {
		parts = append(parts, o)
	} else if k.Status != call.StatusUnknown {
		parts = append(parts, string(k.Status))
	}
	parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" })
	return fit(clean(strings.Join(parts, " – ")), titleRoom)
}

func outcomeOf(k *call.Call) string {
	if k.Analysis == nil {
		return ""
	}
	return k.Analysis.Outcome
}

// disposition is HubSpot's id for the outcome; the config goes before what can be told from the call.
func (c *Client) disposition(k *call.Call) string {
	outcome := outcomeOf(k)
	if id := c.cfg.Dispositions[outcome]; id != "" {
		return id
	}
	var label string
	switch {
	case outcome == "wrong_number":
		label = "wrong_number"
	case k.Status == call.StatusNoAnswer:
		label = "no_answer"
	case k.Status == call.StatusBusy:
		label = "busy"
	case k.EndReason == call.EndVoicemailMessageLeft:
		label = "left_voicemail"
	case k.Status == call.StatusCompleted && k.AnsweredBy == call.AnsweredByHuman:
		label = "connected"
	}
	if id := c.cfg.Dispositions[label]; id != "" {
		return id
	}
	return defaultDispositions[label]
}

func number(p *call.Phone) string {
	if p == nil {
		return ""
	}
	if valid := phone.E164(p.E164); valid != "" {
		return valid
	}
	return p.Raw
}

// visible is what of the extracted values HubSpot may see.
func (c *Client) visible(extracted map[string]json.RawMessage) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for key, v := range extracted {
		if slices.Contains(c.cfg.Extracted, key) || slices.Contains(c.cfg.Extracted, "*") {
			out[key] = v
		}
	}
	return out
}

// compact is a JSON object of as many values, in the order of their keys, as there is room for.
func compact(extracted map[string]json.RawMessage) string {
	var b bytes.Buffer
	for _, key := range slices.Sorted(maps.Keys(extracted)) {
		name, err := json.Marshal(key)
		var v bytes.Buffer
		if err != nil || json.Compact(&v, extracted[key]) != nil || b.Len()+len(name)+v.Len()+3 > textRoom {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%s:%s", name, v.Bytes())
	}
	if b.Len() == 0 {
		return ""
	}
	return "{" + b.String() + "}"
}

// scalar is an extracted value as a person reads it: a string without its quotes, anything else as JSON.
func scalar(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil { // null as well, which is no text
		return s
	}
	return string(raw)
}

// value is a configured field's as a string; there is none for nil, and for numbers that JSON does not have.
func value(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), !math.IsNaN(v) && !math.IsInf(v, 0)
	default:
		return "", false
	}
}

// clean drops what no text in HubSpot may hold.
func clean(s string) string { return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "") }

// units is the length of s in UTF-16.
func units(s string) int {
	n := 0
	for _, r := range s {
		n += utf16.RuneLen(r)
	}
	return n
}

// fit is s up to n units of UTF-16, on a rune boundary.
func fit(s string, n int) string {
	for i, r := range s {
		if n -= utf16.RuneLen(r); n < 0 {
			return s[:i]
		}
	}
	return s
}
