package salesforce

import (
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/schemas"
)

var update = flag.Bool("update", false, "write the golden Tasks anew")

// TestGoldens holds the mapping: what each provider's calls are as Tasks, with everything shown that can be.
func TestGoldens(t *testing.T) {
	f := setup(t, func(c *Config) {
		c.Transcript, c.RecordingLink = true, true
		c.Extracted = []string{"Payment Amount", "Payment Date", "promise", "name", "email", "interested"}
		c.Owners = map[string]string{"asst_1": "005000000000001AAA"}
	})
	schema, err := f.known(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	paths, err := fs.Glob(schemas.FS, "provider/*/*.call.json")
	if err != nil || len(paths) < 10 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		data, err := schemas.FS.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var c call.Call
		if err := json.Unmarshal(data, &c); err != nil {
			t.Fatal(path, err)
		}
		fields, err := f.task(&c, nil, schema)
		if err != nil {
			t.Fatal(path, err)
		}
		got, err := json.MarshalIndent(fields, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", filepath.Base(filepath.Dir(path))+"."+strings.TrimSuffix(filepath.Base(path), ".call.json")+".task.json")
		if *update {
			if err := os.WriteFile(golden, append(got, '\n'), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.TrimSpace(string(want)), string(got)); diff != "" {
			t.Errorf("%s, run with -update and read what changes: -want +got:\n%s", path, diff)
		}
		if out := f.deliver(retry.Done, &c); out[0].VendorID == "" {
			t.Errorf("%s: %+v", path, out)
		}
	}
}

// An evening call in Mexico is on the next day in UTC.
func TestActivityDateIsTheDayOfTheOrg(t *testing.T) {
	for _, test := range []struct{ zone, want string }{
		{"", "2026-03-01"}, {"America/Mexico_City", "2026-03-01"}, {"UTC", "2026-03-02"}, {"Asia/Tokyo", "2026-03-02"}, {"Pacific/Kiritimati", "2026-03-02"},
	} {
		t.Run(test.zone, func(t *testing.T) {
			f := setup(t, func(c *Config) { c.Timezone = test.zone })
			at := call.At(time.Date(2026, 3, 2, 2, 30, 0, 0, time.UTC))
			f.deliver(retry.Done,
				newCall("started", func(c *call.Call) { c.StartedAt = at }),
				newCall("ended", func(c *call.Call) { c.StartedAt, c.EndedAt = nil, at }),
				newCall("received", func(c *call.Call) { c.StartedAt, c.ReceivedAt = nil, at }),
				newCall("never", func(c *call.Call) { c.StartedAt = nil }))
			for key, task := range f.tasks() {
				if key == "altur:mx:never" {
					if task["ActivityDate"] != nil {
						t.Errorf("a day was invented: %v", task)
					}
					continue
				}
				if task["ActivityDate"] != test.want {
					t.Errorf("%s: %v, want %s", key, task["ActivityDate"], test.want)
				}
			}
		})
	}
}

// full is a call with everything that must not be shown unasked.
func full(id string) *call.Call {
	return newCall(id, with(zoe), func(c *call.Call) {
		c.Transcript = call.Transcript{Form: call.TranscriptTurns, Text: "customer: my card is SPOKEN", Turns: []call.Turn{{Role: call.RoleCustomer, Text: "my card is SPOKEN"}}, URI: "https://t.example/SPOKEN"}
		c.Recording = &call.Recording{URI: "https://r.example/RECORDED", Access: call.AccessPublic}
		c.Extracted = map[string]json.RawMessage{"shown": json.RawMessage(`"SHOWN"`), "hidden": json.RawMessage(`"HIDDEN"`)}
		c.Extensions = map[string]json.RawMessage{"x": json.RawMessage(`"HIDDEN"`)}
		c.Customer = &call.Customer{Name: "Zoë", Context: "HIDDEN", Attributes: map[string]json.RawMessage{"x": json.RawMessage(`"HIDDEN"`)}}
	})
}

func TestWhatSalesforceMaySee(t *testing.T) {
	for _, test := range []struct {
		name   string
		config func(*Config)
		seen   []string
	}{
		{"by default", func(*Config) {}, nil},
		{"transcript", func(c *Config) { c.Transcript = true }, []string{"SPOKEN"}},
		{"recording", func(c *Config) { c.RecordingLink = true }, []string{"RECORDED"}},
		{"extracted", func(c *Config) { c.Extracted = []string{"shown", "absent"} }, []string{"SHOWN"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := setup(t, test.config, func(c *Config) { c.CreateMissing, c.MatchExisting = createLead, true })
			f.deliver(retry.Done, full("a"))
			for _, word := range []string{"SPOKEN", "RECORDED", "SHOWN", "HIDDEN"} {
				want := strings.Contains(strings.Join(test.seen, " "), word)
				var got bool
				for _, r := range f.org.Requests() {
					got = got || strings.Contains(r.Body, word)
				}
				if got != want {
					t.Errorf("%s was sent: %t, want %t", word, got, want)
				}
			}
		})
	}
}

// "*" was taken for the name of a key, so that nothing was written.
func TestAllExtractedIsWrittenNotTheKeyCalledStar(t *testing.T) {
	f := setup(t, func(c *Config) { c.Extracted = []string{"*"} })
	f.deliver(retry.Done, newCall("a", func(c *call.Call) {
		c.Extracted = map[string]json.RawMessage{"b": json.RawMessage(`2`), "c": json.RawMessage(`{"x": [1]}`), "a": json.RawMessage(`"one"`)}
	}))
	if text, _ := f.tasks()["altur:mx:a"]["Description"].(string); !strings.Contains(text, "a: one\nb: 2\nc: {\"x\":[1]}") {
		t.Errorf("Description %q", text)
	}
}

func TestTextsAreCutWhereSalesforceEnds(t *testing.T) {
	f := setup(t, func(c *Config) { c.Transcript = true })
	f.deliver(retry.Done, newCall("a", func(c *call.Call) {
		c.Agent.Name = strings.Repeat("😀", 200)
		c.Analysis = &call.Analysis{Summary: "nul\x00 and bell\a", Outcome: strings.Repeat("é", 300)}
		c.Transcript = call.Transcript{Form: call.TranscriptText, Text: strings.Repeat("wörter 😀 ", 10_000)}
	}))
	task := f.tasks()["altur:mx:a"]
	text, _ := task["Description"].(string)
	if n := units(text); n > maxDescription || n < maxDescription-2 || !strings.HasSuffix(text, "truncated") || !strings.HasPrefix(text, "nul and bell\n") {
		t.Errorf("%d units, %.40q … %q", n, text, text[len(text)-20:])
	}
	if n := units(task["Subject"].(string)); n > 255 || n < 254 {
		t.Errorf("a subject of %d units", n)
	}
	if n := units(task["CallDisposition"].(string)); n != 255 {
		t.Errorf("a result of %d units", n)
	}
}
