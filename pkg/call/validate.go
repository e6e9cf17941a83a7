package call

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
)

var e164 = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

// IsE164 reports whether s is "+" and 7 to 15 digits, the first not 0.
func IsE164(s string) bool { return e164.MatchString(s) }

// Validate reports every way in which c breaks the schema, or nil. Decoders are held to it: what they emit is valid
// whatever they were sent.
func (c *Call) Validate() error {
	var errs []error
	var bad report = func(path, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", path, fmt.Sprintf(format, args...)))
	}
	required := func(path, v string) {
		if v == "" {
			bad(path, "empty")
		}
	}
	if c.Schema != Schema {
		bad("schema", "%q, want %q", c.Schema, Schema)
	}
	required("provider", c.Provider)
	required("source", c.Source)
	required("call_id", c.CallID)
	required("payload_version", c.PayloadVersion)
	if want := Key(c.Provider, c.Source, c.CallID); c.Key != want {
		bad("key", "not provider:source:call_id")
	}
	if c.IsFinal != (c.Event == Ended) {
		bad("is_final", "%t for event %q", c.IsFinal, c.Event)
	}
	word(bad, "event", c.Event, Events)
	if c.Auth != "" {
		word(bad, "auth", c.Auth, Auths)
	}
	word(bad, "direction", c.Direction, Directions)
	word(bad, "status", c.Status, Statuses)
	word(bad, "end_reason", c.EndReason, EndReasons)
	word(bad, "answered_by", c.AnsweredBy, AnsweredBys)
	word(bad, "transcript.form", c.Transcript.Form, TranscriptForms)
	for i, t := range c.Transcript.Turns {
		bad := within(bad, "transcript.turns", i)
		word(bad, "role", t.Role, Roles)
		if t.I != i {
			bad("i", "%d", t.I)
		}
		if t.OffsetMS != nil && *t.OffsetMS < 0 {
			bad("offset_ms", "negative")
		}
		moment(bad, "at", t.At)
	}
	for i, a := range c.Actions {
		moment(within(bad, "actions", i), "at", a.At)
	}
	moment(bad, "received_at", c.ReceivedAt)
	moment(bad, "created_at", c.CreatedAt)
	moment(bad, "started_at", c.StartedAt)
	moment(bad, "ended_at", c.EndedAt)
	if c.Recording != nil {
		required("recording.uri", c.Recording.URI)
		word(bad, "recording.access", c.Recording.Access, Accesses)
	}
	if c.Analysis != nil {
		for i, k := range c.Analysis.Criteria {
			word(within(bad, "analysis.criteria", i), "verdict", k.Verdict, Verdicts)
		}
		if s := c.Analysis.Score; s != nil && !(*s >= 0 && *s <= 100) { // NaN is neither
			bad("analysis.score", "outside 0 to 100")
		}
	}
	for _, p := range []struct {
		path  string
		phone *Phone
	}{{"from", c.From}, {"to", c.To}, {"customer_phone", c.CustomerPhone}, {"forwarded_from", c.ForwardedFrom}} {
		if p.phone == nil {
			continue
		}
		required(p.path+".raw", p.phone.Raw)
		if p.phone.E164 != "" && !IsE164(p.phone.E164) {
			bad(p.path+".e164", "not E.164")
		}
	}
	for _, d := range []struct {
		path string
		ms   *int64
	}{{"duration_ms", c.DurationMS}, {"billed_duration_ms", c.BilledDurationMS}} {
		if d.ms != nil && *d.ms < 0 {
			bad(d.path, "negative")
		}
	}
	return errors.Join(errs...)
}

// report notes what is wrong at a path.
type report func(path, format string, args ...any)

// within reports what is wrong in element i of list. The path is written only then: nearly every call is valid.
func within(bad report, list string, i int) report {
	return func(path, format string, args ...any) {
		bad(fmt.Sprintf("%s[%d].%s", list, i, path), format, args...)
	}
}

func moment(bad report, path string, t *Time) {
	if t != nil && !t.Writable() {
		bad(path, "outside the years 1 to 9999")
	}
}

func word[T ~string](bad report, path string, v T, words []T) {
	if !slices.Contains(words, v) {
		bad(path, "%q is not one of %q", v, words)
	}
}
