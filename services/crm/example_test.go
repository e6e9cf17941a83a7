package crm

import (
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/onhook/onhook/pkg/config"
)

const example = "../../deploy/onhook.example.yaml"

// TestExampleIsRead reads section crm of the file that we ship: as it is, and with its comments taken for what they show.
func TestExampleIsRead(t *testing.T) {
	for _, name := range []string{"ALTUR_SECRET", "SYNTHFLOW_SECRET", "CLLR_TOKEN"} {
		t.Setenv(name, "a")
	}
	t.Setenv("ZAPIER_URL", "https://example.com")
	t.Setenv("ZAPIER_SECRET", "whsec_"+strings.Repeat("A", 32))
	for _, name := range []string{"HUBSPOT_TOKEN", "SALESFORCE_CLIENT_ID", "SALESFORCE_CLIENT_SECRET"} {
		t.Setenv(name, "a")
	}
	raw, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	read := func(text string) Config {
		t.Helper()
		f, err := config.Parse("onhook.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		cfg := Config{}
		if err := f.Section("crm", &cfg); err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	if cfg := read(string(raw)); len(cfg) != 0 {
		t.Errorf("the example has sinks: %q", cfg.Names())
	}
	shown := uncomment(string(raw))
	for name, s := range read(shown) {
		k, err := kindOf(s.Kind)
		if err != nil {
			t.Fatal(err)
		}
		want := defaultSink(k)
		got := *s
		if len(got.Extracted) == 0 {
			got.Extracted = nil
		}
		got.client, got.filters = nil, filters{}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %+v, the default is %+v", name, got, want)
		}
	}
	var file struct {
		CRM map[string]map[string]any `yaml:"crm"`
	}
	if err := yaml.Unmarshal([]byte(shown), &file); err != nil {
		t.Fatal(err)
	}
	const first = "zapier"
	common := keysOf(reflect.TypeFor[Sink]())
	met := map[string]bool{}
	for name, sink := range file.CRM {
		k, err := kindOf(sink["kind"].(string))
		if err != nil {
			t.Fatal(err)
		}
		met[k.name] = true
		want := keysOf(reflect.TypeOf(k.config()).Elem())
		for key := range common {
			delete(want, key) // shown of one sink only
		}
		want["kind"] = true
		if name == first {
			maps.Copy(want, common)
		}
		if d := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(sink))); d != "" {
			t.Errorf("keys of the structs (-) and of the example's %s (+):\n%s", name, d)
		}
	}
	for _, k := range kinds {
		if !met[k.name] {
			t.Errorf("the example shows no sink of kind %s", k.name)
		}
	}
}

// uncomment takes the comment signs away in section crm.
func uncomment(text string) string {
	var b strings.Builder
	in := false
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, " ") {
			in = strings.HasPrefix(line, "crm:")
		}
		if rest, ok := strings.CutPrefix(line, "  # "); in && ok {
			line = "  " + rest
		}
		b.WriteString(line)
	}
	return b.String()
}

func keysOf(t reflect.Type) map[string]bool {
	keys := map[string]bool{}
	for field := range t.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		switch {
		case options == "inline":
			maps.Copy(keys, keysOf(field.Type))
		case name != "":
			keys[name] = true
		}
	}
	return keys
}

func TestKindsHaveNamesInOrderAndDefaultsWithinBounds(t *testing.T) {
	t.Parallel()
	var names []string
	for _, k := range kinds {
		names = append(names, k.name)
		if k.batch < 1 || k.batch > k.most || k.concurrency < 1 {
			t.Errorf("%+v", k)
		}
	}
	if !slices.IsSorted(names) || len(slices.Compact(names)) != len(kinds) {
		t.Errorf("%q", names)
	}
}
