package provider_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"slices"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/onhook/onhook/pkg/provider"
	"github.com/onhook/onhook/schemas"
)

type compiler struct {
	tb testing.TB
	c  *jsonschema.Compiler
}

func newCompiler(tb testing.TB) compiler {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	return compiler{tb, c}
}

func (c compiler) compile(file string) *jsonschema.Schema {
	c.tb.Helper()
	url := "https://github.com/onhook/onhook/schemas/" + file
	if err := c.c.AddResource(url, instance(c.tb, read(c.tb, file))); err != nil {
		c.tb.Fatal(err)
	}
	s, err := c.c.Compile(url)
	if err != nil {
		c.tb.Fatal(err)
	}
	return s
}

func examples(tb testing.TB, p provider.Provider) []string {
	tb.Helper()
	files := glob(tb, "provider/"+p.Name+"/*.example.json")
	if len(files) == 0 {
		tb.Fatalf("no examples of %s", p.Name)
	}
	return files
}

func largest(tb testing.TB, p provider.Provider) []byte {
	tb.Helper()
	return read(tb, slices.MaxFunc(examples(tb, p), func(x, y string) int { return len(read(tb, x)) - len(read(tb, y)) }))
}

func glob(tb testing.TB, pattern string) []string {
	tb.Helper()
	files, err := fs.Glob(schemas.FS, pattern)
	if err != nil {
		tb.Fatal(err)
	}
	return files
}

func read(tb testing.TB, file string) []byte {
	tb.Helper()
	b, err := fs.ReadFile(schemas.FS, file)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func instance(tb testing.TB, b []byte) any {
	tb.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

func pretty(tb testing.TB, v any) []byte {
	tb.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// value is what stands at path in body, or nil.
func value(tb testing.TB, body []byte, path []string) any {
	tb.Helper()
	v := instance(tb, body)
	for _, name := range path {
		o, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = o[name]
	}
	return v
}

// with is body with v at path.
func with(tb testing.TB, body []byte, path []string, v any) []byte {
	tb.Helper()
	root, ok := instance(tb, body).(map[string]any)
	if !ok {
		tb.Fatal("body is no object")
	}
	o := root
	for _, name := range path[:len(path)-1] {
		o = o[name].(map[string]any)
	}
	o[path[len(path)-1]] = v
	return pretty(tb, root)
}
