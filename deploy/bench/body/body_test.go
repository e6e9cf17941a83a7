package body

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/onhook/onhook/pkg/provider"
)

// Every generated request is one that the provider could have sent: it verifies, decodes, and bears the id it was given.
func TestRequests(t *testing.T) {
	t.Parallel()
	for _, name := range Providers {
		for _, size := range []int{2 << 10, 20 << 10} {
			p, _ := provider.Lookup(name)
			r := New(3, name, size)
			for _, n := range []int64{0, 7, 5<<32 | 123456} {
				req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(r.Wire(n))))
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				text, err := io.ReadAll(req.Body)
				if err != nil {
					t.Fatal(err)
				}
				if len(text) < size*9/10 || len(text) > size*11/10 || !utf8.Valid(text) {
					t.Errorf("%s: %d bytes for %d, or no text", name, len(text), size)
				}
				if bytes.Count(text, []byte(idPrefix)) != 1 {
					t.Errorf("%s: the id stands in the body %d times", name, bytes.Count(text, []byte(idPrefix)))
				}
				if got, ok := Number(text); !ok || got != n {
					t.Errorf("%s: number %d, %v; want %d", name, got, ok, n)
				}
				if p.Verify == nil {
					if !strings.HasSuffix(req.URL.Path, "/"+Token) {
						t.Errorf("%s: no token in %s", name, req.URL.Path)
					}
				} else if _, ok := p.Verify(req.Header, text, []string{Secret}, ""); !ok {
					t.Errorf("%s: the signature is wrong: %v", name, req.Header)
				}
				c, err := p.Call(name, text)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if c.CallID != ID(n) || len(c.Warnings) > 0 {
					t.Errorf("%s: call %s with warnings %q, want %s", name, c.CallID, c.Warnings, ID(n))
				}
			}
		}
	}
}

func TestNumberIsReadOnlyFromAnID(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "{}", idPrefix, idPrefix + "12", idPrefix + "xxxxxxxxxxxxxxxx"} {
		if n, ok := Number([]byte(s)); ok {
			t.Errorf("%q has number %d", s, n)
		}
	}
}
