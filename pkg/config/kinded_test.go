package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onhook/onhook/pkg/config"
)

// shape stands for a struct whose keys depend on its kind.
type shape struct {
	Kind  string `yaml:"kind"`
	Color string `yaml:"color"`
	of    any
}

type circle struct {
	Radius int    `yaml:"radius"`
	Color  string `yaml:"color"`
}

type square struct {
	Side int `yaml:"side"`
}

func (s *shape) OfKind(kind string) (any, error) {
	s.Color = "black"
	switch kind {
	case "circle":
		s.of = &circle{Radius: 1}
	case "square":
		s.of = &square{Side: 2}
	default:
		return nil, fmt.Errorf("no such kind; there are circle and square")
	}
	return s.of, nil
}

func TestKinded(t *testing.T) {
	t.Parallel()
	f, err := config.Parse("f.yaml", []byte("crm:\n  a: {kind: circle, radius: 7}\n  b: {side: 3, color: red, kind: square}\n  c: {kind: square}\n  d: {kind: circle, color: blue}\n"))
	if err != nil {
		t.Fatal(err)
	}
	var shapes map[string]*shape
	if err := f.Section("crm", &shapes); err != nil {
		t.Fatal(err)
	}
	want := map[string]*shape{
		"a": {Kind: "circle", Color: "black", of: &circle{Radius: 7}},
		"b": {Kind: "square", Color: "red", of: &square{3}},
		"d": {Kind: "circle", Color: "blue", of: &circle{1, "blue"}},
		"c": {Kind: "square", Color: "black", of: &square{2}},
	}
	if d := cmp.Diff(want, shapes, cmp.AllowUnexported(shape{})); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if d := cmp.Diff([]string{"a", "b", "c", "d"}, f.Names("crm")); d != "" {
		t.Error(d)
	}
	if names := f.Names("nats"); names != nil {
		t.Errorf("%q", names)
	}
}

// TestKeepNeedsNoVariablesOfTheOthers: a process that runs one sink is given that one's secrets.
func TestKeepNeedsNoVariablesOfTheOthers(t *testing.T) {
	t.Parallel()
	f, err := config.Parse("f.yaml", []byte("log: {}\ncrm:\n  a: {kind: circle, radius: '${TEST_UNSET}'}\n  b: {kind: square, side: 3}\n"))
	if err != nil {
		t.Fatal(err)
	}
	var shapes map[string]*shape
	if err := f.Section("crm", &shapes); err == nil {
		t.Fatal("a variable that is not set was no error")
	}
	one, err := f.Keep("crm", "b")
	if err != nil {
		t.Fatal(err)
	}
	if err := one.Section("crm", &shapes); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]*shape{"b": {Kind: "square", Color: "black", of: &square{3}}}, shapes, cmp.AllowUnexported(shape{})); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if d := cmp.Diff([]string{"a", "b"}, f.Names("crm")); d != "" {
		t.Errorf("the file itself has changed:\n%s", d)
	}
	for key, want := range map[string]string{"zapier": `f.yaml: unknown key "zapier" in crm; there are a, b`, "bb": `did you mean "b"?`} {
		if _, err := f.Keep("crm", key); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := f.Keep("nats", "url"); err == nil || !strings.Contains(err.Error(), "there are none") {
		t.Errorf("%v", err)
	}
}

func TestKindedErrors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a: {kind: circle, side: 3}":     `f.yaml:3: unknown key "side" in crm.a; there are color, kind, radius`,
		"a: {kind: circle, raduis: 3}":   `did you mean "radius"?`,
		"a:\n    kind: cube\n    x: 1":   `f.yaml:4: crm.a.kind: no such kind`,
		"a:\n    color: red":             `f.yaml:3: crm.a: no such kind`,
		"a: {kind: [circle]}":            `f.yaml:3: crm.a.kind: want text, got a list`,
		"a: {kind: '${TEST_UNSET}'}":     `f.yaml:3: crm.a.kind: environment variable TEST_UNSET is not set`,
		"a: {kind: circle, radius: '?'}": `f.yaml:3: crm.a.radius: want a whole number`,
		"a: circle":                      `f.yaml:3: crm.a: want a mapping`,
	} {
		f, err := config.Parse("f.yaml", []byte("crm:\n  # shapes\n  "+text+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		var shapes map[string]*shape
		if err := f.Section("crm", &shapes); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
