package onhook

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/onhook/onhook/pkg/tlsfile/tlstest"
)

// TestCheckLooksAtTheFilesOfTLS wants each fault with its line, its key and its file.
func TestCheckLooksAtTheFilesOfTLS(t *testing.T) {
	t.Parallel()
	files, _ := tlstest.NewAuthority(t).Mount(t, "a")
	const sources = "sources: {altur: {provider: altur, secrets: [s]}}\n"
	right := writeTemp(t, sources+fmt.Sprintf("ingress: {tls: {cert_file: %q, key_file: %q}}\nnats: {tls: {ca_file: %q}}\n", files.Cert, files.Key, files.CA))
	if err := Main(t.Context(), []string{"check", "--config", right}, &bytes.Buffer{}, &bytes.Buffer{}); err != nil {
		t.Error(err)
	}
	wrong := writeTemp(t, sources+fmt.Sprintf("ingress:\n  tls:\n    cert_file: %q\n    key_file: %q\nnats:\n  tls:\n    ca_file: /nowhere/ca.crt\n    cert_file: %q\n", files.Cert, files.CA, files.Cert))
	err := Main(t.Context(), []string{"check", "--config", wrong}, &bytes.Buffer{}, &bytes.Buffer{})
	if err == nil {
		t.Fatal("nothing was found")
	}
	for _, want := range []string{
		wrong + ":4: ingress.tls.cert_file: " + files.Cert + " and " + files.CA,
		wrong + ":8: nats.tls.ca_file: cannot read /nowhere/ca.crt: no such file",
		wrong + ":7: nats.tls.key_file: name the key",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in:\n%v", want, err)
		}
	}
}
