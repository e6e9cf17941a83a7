package charttest

import (
	"bytes"
	"encoding"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/pkg/provider"
	"github.com/onhook/onhook/pkg/service"
	"github.com/onhook/onhook/services/crm"
	"github.com/onhook/onhook/services/decoder"
	"github.com/onhook/onhook/services/ingress"
	"github.com/onhook/onhook/services/storage"
)

var update = flag.Bool("update", false, "write what the configuration's structs say into values.schema.json")

const (
	schemaFile  = chart + "/values.schema.json"
	exampleFile = "../onhook.example.yaml"
)

// sections are the structs behind the sections of onhook.yaml.
var sections = map[string]any{
	"admin":   service.AdminConfig{},
	"decoder": decoder.Config{},
	"ingress": ingress.Config{},
	"log":     service.LogConfig{},
	"nats":    bus.Config{},
	"ops": struct { // as in services/onhook, which keeps its own to itself
		Listen    string         `yaml:"listen"`
		Token     config.Secrets `yaml:"token"`
		TokenFile string         `yaml:"token_file"`
	}{},
	"sources": provider.Sources{},
	"storage": storage.Config{},
}

var sinkKinds = []string{"hubspot", "salesforce", "webhook"}

type node = map[string]any

// A variable alone: what must not stand in a ConfigMap.
const variable = `\$\{[A-Za-z_][A-Za-z0-9_]*\}`

// configSchema is the schema of onhook.yaml, made from the structs that it is decoded into. It is a little narrower than these:
// a number is not taken for text, as helm would round a long one, and a secret not in the clear.
func configSchema(t *testing.T) node {
	t.Helper()
	properties := node{"crm": sinkSchema(t)}
	for name, s := range sections {
		properties[name] = schemaOf(reflect.TypeOf(s))
	}
	properties["sources"].(node)["minProperties"] = 1
	properties["nats"].(node)["required"] = []any{"url"}
	of := func(section string) node { return properties[section].(node)["properties"].(node) }
	of("nats")["url"] = node{"type": "string", "minLength": 1}
	of("storage")["dsn"] = node{
		"type": []any{"string", "null"}, "pattern": "^(" + variable + "|postgres(ql)?://[^:@/]+:" + variable + "@.*)$",
		"description": "${NAME}, or postgres://USER:${NAME}@HOST/DATABASE: this becomes a ConfigMap",
	}
	properties["storage"].(node)["anyOf"] = []any{
		node{"required": []any{"dsn"}, "properties": node{"dsn": node{"type": "string"}}},
		node{"required": []any{"dsn_file"}, "properties": node{"dsn_file": node{"type": "string", "minLength": 1}}},
	}
	for _, s := range []string{"ingress", "admin", "ops"} { // the ports are taken from there
		of(s)["listen"] = node{"type": "string", "pattern": `^(\[::\]|0\.0\.0\.0)?:[0-9]+$`, "description": "\":8080\": on every address of the pod, or nothing reaches it"}
		properties[s].(node)["required"] = []any{"listen"}
	}
	return node{"type": "object", "additionalProperties": false, "properties": properties, "required": []any{"admin", "ingress", "nats", "ops", "sources", "storage"}}
}

// sinkSchema is that of section crm, where a sink's keys depend on its kind.
func sinkSchema(t *testing.T) node {
	t.Helper()
	var kinds []any
	for _, kind := range sinkKinds {
		var s crm.Sink
		further, err := s.OfKind(kind)
		if err != nil {
			t.Fatal(err)
		}
		keys := schemaOf(reflect.TypeOf(further).Elem())["properties"].(node)
		maps.Copy(keys, schemaOf(reflect.TypeFor[crm.Sink]())["properties"].(node))
		keys["kind"] = node{"const": kind}
		kinds = append(kinds, node{
			"if":   node{"properties": node{"kind": node{"const": kind}}},
			"then": node{"properties": keys, "additionalProperties": false},
		})
	}
	return node{
		"type":          []any{"object", "null"},
		"propertyNames": node{"pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"},
		"additionalProperties": node{
			"type": "object", "required": []any{"kind"},
			"properties": node{"kind": node{"enum": anys(sinkKinds)}},
			"allOf":      kinds,
		},
	}
}

// schemaOf is that of a type as package config decodes it. A key without a value keeps its default, and each value can be a
// variable, so both may stand everywhere.
func schemaOf(t reflect.Type) node {
	orVariable := func(kind, pattern string) node {
		pattern = "^(" + strings.TrimPrefix(pattern+"|", "|") + variable + ")$"
		return node{"type": []any{kind, "string", "null"}, "pattern": pattern}
	}
	text := func(pattern string) node {
		return node{"type": []any{"string", "null"}, "pattern": "^(" + pattern + "|" + variable + ")$"}
	}
	switch t {
	case reflect.TypeFor[config.Secret]():
		return node{"type": []any{"string", "null"}, "pattern": "^" + variable + "$", "description": "${NAME}: this becomes a ConfigMap"}
	case reflect.TypeFor[config.Secrets]():
		one := schemaOf(reflect.TypeFor[config.Secret]())
		return node{"anyOf": []any{one, node{"type": "array", "items": node{"type": "string", "pattern": one["pattern"]}}}, "description": one["description"]}
	case reflect.TypeFor[config.Size]():
		return orVariable("integer", `[0-9]+([KMGT]?B|[KMGT]iB)?`)
	case reflect.TypeFor[time.Duration]():
		return text(`0|[0-9]+d|([0-9]+d)?([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+`)
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return node{"type": []any{"string", "null"}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem())
	case reflect.String:
		return node{"type": []any{"string", "null"}}
	case reflect.Bool:
		return orVariable("boolean", "")
	case reflect.Int, reflect.Int64:
		return orVariable("integer", "")
	case reflect.Float64:
		return orVariable("number", "")
	case reflect.Slice:
		item := schemaOf(t.Elem())
		item["type"] = "string"
		return node{"type": []any{"array", "null"}, "items": item}
	case reflect.Map:
		return node{"type": []any{"object", "null"}, "additionalProperties": schemaOf(t.Elem())}
	case reflect.Struct:
		properties := node{}
		addKeys(t, properties)
		return node{"type": []any{"object", "null"}, "additionalProperties": false, "properties": properties}
	}
	panic(fmt.Sprintf("a %s in the configuration: say here what its schema is", t))
}

func addKeys(t reflect.Type, properties node) {
	for field := range t.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		switch {
		case options == "inline":
			addKeys(field.Type, properties)
		case name != "" && name != "-":
			properties[name] = schemaOf(field.Type)
		}
	}
}

func anys(words []string) []any {
	var all []any
	for _, w := range words {
		all = append(all, w)
	}
	return all
}

// TestSchemaIsTheConfiguration: `go test -run TestSchemaIsTheConfiguration -update .` puts it right.
func TestSchemaIsTheConfiguration(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	var whole node
	if err := json.Unmarshal(raw, &whole); err != nil {
		t.Fatal(err)
	}
	whole["definitions"].(node)["config"] = configSchema(t)
	var want bytes.Buffer
	enc := json.NewEncoder(&want)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(whole); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(schemaFile, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(strings.Split(string(raw), "\n"), strings.Split(want.String(), "\n")); d != "" {
		t.Errorf("%s is not what the configuration's structs say; run this test with -update. -is +should be:\n%s", schemaFile, d)
	}
}

func compile(t *testing.T) *jsonschema.Schema {
	t.Helper()
	s, err := jsonschema.NewCompiler().Compile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func readYAML(t *testing.T, data []byte) any {
	t.Helper()
	raw, err := yaml.YAMLToJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// example is the configuration with every key that there is.
func example(t *testing.T) node {
	t.Helper()
	raw, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	in := false
	for line := range strings.Lines(string(raw)) {
		if !strings.HasPrefix(line, " ") {
			in = strings.HasPrefix(line, "crm:")
		}
		if rest, ok := strings.CutPrefix(line, "  # "); in && ok {
			line = "  " + rest
		}
		text.WriteString(line)
	}
	all := readYAML(t, []byte(text.String())).(node)
	all["nats"].(node)["url"] = "nats://nats:4222"
	for _, s := range []string{"admin", "ingress", "ops"} { // where it is the loopback, which is of no use in a pod
		all[s].(node)["listen"] = ":8080"
	}
	all["storage"].(node)["dsn_file"] = "/run/secrets/database/dsn"
	return all
}

// TestSchemaTakesTheExample: every key of the example that we ship is taken, and beside each of them an unknown key and in
// place of it a wrong type are refused.
func TestSchemaTakesTheExample(t *testing.T) {
	t.Parallel()
	schema := compile(t)
	check := func(c node) error { return schema.Validate(node{"config": c}) }
	if err := check(example(t)); err != nil {
		t.Fatalf("the example: %v", err)
	}
	seen := 0
	var walk func(path []string)
	walk = func(path []string) {
		at := func() (node, node) { // a fresh example, and the mapping in it that path names
			root := example(t)
			m := root
			for _, key := range path {
				m = m[key].(node)
			}
			return root, m
		}
		_, here := at()
		free := map[string]bool{"fields": true, "owners": true, "dispositions": true, "contact_fields": true}
		open := len(path) == 1 && (path[0] == "sources" || path[0] == "crm") || len(path) > 0 && free[path[len(path)-1]]
		if !open {
			root, m := at()
			m["no_such_key"] = "1"
			if check(root) == nil {
				t.Errorf("%s: an unknown key is taken", strings.Join(path, "."))
			}
		}
		for _, key := range slices.Sorted(maps.Keys(here)) {
			seen++
			full := strings.Join(append(slices.Clone(path), key), ".")
			if _, ok := here[key].(node); ok {
				walk(append(slices.Clone(path), key))
				root, m := at()
				m[key] = []any{"x"}
				if check(root) == nil {
					t.Errorf("%s: a list is taken for a mapping", full)
				}
				continue
			}
			root, m := at()
			m[key] = node{"x": 1}
			if !free[key] && check(root) == nil {
				t.Errorf("%s: a mapping is taken for a value", full)
			}
		}
	}
	walk(nil)
	if seen < 100 {
		t.Errorf("looked at %d keys only", seen)
	}
}

func TestSchemaRefuses(t *testing.T) {
	t.Parallel()
	schema := compile(t)
	for _, c := range []struct{ values, why string }{
		{`config: {storage: {dsn: "postgres://onhook:hunter2@db/onhook"}}`, "a password in the clear"},
		{`config: {sources: {a: {provider: altur, secrets: [hunter2]}}}`, "a secret in the clear"},
		{`config: {sources: {a: {provider: cllr, token: hunter2}}}`, "a token in the clear"},
		{`config: {sources: {a: {provider: cllr, token: "x${TOKEN}"}}}`, "half a token in the clear"},
		{`config: {ops: {listen: ":8090", token: hunter2}}`, "the operator's token in the clear"},
		{`config: {crm: {a: {kind: webhook, url: "https://hooks.example.com/hunter2"}}}`, "an address that is a secret"},
		{`config: {crm: {a: {kind: hubspot, token: [hunter2]}}}`, "an account's token in the clear"},
		{`config: {storage: {dsn: "sqlite:/tmp/x", dsn_file: null}}`, "SQLite"},
		{`config: {storage: {dsn_file: null}}`, "no database"},
		{`config: {nats: {url: ""}}`, "no broker"},
		{`config: {sources: {}}`, "no source"},
		{`config: {ingress: {listen: "8080"}}`, "an address without a port"},
		{`config: {admin: {listen: "127.0.0.1:8081"}}`, "an address that probes do not reach"},
		{`config: {ingress: {listen: ":8080", ack_budget: 8}}`, "a duration without a unit"},
		{`config: {ingress: {listen: ":8080", max_body: 8 MB}}`, "a size that is none"},
		{`config: {crm: {a: {kind: hubspot, url_file: /x}}}`, "a webhook's key for HubSpot"},
		{`config: {crm: {a: {when: "true"}}}`, "a sink without a kind"},
		{`config: {crm: {a: {kind: pipedrive}}}`, "a kind that there is not"},
		{`config: {crm: {a-: {kind: webhook}}}`, "a name that no object can have"},
		{`config: {crm: {a: {kind: hubspot, owners: {"1": 12345678901234567890}}}}`, "a number that would be rounded"},
		{`ingres: {}`, "an unknown value"},
		{`ingress: {replicas: 2}`, "an unknown value of a service"},
		{`ingress: {scaling: {min: 0}}`, "no ingress"},
		{`ingress: {preStopSeconds: 0}`, "an ingress that stops at once"},
		{`scaling: {workers: lag}`, "a way of scaling that there is not"},
		{`expose: {ingress: {enabled: true}}`, "an Ingress without a host"},
		{`storage: {secretEnv: {PASSWORD: hunter2}}`, "a secret as a value"},
	} {
		values := defaultValues(t)
		overlay(values, readYAML(t, []byte("config: {sources: {s: {provider: altur, secrets: ['${S}']}}, nats: {url: 'nats://n:4222'}}")).(node))
		if err := schema.Validate(values); err != nil {
			t.Fatal(err)
		}
		overlay(values, readYAML(t, []byte(c.values)).(node))
		if schema.Validate(values) == nil {
			t.Errorf("%s is taken: %s", c.why, c.values)
		}
	}
}

func defaultValues(t *testing.T) node {
	t.Helper()
	raw, err := os.ReadFile(chart + "/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return readYAML(t, raw).(node)
}

// overlay puts values over others, as helm does: mappings are put together, a null takes a value away, and an empty mapping at
// sources, which has nothing to add, empties it.
func overlay(under, over node) {
	for key, v := range over {
		m, ok := v.(node)
		below, both := under[key].(node)
		switch {
		case v == nil:
			delete(under, key)
		case ok && both && len(m) > 0:
			overlay(below, m)
		default:
			under[key] = v
		}
	}
}
