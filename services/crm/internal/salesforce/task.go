package salesforce

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"

	"github.com/onhook/onhook/pkg/call"
)

// Lengths of Task's fields where describe gives none, in UTF-16 units.
const (
	maxText        = 255
	maxDescription = 32_000
)

const truncated = "\n… truncated"

// optional are the fields that a call can do without: what would stand in them is said in Description.
var optional = []string{"Subject", "CallType", "CallDurationInSeconds", "CallDisposition", "CallObject", "ActivityDate"}

// degraded are the optional fields that this user cannot write.
func (s *schema) degraded() []string {
	var out []string
	for _, name := range optional {
		if !s.task.fields[name].Createable {
			out = append(out, name)
		}
	}
	return out
}

// task is a call as Salesforce holds it, without the person that it was with. extra are the configured fields, by
// Salesforce's names; they win over ours.
func (s *Sink) task(c *call.Call, extra map[string]any, in *schema) (map[string]any, error) {
	if n, most := units(c.Key), cmp.Or(in.task.fields[keyField].Length, maxText); n > most {
		return nil, fmt.Errorf("the call's key has %d characters, but %s holds %d", n, keyField, most)
	}
	out := map[string]any{"attributes": map[string]string{"type": "Task"}, keyField: c.Key}
	var rest []string // what no field takes
	put := func(name, label string, v any) {
		f := in.task.fields[name]
		text, isText := v.(string)
		switch {
		case isText && text == "":
		case f.Createable && (!isText || f.takes(text)):
			if isText {
				v = cut(text, cmp.Or(f.Length, maxText))
			}
			out[name] = v
		case label != "":
			rest = append(rest, fmt.Sprintf("%s: %v", label, v))
		}
	}
	put("Subject", "Subject", subject(c))
	put("Status", "", s.cfg.Status)
	put("Priority", "", s.cfg.Priority)
	put("TaskSubtype", "", "Call")
	put("CallType", "Direction", directions[c.Direction])
	if c.DurationMS != nil {
		put("CallDurationInSeconds", "Duration in seconds", (*c.DurationMS+500)/1000)
	}
	put("CallDisposition", "Result", result(c))
	put("CallObject", "Call id", clean(c.CallID))
	if at := moment(c); at != nil {
		put("ActivityDate", "Date", at.In(in.zone).Format(time.DateOnly))
	}
	if c.Agent != nil {
		put("OwnerId", "", s.cfg.Owners[c.Agent.ID])
	}
	text := s.description(c, rest) // the last, as rest is complete
	if f := in.task.fields["Description"]; f.Createable && text != "" {
		out["Description"] = cutDescription(text, cmp.Or(f.Length, maxDescription))
	}
	return out, addExtra(out, extra)
}

// CheckField says why no field of a Task is configured by that name. The key and the record's identity are not to be had.
func CheckField(name string) error {
	if slices.ContainsFunc([]string{"attributes", "Id", keyField}, func(own string) bool { return strings.EqualFold(own, name) }) {
		return fmt.Errorf("%s is set by onhook; give another field", name)
	}
	// Salesforce takes a name in any case, and would be given two values.
	if i := slices.IndexFunc(ours, func(own string) bool { return strings.EqualFold(own, name) }); i >= 0 && ours[i] != name {
		return fmt.Errorf("write it %s", ours[i])
	}
	if !fieldName.MatchString(name) {
		return errors.New("want the API name of a field of Task, such as Promise_Date__c")
	}
	return nil
}

// ours are the fields that may be configured though onhook fills them.
var ours = append([]string{"Description", "OwnerId", "Priority", "Status", "TaskSubtype", "WhatId", "WhoId"}, optional...)

var fieldName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,99}$`)

// addExtra sets the configured fields.
func addExtra(out, extra map[string]any) error {
	for name, v := range extra {
		if err := CheckField(name); err != nil {
			return fmt.Errorf("fields: %w", err)
		}
		switch v := v.(type) {
		case string:
			out[name] = clean(v)
		case float64:
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("fields: %s is no number that JSON can hold", name)
			}
			out[name] = v
		case nil, bool, int64:
			out[name] = v
		default:
			return errors.New("fields: " + name + " is neither text, a number, true, false nor nothing")
		}
	}
	return nil
}

var directions = map[call.Direction]string{call.DirectionInbound: "Inbound", call.DirectionOutbound: "Outbound"}

var results = map[call.Status]string{
	call.StatusBusy: "Busy", call.StatusCanceled: "Canceled", call.StatusCompleted: "Completed", call.StatusFailed: "Failed",
	call.StatusInProgress: "In progress", call.StatusNoAnswer: "No answer", call.StatusVoicemail: "Voicemail",
}

func result(c *call.Call) string {
	if c.Analysis != nil && c.Analysis.Outcome != "" {
		return clean(c.Analysis.Outcome)
	}
	return results[c.Status]
}

func subject(c *call.Call) string {
	var agent string
	if c.Agent != nil {
		agent = clean(c.Agent.Name)
	}
	parts := slices.DeleteFunc([]string{agent, directions[c.Direction], result(c)}, func(p string) bool { return p == "" })
	return cmp.Or(strings.Join(parts, " – "), "Call")
}

// moment is when the call was, as far as that is known.
func moment(c *call.Call) *call.Time { return cmp.Or(c.StartedAt, c.EndedAt, c.ReceivedAt) }

// description is plain text whose first line is the summary.
func (s *Sink) description(c *call.Call, rest []string) string {
	var lines []string
	add := func(label, text string) {
		if text = clean(text); text != "" {
			lines = append(lines, label+text)
		}
	}
	if c.Analysis != nil {
		add("", c.Analysis.Summary)
	}
	for _, end := range []struct {
		label string
		phone *call.Phone
	}{{"From: ", c.From}, {"To: ", c.To}} {
		if end.phone != nil {
			add(end.label, cmp.Or(end.phone.E164, end.phone.Raw))
		}
	}
	for _, line := range rest {
		add("", line)
	}
	names := s.cfg.Extracted
	if slices.Contains(names, "*") {
		names = slices.Sorted(maps.Keys(c.Extracted))
	}
	for _, name := range names {
		if raw, ok := c.Extracted[name]; ok {
			add(name+": ", plain(raw))
		}
	}
	if s.cfg.RecordingLink && c.Recording != nil {
		add("Recording: ", c.Recording.URI)
	}
	if s.cfg.Transcript {
		add("\n", transcript(c.Transcript))
	}
	return strings.Join(lines, "\n")
}

func transcript(t call.Transcript) string {
	if t.Text != "" {
		return t.Text
	}
	var lines []string
	for _, turn := range t.Turns {
		lines = append(lines, string(turn.Role)+": "+turn.Text)
	}
	return strings.Join(lines, "\n")
}

// plain is a JSON value as text: a string without its quotes, the rest compact.
func plain(raw json.RawMessage) string {
	var text *string
	if json.Unmarshal(raw, &text) == nil {
		if text == nil {
			return ""
		}
		return *text
	}
	var compact bytes.Buffer
	if json.Compact(&compact, raw) != nil {
		return ""
	}
	return compact.String()
}

// clean drops what no text field takes: control characters other than tab and line feed.
func clean(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, text))
}

// units is the length of a text as Salesforce counts it.
func units(text string) int {
	n := 0
	for _, r := range text {
		n += max(1, utf16.RuneLen(r))
	}
	return n
}

// cut is the longest beginning of text that has at most n units.
func cut(text string, n int) string {
	for i, r := range text {
		if n -= max(1, utf16.RuneLen(r)); n < 0 {
			return text[:i]
		}
	}
	return text
}

func cutDescription(text string, n int) string {
	if units(text) <= n {
		return text
	}
	return cut(text, max(0, n-units(truncated))) + truncated
}
