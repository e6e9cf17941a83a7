package onhook

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/onhook/onhook/schemas"
)

// paper is openapi.yaml, and which of its answers have been seen.
type paper struct {
	doc      map[string]any
	compiler *jsonschema.Compiler
	seen     map[string]bool // as key writes them
}

const paperURL = "https://github.com/onhook/onhook/schemas/openapi.yaml"

func readPaper(t *testing.T) *paper {
	t.Helper()
	p := &paper{compiler: jsonschema.NewCompiler(), seen: map[string]bool{}}
	p.compiler.DefaultDraft(jsonschema.Draft2020)
	for name, url := range map[string]string{"openapi.yaml": paperURL, "call.schema.json": "https://github.com/onhook/onhook/schemas/call.schema.json"} {
		raw, err := schemas.FS.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if raw, err = yaml.YAMLToJSON(raw); err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		if err := p.compiler.AddResource(url, doc); err != nil {
			t.Fatal(err)
		}
		if name == "openapi.yaml" {
			p.doc = doc.(map[string]any)
		}
	}
	return p
}

// at is the value at a path of keys, references followed, and the JSON pointer where it stands; nil if there is none.
func (p *paper) at(keys ...string) (v any, pointer string) {
	v = p.doc
	for _, key := range keys {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, ""
		}
		v = m[key]
		pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
		if m, ok := v.(map[string]any); ok && len(m) == 1 {
			if ref, ok := m["$ref"].(string); ok && strings.HasPrefix(ref, "#/") {
				v, pointer = p.at(strings.Split(ref[2:], "/")...)
			}
		}
	}
	return v, pointer
}

// operations are all documented ones, as "METHOD /path", of those tags that want accepts.
func (p *paper) operations(want func(tag string) bool) []string {
	var found []string
	for path, item := range p.doc["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			if o, ok := op.(map[string]any); ok && want(o["tags"].([]any)[0].(string)) {
				found = append(found, strings.ToUpper(method)+" "+path)
			}
		}
	}
	slices.Sort(found)
	return found
}

// documented are all answers of an operation, as key writes them.
func (p *paper) documented(t *testing.T, operation string) []string {
	t.Helper()
	method, path, _ := strings.Cut(operation, " ")
	responses, _ := p.at("paths", path, strings.ToLower(method), "responses")
	if responses == nil {
		t.Fatalf("openapi.yaml has no %s", operation)
	}
	var all []string
	for status := range responses.(map[string]any) {
		all = append(all, key(operation, status))
	}
	slices.Sort(all)
	return all
}

func key(operation, status string) string { return operation + " " + status }

// valid holds a JSON value to the schema at a path of keys.
func (p *paper) valid(t *testing.T, body []byte, keys ...string) {
	t.Helper()
	_, pointer := p.at(keys...)
	schema, err := p.compiler.Compile(paperURL + "#" + pointer)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if err := schema.Validate(v); err != nil {
		t.Errorf("%s is not what %s says: %v", body, pointer, err)
	}
}

// answer holds one answer to what is documented of its operation: the status, the media type, the headers, the body.
func (p *paper) answer(t *testing.T, operation string, resp *http.Response) {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	method, path, _ := strings.Cut(operation, " ")
	here := []string{"paths", path, strings.ToLower(method), "responses", fmt.Sprint(resp.StatusCode)}
	if resp.StatusCode == http.StatusMethodNotAllowed {
		here[2] = "post" // answered to the methods that are not documented
	}
	if r, _ := p.at(here...); r == nil {
		t.Errorf("%s answered %d, which is not documented: %s", operation, resp.StatusCode, body)
		return
	}
	p.seen[key(operation, here[4])] = true
	headers, _ := p.at(append(slices.Clone(here), "headers")...)
	documented, _ := headers.(map[string]any)
	for _, name := range []string{"Allow", "Retry-After", "WWW-Authenticate"} {
		_, want := documented[name]
		if got := resp.Header.Get(name); (got != "") != want {
			t.Errorf("%s %d has the header %s: %q, documented: %v", operation, resp.StatusCode, name, got, want)
		} else if want {
			p.valid(t, fmt.Appendf(nil, "%q", got), append(slices.Clone(here), "headers", name, "schema")...)
		}
	}
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	here = append(here, "content", kind, "schema")
	if schema, _ := p.at(here...); schema == nil {
		t.Errorf("%s %d is of the type %q, which is not documented", operation, resp.StatusCode, kind)
	} else if strings.HasSuffix(kind, "json") {
		p.valid(t, body, here...)
	}
}

// TestEveryRouteIsDocumented reads the routes off the code, as no mux tells them.
func TestEveryRouteIsDocumented(t *testing.T) {
	t.Parallel()
	p := readPaper(t)
	routes := func(pattern string, files ...string) []string {
		var found []string
		for _, file := range files {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(src), -1) {
				found = append(found, m[1])
			}
		}
		return found
	}
	admin := routes(`"([A-Z]+ /[^" ]+)"`, "api.go", filepath.Join("..", "..", "pkg", "service", "admin.go"))
	slices.Sort(admin)
	if d := cmp.Diff(admin, p.operations(func(tag string) bool { return tag != "webhooks" })); d != "" {
		t.Errorf("the admin listener, in code (-) and on paper (+):\n%s", d)
	}
	webhooks := routes(`"(/[^" ]+)"`, filepath.Join("..", "ingress", "ingress.go"))
	for i, path := range webhooks {
		webhooks[i] = "POST " + regexp.MustCompile(`:(\w+)`).ReplaceAllString(path, "{$1}")
	}
	slices.Sort(webhooks)
	if d := cmp.Diff(webhooks, p.operations(func(tag string) bool { return tag == "webhooks" })); d != "" {
		t.Errorf("the webhook listener, in code (-) and on paper (+):\n%s", d)
	}
}
