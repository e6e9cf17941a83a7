package provider_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/provider"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/schemas"
)

var update = flag.Bool("update", false, "write the golden calls anew")

// TestExamples runs every provider of the table over its folder of examples: <case>.example.json decodes to
// <case>.call.json, <case>.ignored.example.json is not about a call, <case>.refused.example.json is turned away.
func TestExamples(t *testing.T) {
	t.Parallel()
	compiler := newCompiler(t)
	callSchema := compiler.compile("call.schema.json")
	for _, p := range provider.All() {
		payloads := make(map[string]*jsonschema.Schema)
		for _, file := range glob(t, "provider/"+p.Name+"/*.schema.json") {
			payloads[strings.TrimSuffix(strings.TrimPrefix(file, "provider/"), ".schema.json")] = compiler.compile(file)
		}
		seen := make(map[string]bool)
		for _, file := range examples(t, p) {
			body := read(t, file)
			t.Run(strings.TrimPrefix(file, "provider/"), func(t *testing.T) {
				switch {
				case strings.HasSuffix(file, ".refused.example.json"):
					if p.Refuse == nil || p.Refuse(body) == nil {
						t.Error("not refused")
					}
					return
				case p.Refuse != nil && p.Refuse(body) != nil:
					t.Errorf("refused: %v", p.Refuse(body))
				}
				if p.Verify != nil {
					verifies(t, p, body)
				}
				c, err := p.Call("example", body)
				if strings.HasSuffix(file, ".ignored.example.json") {
					if !errors.Is(err, provider.ErrIgnored) {
						t.Errorf("Call: %v, want ErrIgnored", err)
					}
					if !slices.ContainsFunc(slices.Collect(maps.Values(payloads)), func(s *jsonschema.Schema) bool {
						return s.Validate(instance(t, body)) == nil
					}) {
						t.Error("no schema of the provider describes this payload")
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				schema, ok := payloads[c.PayloadVersion]
				if !ok {
					t.Fatalf("no schema named for payload version %s", c.PayloadVersion)
				}
				seen[c.PayloadVersion] = true
				if err := schema.Validate(instance(t, body)); err != nil {
					t.Errorf("the example breaks its schema: %v", err)
				}
				got := pretty(t, c)
				if err := callSchema.Validate(instance(t, got)); err != nil {
					t.Errorf("the call breaks the schema: %v", err)
				}
				golden(t, strings.TrimSuffix(file, ".example.json")+".call.json", got)
			})
		}
		for name := range payloads {
			if !seen[name] && !strings.Contains(name, "/envelope-") {
				t.Errorf("no example of %s", name)
			}
		}
	}
}

// verifies holds Sign and Verify to each other, for every scheme.
func verifies(t *testing.T, p provider.Provider, body []byte) {
	t.Helper()
	const secret = "c2VjcmV0LW9mLXRoZS10ZXN0" // text and base64 alike
	for _, scheme := range p.Schemes {
		header := p.Sign(body, secret, scheme)
		if header == nil {
			if value(t, body, p.IDPath) != nil {
				t.Errorf("%s: cannot sign", scheme)
			}
			continue
		}
		proof, ok := p.Verify(header, body, []string{"bmV3ZXI=", secret}, scheme)
		if !ok || proof != call.AuthVerifiedBody && proof != call.AuthVerifiedIDOnly {
			t.Fatalf("%s: Verify = %s, %t for its own signature", scheme, proof, ok)
		}
		if _, ok := p.Verify(header, body, []string{"b3RoZXI="}, scheme); ok {
			t.Errorf("%s: verified under another secret", scheme)
		}
		if _, ok := p.Verify(header, body, []string{"", "="}, scheme); ok {
			t.Errorf("%s: verified under an empty secret", scheme)
		}
		if _, ok := p.Verify(http.Header{}, body, []string{secret}, scheme); ok {
			t.Errorf("%s: verified without a signature", scheme)
		}
		if value(t, body, p.IDPath) != nil {
			if _, ok := p.Verify(header, with(t, body, p.IDPath, "another-id"), []string{secret}, scheme); ok {
				t.Errorf("%s: verified with another call id", scheme)
			}
		}
		if _, ok := p.Verify(header, with(t, body, []string{"added"}, 1), []string{secret}, scheme); ok && proof == call.AuthVerifiedBody {
			t.Errorf("%s: verified an altered body", scheme)
		}
	}
}

func TestCallFillsWhatDecodeCannotKnow(t *testing.T) {
	t.Parallel()
	p, ok := provider.Lookup("cllr")
	if !ok {
		t.Fatal("no cllr in the table")
	}
	c, err := p.Call("leads-in", []byte(`{"callId":"abc"}`))
	if err != nil {
		t.Fatal(err)
	}
	if c.Schema != call.Schema || c.Source != "leads-in" || c.Key != "cllr:leads-in:abc" || c.BodySize != 16 || len(c.BodySHA256) != 64 {
		t.Errorf("got %+v", c)
	}
	if _, err := p.Call("", []byte(`{"callId":"abc"}`)); err == nil || !strings.Contains(err.Error(), "source: empty") {
		t.Errorf("a call without source: %v", err)
	} else if kind, _ := retry.Classify(err); kind != retry.Again {
		t.Errorf("kind %d, want one that can be redriven", kind)
	}
}

func TestTableIsAlphabetical(t *testing.T) {
	t.Parallel()
	if names := provider.Names(); !slices.IsSorted(names) || len(names) == 0 {
		t.Errorf("names: %q", names)
	}
	for _, p := range provider.All() {
		if p.Decode == nil || len(p.IDPath) == 0 || (p.Verify == nil) != (p.Sign == nil) || (p.Verify == nil) != (len(p.Schemes) == 0) ||
			p.Verify == nil && p.CheckSecret != nil {
			t.Errorf("%s: half an entry", p.Name)
		}
	}
	if _, ok := provider.Lookup("nobody"); ok {
		t.Error("found a provider that is not in the table")
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, p := range provider.All() {
		body := largest(b, p)
		var compact bytes.Buffer
		if err := json.Compact(&compact, body); err != nil {
			b.Fatal(err)
		}
		b.Run(p.Name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(compact.Len()))
			for b.Loop() {
				if _, err := p.Call("bench", compact.Bytes()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, p := range provider.All() {
		if p.Verify == nil {
			continue
		}
		body := largest(b, p)
		header := p.Sign(body, "c2VjcmV0", p.Schemes[0])
		b.Run(p.Name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Verify(header, body, []string{"c2VjcmV0"}, p.Schemes[0])
			}
		})
	}
}

// golden compares got with a file of schemas, or writes it.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(filepath.Join("../../schemas", file), got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := fs.ReadFile(schemas.FS, file)
	if err != nil {
		t.Fatalf("%v: make it with go test ./provider -update", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}
