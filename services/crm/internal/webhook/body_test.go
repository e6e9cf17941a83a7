package webhook

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/schemas"
	"github.com/onhook/onhook/services/crm/internal/crmtest"
	"github.com/onhook/onhook/services/crm/internal/sink"
)

// goldens are the calls that the providers' examples become: all that a call can look like.
func goldens(t testing.TB) map[string]*call.Call {
	t.Helper()
	all := map[string]*call.Call{}
	for _, p := range []string{"altur", "cllr", "synthflow"} {
		entries, err := schemas.FS.ReadDir("provider/" + p)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !strings.HasSuffix(e.Name(), ".call.json") {
				continue
			}
			raw, err := schemas.FS.ReadFile("provider/" + p + "/" + e.Name())
			if err != nil {
				t.Fatal(err)
			}
			var c call.Call
			if err := json.Unmarshal(raw, &c); err != nil {
				t.Fatal(err)
			}
			all[p+"/"+e.Name()] = &c
		}
	}
	return all
}

func TestThinNamesNobodyAndFullHoldsTheCall(t *testing.T) {
	t.Parallel()
	item := crmtest.Calls(1)[0]
	item.Fields = map[string]any{"amount": 12.5, "note": "<b>", "none": nil}
	thin, err := writers[BodyThin](item)
	if err != nil {
		t.Fatal(err)
	}
	for _, personal := range []string{"+5255", "Xochitl", "pay"} {
		if bytes.Contains(thin, []byte(personal)) {
			t.Errorf("a thin body holds %q: %s", personal, thin)
		}
	}
	var e event
	full, err := writers[BodyFull](item)
	if err == nil {
		err = json.Unmarshal(full, &e)
	}
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(item.Call, e.Data.Call); d != "" || e.Type != "call.ended" || !e.Timestamp.Equal(item.Call.EndedAt.Time) || e.Data.Fields["note"] != "<b>" {
		t.Errorf("%s\n%s", full, d)
	}
	if !bytes.Contains(full, []byte(`"none":null`)) {
		t.Errorf("a field without a value is not said: %s", full)
	}
}

func TestABodyIsTheSameAtEveryAttempt(t *testing.T) {
	t.Parallel()
	for name, c := range goldens(t) {
		for _, body := range bodies {
			one, err := writers[body](sink.Item{Call: c, Fields: map[string]any{"a": 1, "b": 2}})
			if err != nil {
				t.Fatal(err)
			}
			if again, _ := writers[body](sink.Item{Call: c, Fields: map[string]any{"b": 2, "a": 1}}); !bytes.Equal(one, again) {
				t.Errorf("%s as %s differs", name, body)
			}
		}
	}
}

// TestVCon holds every example to the draft's rules, as testdata has them.
func TestVCon(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join("testdata", "vcon-core-03.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	rules, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("vcon.json", rules); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("vcon.json")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	ids := map[string]string{}
	for name, c := range goldens(t) {
		if c.ReceivedAt == nil {
			c.ReceivedAt = call.At(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
		}
		for _, without := range []bool{false, true} {
			shown := *c
			if without {
				shown.Transcript = call.Transcript{Form: c.Transcript.Form}
			}
			body, err := writers[BodyVCon](sink.Item{Call: &shown})
			if err != nil {
				t.Fatal(err)
			}
			v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(v); err != nil {
				t.Errorf("%s: %v\n%s", name, err, body)
			}
			var got vcon
			if err := json.Unmarshal(body, &got); err != nil {
				t.Fatal(err)
			}
			for _, d := range got.Dialog {
				seen[d.Type+" "+d.Disposition] = true
			}
			for _, a := range got.Analysis {
				seen[a.Type] = true
				if a.Encoding == "json" && !json.Valid([]byte(a.Body)) {
					t.Errorf("%s: the body of a %s is not JSON", name, a.Type)
				}
			}
			identity := string(c.Event) + " " + c.Key
			if was, met := ids[got.UUID.String()]; met && was != identity {
				t.Errorf("%s and %s have one uuid", identity, was)
			}
			ids[got.UUID.String()] = identity
			if got.UUID.Version() != 8 || got.UUID.Variant().String() != "RFC4122" {
				t.Errorf("%s: uuid %s", name, got.UUID)
			}
		}
	}
	for _, want := range []string{"text ", "recording ", "incomplete no-answer", "incomplete busy", "transcript", "summary", "report"} {
		if !seen[want] {
			t.Errorf("no example has %q; there are %v", want, seen)
		}
	}
}

// A vCon once went out without any of its fields, and nobody was told, when one of them was no number of JSON.
func TestAFieldThatJSONCannotHoldIsSaidWhateverTheBody(t *testing.T) {
	t.Parallel()
	item := crmtest.Calls(1)[0]
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		item.Fields = map[string]any{"ratio": v, "fine": 1.0}
		for _, body := range bodies {
			if got, err := writers[body](item); err == nil {
				t.Errorf("%s with %v is written: %s", body, v, got)
			}
		}
	}
}
