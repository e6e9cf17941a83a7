package ingress

import (
	"crypto/tls"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"

	"go.uber.org/zap/zapcore"

	"github.com/onhook/onhook/pkg/bus/bustest"
	"github.com/onhook/onhook/pkg/tlsfile"
	"github.com/onhook/onhook/pkg/tlsfile/tlstest"
)

// post sends a delivery over https and returns whose certificate it met, and whether the connection was there before.
func (f *fixture) post(t *testing.T, client *http.Client) (name string, reused bool) {
	t.Helper()
	r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		GotConn: func(c httptrace.GotConnInfo) { reused = c.Reused },
	}), http.MethodPost, f.URL()+"/v1/webhooks/open", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	name = res.TLS.PeerCertificates[0].Subject.CommonName
	read(t, res).accepted(t)
	return name, reused
}

func httpsClient(t *testing.T, ca *tlstest.Authority, keepAlive bool) *http.Client {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}, ForceAttemptHTTP2: true, DisableKeepAlives: !keepAlive}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// A certificate is replaced as a mounted secret is: new connections get the new one, those that are open stay, and one that
// is broken changes nothing.
func TestACertificateIsReplacedWithoutARestart(t *testing.T) {
	t.Parallel()
	ca := tlstest.NewAuthority(t)
	files, dir := ca.Mount(t, "old")
	f := setup(t, bustest.Start(t), options{config: func(c *Config) { c.TLS = tlsfile.Config{CertFile: files.Cert, KeyFile: files.Key} }})
	staying, coming := httpsClient(t, ca, true), httpsClient(t, ca, false)
	for name, client := range map[string]*http.Client{"staying": staying, "coming": coming} {
		if got, _ := f.post(t, client); got != "old" {
			t.Errorf("%s: %s", name, got)
		}
	}
	meets := func(want string) func() bool {
		return func() bool { got, _ := f.post(t, coming); return got == want }
	}
	ca.Swap(t, dir, "new")
	waitFor(t, "the new certificate", meets("new"))

	tlstest.Swap(t, dir, map[string][]byte{"tls.crt": []byte("torn"), "tls.key": []byte("torn")})
	broken := func() int {
		return f.logs.FilterLevelExact(zapcore.ErrorLevel).FilterMessageSnippet("certificate").Len()
	}
	waitFor(t, "the log", func() bool { return meets("new")() && broken() > 0 })

	ca.Swap(t, dir, "newest")
	waitFor(t, "the newest certificate", meets("newest"))
	if n := broken(); n != 1 {
		t.Errorf("the broken pair is logged %d times", n)
	}
	if got, reused := f.post(t, staying); got != "old" || !reused {
		t.Errorf("the connection of before is gone: %s, %v", got, reused)
	}
}

// net/http gives a server of plain HTTP a TLS configuration too once it serves, and URL said https then.
func TestTheURLStaysPlain(t *testing.T) {
	t.Parallel()
	f := setup(t, bustest.Start(t), options{})
	before := f.URL()
	f.send(t, "open", nil, []byte("{}")).accepted(t)
	if after := f.URL(); before != "http://"+f.Addr() || after != before {
		t.Errorf("it is %s, then %s", before, after)
	}
}

func TestHTTPSIsHTTP1AndNothingElseIsAnswered(t *testing.T) {
	t.Parallel()
	ca := tlstest.NewAuthority(t)
	files, _ := ca.Mount(t, "a")
	f := setup(t, bustest.Start(t), options{config: func(c *Config) { c.TLS = tlsfile.Config{CertFile: files.Cert, KeyFile: files.Key} }})
	conn, err := tls.Dial("tcp", f.Addr(), &tls.Config{RootCAs: ca.Pool(), NextProtos: []string{"h2", "http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := conn.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
		t.Errorf("it speaks %s", got)
	}
	conn.Close()
	if _, err := tls.Dial("tcp", f.Addr(), &tls.Config{RootCAs: ca.Pool(), MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("it takes TLS 1.1")
	}
	if a := f.send(t, "open", nil, []byte("{}")); a.status != http.StatusBadRequest { // plain HTTP
		t.Errorf("plain HTTP got %d", a.status)
	}
}

func TestAnIngressWithABrokenCertificateDoesNotStart(t *testing.T) {
	t.Parallel()
	files, _ := tlstest.NewAuthority(t).Mount(t, "a")
	cfg := DefaultConfig()
	cfg.TLS = tlsfile.Config{CertFile: files.Cert, KeyFile: files.CA}
	if err := cfg.Validate(); err == nil || !strings.HasPrefix(err.Error(), "tls: cert_file: ") || !strings.Contains(err.Error(), files.CA) {
		t.Error(err)
	}
}
