package call_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/schemas"
)

// schema is as much of JSON Schema as call.schema.json uses.
type schema struct {
	Ref         string             `json:"$ref"`
	Type        string             `json:"type"`
	Title       string             `json:"title"`
	Description string             `json:"description"`
	Properties  map[string]*schema `json:"properties"`
	Required    []string           `json:"required"`
	Items       *schema            `json:"items"`
	Additional  json.RawMessage    `json:"additionalProperties"`
	Enum        []string           `json:"enum"`
	Const       string             `json:"const"`
	Format      string             `json:"format"`
	Defs        map[string]*schema `json:"$defs"`
}

// TestSchemaDescribesTheGoTypes holds call.schema.json and Call together: every field is a property and every property
// a field, with the same type, the same words, and required exactly where Go does not omit it.
func TestSchemaDescribesTheGoTypes(t *testing.T) {
	t.Parallel()
	raw, err := schemas.FS.ReadFile("call.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var root schema
	if err := json.Unmarshal(raw, &root); err != nil {
		t.Fatal(err)
	}
	h := holder{t: t, defs: root.Defs, enumsMet: make(map[reflect.Type]bool)}
	h.object("$", &root, reflect.TypeFor[call.Call]())
	for enum := range enums {
		if !h.enumsMet[enum] {
			t.Errorf("no property has the words of %s", enum)
		}
	}
	if got := root.Properties["schema"].Const; got != call.Schema {
		t.Errorf("the schema is of %q, Go of %q", got, call.Schema)
	}
}

var enums = map[reflect.Type][]string{
	reflect.TypeFor[call.AnsweredBy]():     words(call.AnsweredBys),
	reflect.TypeFor[call.Access]():         words(call.Accesses),
	reflect.TypeFor[call.Auth]():           words(call.Auths),
	reflect.TypeFor[call.Direction]():      words(call.Directions),
	reflect.TypeFor[call.EndReason]():      words(call.EndReasons),
	reflect.TypeFor[call.Event]():          words(call.Events),
	reflect.TypeFor[call.Role]():           words(call.Roles),
	reflect.TypeFor[call.Status]():         words(call.Statuses),
	reflect.TypeFor[call.TranscriptForm](): words(call.TranscriptForms),
	reflect.TypeFor[call.Verdict]():        words(call.Verdicts),
}

func words[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, w := range list {
		out[i] = string(w)
	}
	return out
}

type holder struct {
	t        *testing.T
	defs     map[string]*schema
	enumsMet map[reflect.Type]bool
}

func (h holder) object(path string, s *schema, typ reflect.Type) {
	if s.Type != "object" || string(s.Additional) != "false" {
		h.t.Errorf("%s: want an object that allows no other properties", path)
	}
	names, required := make(map[string]bool), []string{}
	for field := range fields(typ) {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			h.t.Errorf("%s: %s.%s has no name in JSON", path, typ, field.Name)
			continue
		}
		names[name] = true
		if options != "omitempty" {
			required = append(required, name)
		}
		prop, ok := s.Properties[name]
		if !ok {
			h.t.Errorf("%s.%s: in Go, not in the schema", path, name)
			continue
		}
		h.value(path+"."+name, prop, field.Type)
	}
	for name := range maps.Keys(s.Properties) {
		if !names[name] {
			h.t.Errorf("%s.%s: in the schema, not in Go", path, name)
		}
	}
	got := slices.Clone(s.Required)
	slices.Sort(got)
	slices.Sort(required)
	if !slices.Equal(got, required) {
		h.t.Errorf("%s: required are %q, in Go %q", path, got, required)
	}
}

func (h holder) value(path string, s *schema, typ reflect.Type) {
	if s.Title == "" || s.Description == "" {
		h.t.Errorf("%s: no title or description", path)
	}
	if s.Ref != "" {
		def, ok := h.defs[strings.TrimPrefix(s.Ref, "#/$defs/")]
		if !ok {
			h.t.Errorf("%s: refers to %s, which is not there", path, s.Ref)
			return
		}
		s = def
	}
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	want := ""
	switch {
	case typ == reflect.TypeFor[json.RawMessage]():
	case typ == reflect.TypeFor[call.Time]():
		want = "string"
		if s.Format != "date-time" {
			h.t.Errorf("%s: format %q, want date-time", path, s.Format)
		}
	case enums[typ] != nil:
		want = "string"
		h.enumsMet[typ] = true
		if diff := cmp.Diff(enums[typ], s.Enum); diff != "" {
			h.t.Errorf("%s: enum (-Go +schema):\n%s", path, diff)
		}
	case typ.Kind() == reflect.Struct:
		want = "object"
		h.object(path, s, typ)
	case typ.Kind() == reflect.Slice:
		want = "array"
		if s.Items == nil {
			h.t.Errorf("%s: no items", path)
			break
		}
		h.value(path+"[]", s.Items, typ.Elem())
	case typ.Kind() == reflect.Map:
		want = "object"
		if string(s.Additional) == "" || string(s.Additional) == "false" {
			h.t.Errorf("%s: want a map", path)
		}
	default:
		want = map[reflect.Kind]string{
			reflect.String: "string", reflect.Bool: "boolean", reflect.Int: "integer", reflect.Int64: "integer", reflect.Float64: "number",
		}[typ.Kind()]
		if want == "" {
			want = fmt.Sprintf("nothing for %s", typ)
		}
	}
	if s.Type != want {
		h.t.Errorf("%s: type %q, want %q", path, s.Type, want)
	}
}

func fields(typ reflect.Type) func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range typ.NumField() {
			if !yield(typ.Field(i)) {
				return
			}
		}
	}
}
