package onhook

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
	"github.com/onhook/onhook/pkg/provider"
	"github.com/onhook/onhook/pkg/service"
)

const example = "../../deploy/onhook.example.yaml"

// TestExampleIsRead reads the file that we ship as `onhook run` does: with its sources, it changes no default.
func TestExampleIsRead(t *testing.T) {
	t.Setenv("ALTUR_SECRET", "a")
	t.Setenv("SYNTHFLOW_SECRET", "s")
	t.Setenv("CLLR_TOKEN", "c")
	got, err := checkFile(example)
	if err != nil {
		t.Fatal(err)
	}
	want, err := loadSettings(config.Empty())
	if err != nil {
		t.Fatal(err)
	}
	if got.nats != want.nats || got.ingress != want.ingress || got.decoder != want.decoder || got.storage != want.storage {
		t.Errorf("the example is %+v, the defaults are %+v", got, want)
	}
	f, err := config.Load(example)
	if err != nil {
		t.Fatal(err)
	}
	var logging service.LogConfig
	var admin service.AdminConfig
	if err := f.Section("log", &logging); err != nil || logging != service.DefaultLogConfig() {
		t.Errorf("section log is %+v: %v", logging, err)
	}
	if err := f.Section("admin", &admin); err != nil || admin != service.DefaultAdminConfig() {
		t.Errorf("section admin is %+v: %v", admin, err)
	}
	var operators opsConfig
	if err := f.Section("ops", &operators); err != nil || !reflect.DeepEqual(operators, defaultOpsConfig()) {
		t.Errorf("section ops is %+v: %v", operators, err)
	}
}

// TestComposeIsRead reads the file of deploy/compose.yaml, with secrets where its containers have them.
func TestComposeIsRead(t *testing.T) {
	t.Setenv("POSTGRES_PASSWORD", "p")
	raw, err := os.ReadFile("../../deploy/compose/onhook.yaml")
	if err != nil {
		t.Fatal(err)
	}
	secrets := t.TempDir() + "/"
	for _, name := range []string{"altur_secret", "cllr_token", "ops_token", "synthflow_secret"} {
		if err := os.WriteFile(secrets+name, []byte("secret\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := secrets + "onhook.yaml"
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(raw), "/run/secrets/", secrets)), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := checkFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.sources) != len(provider.All()) || s.nats.Replicas != 3 {
		t.Errorf("%d sources, %d replicas", len(s.sources), s.nats.Replicas)
	}
}

// TestExampleHasEveryKey holds the keys in the example and those of the config structs together.
func TestExampleHasEveryKey(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	var file map[string]map[string]any
	if err := yaml.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for section, content := range file {
		got[section] = slices.Sorted(maps.Keys(content))
	}
	keys := map[string]bool{}
	for _, source := range file["sources"] {
		for key := range source.(map[string]any) {
			keys[key] = true
		}
	}
	got["sources"] = slices.Sorted(maps.Keys(keys))

	s := settings{}
	want := map[string][]string{}
	for section, v := range map[string]any{
		"admin": service.AdminConfig{}, "decoder": s.decoder, "ingress": s.ingress, "log": service.LogConfig{},
		"nats": s.nats, "ops": opsConfig{}, "sources": provider.Source{}, "storage": s.storage,
	} {
		want[section] = slices.Sorted(slices.Values(yamlKeys(reflect.TypeOf(v))))
	}
	want["crm"] = nil // in comments, as its sinks want secrets; services/crm holds those to its structs
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("keys of the structs (-) and of the example (+):\n%s", d)
	}
}

func yamlKeys(t reflect.Type) []string {
	var keys []string
	for field := range t.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		switch {
		case options == "inline":
			keys = append(keys, yamlKeys(field.Type)...)
		case name != "":
			keys = append(keys, name)
		}
	}
	return keys
}
