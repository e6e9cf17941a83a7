package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Difference is a setting of a stream that is not as the table in topology.go has it.
type Difference struct {
	Stream   string `json:"stream"`
	Setting  string `json:"setting"` // as the server names it
	Is       string `json:"is"`
	ShouldBe string `json:"should_be"`
	Kind     string `json:"kind"`
	Breaks   string `json:"breaks,omitempty"` // what it lets happen, where Kind is DriftBreaks
}

// The kinds of differences.
const (
	DriftBreaks  = "breaks"  // calls can be lost or stored twice, and nobody is told
	DriftDiffers = "differs" // a setting that Migrate puts back
	DriftAllowed = "allowed" // a limit that is the operator's to set; Migrate leaves it
)

// String is d on one line.
func (d Difference) String() string {
	s := fmt.Sprintf("stream %s: %s is %s, should be %s", d.Stream, d.Setting, d.Is, d.ShouldBe)
	if d.Breaks != "" {
		s += ": " + d.Breaks
	}
	return s
}

// rule is what a setting means to us.
type rule struct {
	breaks  string // what happens unseen where it is otherwise
	atLeast bool   // more than the table has is the operator's to give
}

// rules has the settings that Migrate puts back. Any other is the operator's.
var rules = map[string]rule{
	"allow_atomic":              {},
	"allow_direct":              {},
	"allow_msg_schedules":       {},
	"allow_rollup_hdrs":         {},
	"deny_delete":               {},
	"discard":                   {breaks: "at a limit, messages that nobody has handled are dropped without an error"},
	"discard_new_per_subject":   {breaks: "a message takes the place of the one before it on its subject"},
	"duplicate_window":          {atLeast: true},
	"max_age":                   {atLeast: true}, // a shorter one is a choice too, if a bold one: what nobody reads in time goes
	"max_msgs_per_subject":      {breaks: "a call is stored as often as it is sent, or one message takes another's place"},
	"no_ack":                    {},
	"num_replicas":              {atLeast: true},
	"persist_mode":              {breaks: "messages are acknowledged before they are on disk"},
	"retention":                 {breaks: "messages are dropped before every consumer has had them, or never"},
	"sealed":                    {},
	"storage":                   {breaks: "messages are gone when the server stops"},
	"subject_delete_marker_ttl": {},
	"subject_transform":         {breaks: "messages are stored under another identity"},
	"subjects":                  {},
}

// limits is what a stream that discards its oldest messages must not have.
var limits = []string{"max_age", "max_bytes", "max_msgs"}

const dropsOldest = "this stream drops its oldest messages at the limit, handled or not"

// settings is a stream's configuration by the server's names, without what is unset and what is no setting of ours.
func settings(cfg jetstream.StreamConfig) (map[string]any, error) {
	raw, err := json.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	all := map[string]any{}
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, err
	}
	maps.DeleteFunc(all, func(name string, v any) bool {
		return unset(v) || slices.Contains([]string{"name", "description", "metadata", "placement"}, name)
	})
	return all, nil
}

func unset(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case float64:
		return v <= 0
	case map[string]any:
		return len(v) == 0
	}
	return v == false || v == "" || v == "none" || v == "default"
}

// compare lists in what a stream differs from the table, the gravest first.
func compare(is, should jetstream.StreamConfig) ([]Difference, error) {
	got, err := settings(is)
	if err != nil {
		return nil, err
	}
	want, err := settings(should)
	if err != nil {
		return nil, err
	}
	names := maps.Clone(got)
	maps.Copy(names, want)
	found := []Difference{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if reflect.DeepEqual(got[name], want[name]) {
			continue
		}
		d := Difference{Stream: is.Name, Setting: name, Is: text(name, got[name]), ShouldBe: text(name, want[name]), Kind: DriftAllowed}
		r, ours := rules[name]
		switch {
		case should.Discard == jetstream.DiscardOld && slices.Contains(limits, name):
			d.Kind, d.Breaks = DriftBreaks, dropsOldest
		case !ours || r.atLeast && atLeast(name, got[name], want[name]):
		case r.breaks != "":
			d.Kind, d.Breaks = DriftBreaks, r.breaks
		default:
			d.Kind = DriftDiffers
		}
		found = append(found, d)
	}
	order := []string{DriftBreaks, DriftDiffers, DriftAllowed}
	slices.SortStableFunc(found, func(a, b Difference) int {
		return slices.Index(order, a.Kind) - slices.Index(order, b.Kind)
	})
	return found, nil
}

// atLeast reports that got is more than want. An age that is not set is without end.
func atLeast(name string, got, want any) bool {
	g, _ := got.(float64) // absent: 0
	w, _ := want.(float64)
	return g > w || name == "max_age" && g == 0
}

// text is a setting as a person reads it.
func text(name string, v any) string {
	if v == nil {
		return "not set"
	}
	n, ok := v.(float64)
	switch {
	case ok && slices.Contains([]string{"max_age", "duplicate_window", "subject_delete_marker_ttl"}, name):
		return time.Duration(n).String()
	case ok:
		return strconv.FormatFloat(n, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

// Drift waits for the broker, creates nothing, and lists in what the streams differ from the table, and which of them do
// not exist.
func (b *Bus) Drift(ctx context.Context) (found []Difference, missing []string, err error) {
	err = b.persist(ctx, "the streams", func(ctx context.Context) (err error) {
		found, missing, err = b.drift(ctx)
		return err
	})
	return found, missing, err
}

func (b *Bus) drift(ctx context.Context) (found []Difference, missing []string, err error) {
	for _, s := range streams {
		want := b.streamConfig(s)
		st, err := b.js.Stream(ctx, want.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			missing = append(missing, want.Name)
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("stream %s: %w", want.Name, err)
		}
		more, err := compare(st.CachedInfo().Config, want)
		if err != nil {
			return nil, nil, err
		}
		found = append(found, more...)
	}
	return found, missing, nil
}

// Sound says by which setting of a stream calls could be lost or stored twice, or nil.
func (b *Bus) Sound(ctx context.Context) error {
	if !b.isPrepared() {
		return b.notPrepared()
	}
	found, missing, err := b.drift(ctx)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return fmt.Errorf("stream %s does not exist", strings.Join(missing, ", "))
	}
	for _, d := range found {
		if d.Kind == DriftBreaks {
			return fmt.Errorf("%s; `onhook migrate` puts it right", d)
		}
	}
	return nil
}
