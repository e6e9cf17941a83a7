package bus_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/bus/bustest"
	"github.com/onhook/onhook/pkg/call"
)

// A call can outgrow the body that it was made of: its transcript stands in it twice, for one. That is no reason to die.
func TestACallThatOutgrowsAMessageIsPublishedWithoutItsLargestParts(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t)
	large := strings.Repeat("<&>", 1_500_000)
	for _, tt := range []struct {
		name string
		set  func(c *call.Call)
		left []string // out
	}{
		{"fits", func(c *call.Call) { c.Transcript.Text = large }, nil},
		{"turns and their text", func(c *call.Call) {
			c.Transcript = call.Transcript{Form: call.TranscriptTurns, Text: large, Turns: []call.Turn{{Role: call.RoleAgent, Text: large}}}
		}, []string{"transcript"}},
		{"text and its turns", func(c *call.Call) {
			c.Transcript = call.Transcript{Form: call.TranscriptText, Text: large, Turns: []call.Turn{{Role: call.RoleAgent, Text: large}}}
		}, []string{"transcript"}},
		{"hundreds of thousands of empty turns", func(c *call.Call) {
			c.Transcript = call.Transcript{Form: call.TranscriptTurns, Turns: make([]call.Turn, 300_000)}
		}, []string{"transcript", "extensions", "transcript.turns"}},
		{"an unknown field", func(c *call.Call) {
			raw, _ := json.Marshal(large)
			c.Extensions = map[string]json.RawMessage{"x": raw}
		}, []string{"transcript", "extensions"}},
	} {
		c := newCall(tt.name, call.Ended)
		tt.set(c)
		if err := b.PublishCalls(t.Context(), []*call.Call{c})[0]; err != nil {
			t.Errorf("%s: %.200v", tt.name, err)
			continue
		}
		m := fetch(t, b, bus.Storage, false, 1)[0]
		got, err := m.Call()
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Ack(); err != nil {
			t.Fatal(err)
		}
		var left []string
		for _, w := range got.Warnings {
			name, _, _ := strings.Cut(w, ":")
			left = append(left, name)
		}
		if got.Key != c.Key || !slices.Equal(left, tt.left) || len(c.Warnings) != 0 {
			t.Errorf("%s: left out %q, want %q", tt.name, left, tt.left)
		}
	}
}
