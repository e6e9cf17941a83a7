package bus_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/bus/bustest"
	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/schemas"
)

// asyncAPI is as much of asyncapi.yaml as this test reads with types.
type asyncAPI struct {
	Streams  map[string]map[string]any `json:"x-streams"`
	Escaping struct {
		Longest  int    `json:"longest"`
		CutMark  string `json:"cut_mark"`
		Examples []struct {
			CallID string `json:"call_id"`
			Token  string `json:"token"`
		} `json:"examples"`
	} `json:"x-call-id-escaping"`
	Channels map[string]struct {
		Address    string `json:"address"`
		Parameters map[string]struct {
			Enum []string `json:"enum"`
			Ref  string   `json:"$ref"`
		} `json:"parameters"`
		Messages map[string]any `json:"messages"`
	} `json:"channels"`
	Components struct {
		Parameters map[string]struct {
			Enum []string `json:"enum"`
		} `json:"parameters"`
		Messages map[string]struct {
			Headers struct {
				Properties map[string]any `json:"properties"`
			} `json:"headers"`
		} `json:"messages"`
	} `json:"components"`
}

const asyncURL = "https://github.com/onhook/onhook/schemas/asyncapi.yaml"

func readAsyncAPI(t *testing.T) (asyncAPI, *jsonschema.Compiler) {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	var doc asyncAPI
	for name, url := range map[string]string{"asyncapi.yaml": asyncURL, "call.schema.json": "https://github.com/onhook/onhook/schemas/call.schema.json"} {
		raw, err := schemas.FS.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if raw, err = yaml.YAMLToJSON(raw); err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
		if err == nil {
			err = compiler.AddResource(url, v)
		}
		if err == nil && name == "asyncapi.yaml" {
			err = json.Unmarshal(raw, &doc)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return doc, compiler
}

// TestStreamsAreAsDocumented holds x-streams and the streams that are really created together, setting by setting.
func TestStreamsAreAsDocumented(t *testing.T) {
	t.Parallel()
	doc, _ := readAsyncAPI(t)
	s := bustest.StartServer(t)
	s.Connect(t)
	js := admin(t, s)
	got := map[string]map[string]any{}
	for info := range js.ListStreams(t.Context()).Info() {
		raw, err := json.Marshal(info.Config)
		if err != nil {
			t.Fatal(err)
		}
		settings := map[string]any{}
		if err := json.Unmarshal(raw, &settings); err != nil {
			t.Fatal(err)
		}
		got[info.Config.Name] = settings
	}
	plain, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "PLAIN"})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(plain.CachedInfo().Config)
	if err != nil {
		t.Fatal(err)
	}
	defaults := map[string]any{}
	if err := json.Unmarshal(raw, &defaults); err != nil {
		t.Fatal(err)
	}
	for _, settings := range got { // what matters is documented even at its default; names, notes and replicas are not settings
		for key, v := range settings {
			if cmp.Equal(v, defaults[key]) && !slices.Contains([]string{"retention", "storage", "discard", "duplicate_window"}, key) {
				delete(settings, key)
			}
		}
		for _, key := range []string{"name", "description", "metadata", "num_replicas"} {
			delete(settings, key)
		}
	}
	for name, settings := range doc.Streams {
		for _, key := range []string{"max_age", "duplicate_window"} { // the API's unit is the nanosecond, a person's is not
			if text, ok := settings[key].(string); ok {
				d, err := time.ParseDuration(text)
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				settings[key] = float64(d)
			}
		}
	}
	if d := cmp.Diff(got, doc.Streams); d != "" {
		t.Errorf("the streams, created (-) and documented (+):\n%s", d)
	}
}

// TestMessagesAreAsDocumented sends a message of each kind through a real broker and holds its subject and headers to
// the channel and message of the document, of which each header must be met.
func TestMessagesAreAsDocumented(t *testing.T) {
	t.Parallel()
	doc, compiler := readAsyncAPI(t)
	s := bustest.StartServer(t)
	b := s.Connect(t)
	js := admin(t, s)
	last := func(stream, subject string) *jetstream.RawStreamMsg {
		t.Helper()
		st, err := js.Stream(t.Context(), stream)
		if err != nil {
			t.Fatal(err)
		}
		m, err := st.GetLastMsgForSubject(t.Context(), subject)
		if err != nil {
			t.Fatalf("%s %s: %v", stream, subject, err)
		}
		for _, name := range []string{"Nats-Sequence", "Nats-Stream", "Nats-Subject", "Nats-Time-Stamp"} {
			delete(m.Header, name) // the answer's, not the message's
		}
		return m
	}
	met := map[string]map[string]bool{}
	hold := func(channel, message string, m *jetstream.RawStreamMsg) {
		t.Helper()
		c := doc.Channels[channel]
		if _, ok := c.Messages[message]; !ok {
			t.Errorf("channel %q has no message %q", channel, message)
		}
		if pattern := addressPattern(doc, channel); !pattern.MatchString(m.Subject) {
			t.Errorf("the subject %s is none of channel %s (%s)", m.Subject, channel, c.Address)
		}
		schema, err := compiler.Compile(asyncURL + "#/components/messages/" + message + "/headers")
		if err != nil {
			t.Fatal(err)
		}
		headers := map[string]any{}
		if met[message] == nil {
			met[message] = map[string]bool{}
		}
		for name, v := range m.Header {
			if len(v) != 1 {
				t.Errorf("%s: header %s has %d values", message, name, len(v))
			}
			headers[name] = v[0]
			met[message][name] = true
		}
		if err := schema.Validate(headers); err != nil {
			t.Errorf("the headers of %s are not as documented: %v\n%v", message, err, headers)
		}
	}

	payload := func(message string, data []byte) {
		t.Helper()
		schema, err := compiler.Compile(asyncURL + "#/components/messages/" + message + "/payload")
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); err != nil {
			t.Errorf("the payload of %s is not as documented: %v\n%s", message, err, data)
		}
	}

	var together sync.WaitGroup
	for range 20 {
		together.Go(func() {
			if err := b.PublishDelivery(t.Context(), traced(newDelivery("{}"))); err != nil {
				t.Error(err)
			}
		})
	}
	together.Wait()
	hold("envelopes", "envelope", last("WEBHOOKS", "webhooks.many.*"))
	for _, m := range fetch(t, b, bus.Decoder, false, 20) {
		if err := m.Ack(); err != nil {
			t.Fatal(err)
		}
	}

	for _, c := range []bus.Consumer{bus.Decoder, bus.Storage, bus.Outcomes, documentedCRM.From(bus.Start{})} {
		var channel, message, stream string
		switch c.Name {
		case bus.Decoder.Name:
			channel, message, stream = "webhooks", "delivery", "WEBHOOKS"
			for range 2 {
				if err := b.PublishDelivery(t.Context(), traced(newLarge())); err != nil {
					t.Fatal(err)
				}
			}
		case bus.Outcomes.Name:
			channel, message, stream = "outcomes", "outcome", "OUTCOMES"
			o := call.Outcome{Sink: "hubspot-main", Provider: "altur", Source: "s", CallID: "a", Event: call.Ended, Result: call.ResultDead, Attempts: 1,
				VendorID: "1", Note: "n", Error: "e", At: call.At(time.Now())}
			again := o
			again.Attempts = 2
			if err := errors.Join(b.PublishOutcomes(t.Context(), []call.Outcome{o, again}, []string{"CALLS-1-1", "CALLS-1-1"})...); err != nil {
				t.Fatal(err)
			}
			payload("outcome", last("OUTCOMES", "outcomes.>").Data)
		case bus.Storage.Name:
			channel, message, stream = "calls", "call", "CALLS"
			if err := errors.Join(b.PublishCalls(t.Context(), []*call.Call{newCall("a", call.Ended), newCall("a", call.Progress)}, &bus.Message{Trace: aTrace}, &bus.Message{Trace: aTrace})...); err != nil {
				t.Fatal(err)
			}
			hold(channel, message, last(stream, "calls.>"))
			if err := errors.Join(b.PublishCalls(t.Context(), many(0))...); err != nil { // in batches
				t.Fatal(err)
			}
		default: // the same calls
			channel, message, stream = "calls", "call", "CALLS"
		}
		hold(channel, message, last(stream, strings.ToLower(stream)+".>"))
		if err := b.SetOutage(t.Context(), c, &bus.Outage{Reason: "401", Since: time.Now()}); err != nil {
			t.Fatal(err)
		}
		hold("outages", "outage", last("OUTAGES", "outages."+c.Name))
		payload("outage", last("OUTAGES", "outages."+c.Name).Data)
		if err := b.SetOutage(t.Context(), c, nil); err != nil {
			t.Fatal(err)
		}
		payload("outage", last("OUTAGES", "outages."+c.Name).Data)

		msgs := fetch(t, b, c, false, 2)
		if err := msgs[0].Schedule(t.Context(), time.Now().Add(time.Hour), 1); err != nil {
			t.Fatal(err)
		}
		hold("scheduled", "scheduled", last("REDRIVE", "redrive."+c.Name+".at.*"))
		if err := msgs[1].Schedule(t.Context(), time.Now(), 1); err != nil {
			t.Fatal(err)
		}
		again := fetch(t, b, c, true, 1)[0] // when its time has come
		hold("now", "due", last("REDRIVE", "redrive."+c.Name+".now"))
		if err := again.Bury(t.Context(), "no more", errors.New("no"), 2); err != nil {
			t.Fatal(err)
		}
		buried := last("DEAD", "dead."+c.Name)
		hold("dead", "dead", buried)
		if err := b.RedriveDead(t.Context(), buried.Sequence); err != nil {
			t.Fatal(err)
		}
		hold("now", "redriven", last("REDRIVE", "redrive."+c.Name+".now"))
	}
	for message, m := range doc.Components.Messages {
		for _, name := range slices.Sorted(maps.Keys(m.Headers.Properties)) {
			if !met[message][name] {
				t.Errorf("the header %s of %s is documented, but no message has it", name, message)
			}
		}
	}
}

// documentedCRM stands in the document for the consumers of all CRM sinks.
var documentedCRM = bus.CRM("hubspot-main")

// addressPattern is a channel's address with its parameters' words, or any token where there are none.
func addressPattern(doc asyncAPI, channel string) *regexp.Regexp {
	c := doc.Channels[channel]
	pattern := regexp.QuoteMeta(c.Address)
	for name, p := range c.Parameters {
		words := p.Enum
		if p.Ref != "" {
			words = doc.Components.Parameters[strings.TrimPrefix(p.Ref, "#/components/parameters/")].Enum
		}
		token := `[^.*> ]+`
		if len(words) > 0 {
			token = "(" + strings.Join(words, "|") + ")"
		}
		pattern = strings.ReplaceAll(pattern, `\{`+name+`\}`, token)
	}
	return regexp.MustCompile("^" + pattern + "$")
}

// TestCallIDsAreEscapedAsDocumented reads the tokens off the subjects of calls in the stream.
func TestCallIDsAreEscapedAsDocumented(t *testing.T) {
	t.Parallel()
	doc, _ := readAsyncAPI(t)
	s := bustest.StartServer(t)
	b := s.Connect(t)
	st, err := admin(t, s).Stream(t.Context(), "CALLS")
	if err != nil {
		t.Fatal(err)
	}
	token := func(id string) string {
		t.Helper()
		if err := b.PublishCalls(t.Context(), []*call.Call{newCall(id, call.Ended)})[0]; err != nil {
			t.Fatal(err)
		}
		m, err := st.GetLastMsgForSubject(t.Context(), "calls.>")
		if err != nil {
			t.Fatal(err)
		}
		return m.Subject[strings.LastIndex(m.Subject, ".")+1:]
	}
	if len(doc.Escaping.Examples) == 0 {
		t.Error("no examples")
	}
	for _, e := range doc.Escaping.Examples {
		if got := token(e.CallID); got != e.Token {
			t.Errorf("%q becomes %s, documented: %s", e.CallID, got, e.Token)
		}
	}
	if got := token(""); got != "%" {
		t.Errorf("an empty id becomes %s", got)
	}
	fits := strings.Repeat("a", doc.Escaping.Longest)
	if got := token(fits); got != fits {
		t.Errorf("an id of %d characters becomes %s", len(fits), got)
	}
	long := fits + "a"
	sum := sha256.Sum256([]byte(long))
	if got, end := token(long), doc.Escaping.CutMark+hex.EncodeToString(sum[:]); len(got) != doc.Escaping.Longest || !strings.HasSuffix(got, end) {
		t.Errorf("an id of %d characters becomes %s of %d, not one of %d that ends in %s", len(long), got, len(got), doc.Escaping.Longest, end)
	}
}

// TestConsumersAreAsDocumented holds the consumers to the words of the parameter.
func TestConsumersAreAsDocumented(t *testing.T) {
	t.Parallel()
	doc, _ := readAsyncAPI(t)
	names := []string{documentedCRM.Name}
	for _, c := range bus.Consumers {
		names = append(names, c.Name)
	}
	if d := cmp.Diff(slices.Sorted(slices.Values(names)), slices.Sorted(slices.Values(doc.Components.Parameters["consumer"].Enum))); d != "" {
		t.Errorf("the consumers, in code (-) and on paper (+):\n%s", d)
	}
}
