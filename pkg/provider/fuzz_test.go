package provider_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"iter"
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/provider"
	"github.com/onhook/onhook/pkg/retry"
)

// seed adds every example of every provider; which is the provider's place in the table.
func seed(f *testing.F, add func(which uint8, body []byte)) {
	for i, p := range provider.All() {
		for _, file := range examples(f, p) {
			add(uint8(i), read(f, file))
		}
	}
	add(0, []byte(`{"event_type":"on_call_end","id":"\ud800","id":"é\u0000","started_at":"9999-12-31T23:59:59-12:00","x":{"\udc00":1e999}}`))
	add(1, []byte("\xef\xbb\xbf{\"callId\":-0.0e1,\"callerDetails\":{\"phoneNumber\":\"+49\xff 151\"}} "))
	add(2, []byte(`{"call":{"call_id":"1","status":"completed","start_time":"9999-12-31T23:59:59Z","duration":45}}`))
	add(2, []byte(`{"call":{"call_id":"1","start_time":"1e12"},"executed_actions":{"":{"return_value":"{\"\\ud800\":[]}"}},"collected_variables":{"a":{"b":{"value":1}}}}`))
}

func FuzzDecode(f *testing.F) {
	schema := newCompiler(f).compile("call.schema.json")
	seed(f, func(which uint8, body []byte) { f.Add(which, body) })
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		decodesOrSaysWhy(t, provider.All()[int(which)%len(provider.Names())], schema, body)
	})
}

// TestAnyValueAnywhere puts each of some hostile values in the place of each value of the examples.
func TestAnyValueAnywhere(t *testing.T) {
	t.Parallel()
	hostile := []any{
		nil, true, -1, json.Number("1e999"), json.Number("0.0005"), "", " ", "true", "null", "-5", "NaN", "0", "\x00", "1e12", "{\"a\":1}", "[1]", "9999-12-31T23:59:59Z",
		[]any{}, []any{nil, true, 1, "x", []any{1}, map[string]any{"": nil}}, map[string]any{}, map[string]any{"value": []any{}, "collected": 1},
	}
	schema := newCompiler(t).compile("call.schema.json")
	for _, p := range provider.All() {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			done := make(map[string]bool) // paths; an example more rarely shows more
			for _, file := range examples(t, p) {
				root := instance(t, read(t, file))
				for place := range places(root) {
					if done[place.path] {
						continue
					}
					done[place.path] = true
					before := place.get()
					for _, v := range hostile {
						place.set(v)
						body, err := json.Marshal(root)
						if err != nil {
							t.Fatal(err)
						}
						decodesOrSaysWhy(t, p, schema, body)
					}
					place.set(before)
				}
			}
		})
	}
}

// decodesOrSaysWhy holds the decoder of p to its promise: a call that is valid and that a worker reads back from JSON as
// it was, or an error that says what to do with the delivery.
func decodesOrSaysWhy(t *testing.T, p provider.Provider, schema *jsonschema.Schema, body []byte) {
	t.Helper()
	if p.Refuse != nil && p.Refuse(body) != nil {
		return
	}
	c, err := p.Call("fuzz", body)
	if err != nil {
		if kind, _ := retry.Classify(err); kind != retry.Dead && !errors.Is(err, provider.ErrIgnored) {
			t.Fatalf("neither Never nor ErrIgnored: %v\n%s", err, body)
		}
		return
	}
	first, err := json.Marshal(c)
	if err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
	if err := schema.Validate(instance(t, first)); err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
	var again call.Call
	if err := json.Unmarshal(first, &again); err != nil {
		t.Fatalf("cannot be read back: %v\n%s\n%s", err, first, body)
	}
	if err := again.Validate(); err != nil {
		t.Fatalf("read back, it breaks the schema: %v\n%s", err, body)
	}
	if second, err := json.Marshal(again); err != nil || !bytes.Equal(first, second) {
		t.Fatalf("not the same after a round trip (%v):\n%s\n%s", err, first, second)
	}
}

type place struct {
	path string
	get  func() any
	set  func(any)
}

// places are the values within v.
func places(v any) iter.Seq[place] {
	return func(yield func(place) bool) { walk("", v, yield) }
}

func walk(path string, v any, yield func(place) bool) bool {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			path := path + "." + name
			if !walk(path, v[name], yield) || !yield(place{path, func() any { return v[name] }, func(x any) { v[name] = x }}) {
				return false
			}
		}
	case []any:
		path += "[]"
		for i := range v {
			if !walk(path, v[i], yield) || !yield(place{path, func() any { return v[i] }, func(x any) { v[i] = x }}) {
				return false
			}
		}
	}
	return true
}

func FuzzVerify(f *testing.F) {
	unknown := rand.Text()
	seed(f, func(which uint8, body []byte) {
		f.Add(which, body, "c2VjcmV0", "CJUgjuSspn5zWfpDYfNDLEIhyBrqzHWT6nmFs5rwJy4=")
	})
	f.Fuzz(func(t *testing.T, which uint8, body []byte, secret, signature string) {
		p := provider.All()[int(which)%len(provider.Names())]
		if p.Verify == nil {
			return
		}
		for _, scheme := range p.Schemes {
			header := p.Sign(body, secret, scheme)
			if header == nil {
				header = p.Sign(largest(t, p), "c2VjcmV0", scheme) // for the header's name
			} else if _, ok := p.Verify(header, body, []string{secret}, scheme); !ok {
				t.Fatalf("%s: own signature not verified", scheme)
			}
			if _, ok := p.Verify(header, body, []string{unknown}, scheme); ok {
				t.Fatalf("%s: verified under another secret", scheme)
			}
			forged := make(http.Header)
			for name := range maps.Keys(header) {
				forged.Set(name, signature)
			}
			if _, ok := p.Verify(forged, body, []string{unknown}, scheme); ok {
				t.Fatalf("%s: forged", scheme)
			}
		}
	})
}
