package synthflow

import (
	"strings"

	"github.com/onhook/onhook/pkg/call"
)

var roles = map[string]call.Role{
	"agent":     call.RoleAgent,
	"assistant": call.RoleAgent,
	"bot":       call.RoleAgent,
	"human":     call.RoleCustomer,
	"user":      call.RoleCustomer,
}

// transcript keeps the text as sent, and splits it into turns where a line starts with a speaker's label. Text before
// the first label is a turn of nobody known; a text without any label has no turns.
func transcript(c *call.Call, text string) {
	if text == "" {
		c.Transcript.Form = call.TranscriptNone
		return
	}
	c.Transcript = call.Transcript{Form: call.TranscriptText, Text: text}
	var turns []call.Turn
	turn, start, labelled := call.Turn{Role: call.RoleUnknown}, 0, false
	flush := func(end int) {
		if turn.Text = strings.TrimSpace(text[start:end]); turn.Text == "" && turn.RoleRaw == "" {
			return // blank lines before the first label
		}
		turn.I = len(turns)
		turns = append(turns, turn)
	}
	for at := 0; at < len(text); {
		if label, role, ok := speaker(text[at:]); ok {
			flush(at)
			labelled = true
			turn, start = call.Turn{Role: role, RoleRaw: label}, at+len(label)+1
		}
		next := strings.IndexByte(text[at:], '\n')
		if next < 0 {
			break
		}
		at += next + 1
	}
	if !labelled {
		return
	}
	flush(len(text))
	c.Transcript.Turns = turns
	c.Derived = append(c.Derived, "transcript.turns")
}

// speaker reads the label that line starts with.
func speaker(line string) (label string, _ call.Role, ok bool) {
	const longest = len("assistant")
	colon := strings.IndexByte(line[:min(len(line), longest+1)], ':')
	if colon < 0 {
		return "", "", false
	}
	role, ok := roles[strings.ToLower(line[:colon])]
	return line[:colon], role, ok
}
