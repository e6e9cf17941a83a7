package bus_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/bus/bustest"
	"github.com/onhook/onhook/pkg/tlsfile"
	"github.com/onhook/onhook/pkg/tlsfile/tlstest"
)

// guardedBy is the configuration of a server that wants a client certificate of the authority.
func guardedBy(t *testing.T, ca *tlstest.Authority) string {
	t.Helper()
	f, _ := ca.Mount(t, "nats")
	path := filepath.Join(t.TempDir(), "nats.conf")
	conf := fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true }\n", f.Cert, f.Key, f.CA)
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The servers and their clients get certificates of another authority, as when all of them are renewed, and no process is
// started anew but the server.
func TestCertificatesAreReplacedUnderAConnection(t *testing.T) {
	t.Parallel()
	first, second := tlstest.NewAuthority(t), tlstest.NewAuthority(t)
	files, dir := first.Mount(t, "ingress")
	data := t.TempDir()
	srv := bustest.StartConfigured(t, guardedBy(t, first), data, 0)
	cfg := bus.DefaultConfig()
	cfg.URL = srv.ClientURL()
	cfg.TLS = bus.TLS{CAFile: files.CA, Config: tlsfile.Config{CertFile: files.Cert, KeyFile: files.Key}}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	b, err := bus.Connect(t.Context(), cfg, "test", zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if err := b.PublishDelivery(t.Context(), newDelivery("{}")); err != nil {
		t.Fatal(err)
	}
	port := srv.Addr().(*net.TCPAddr).Port
	srv.Shutdown()
	srv.WaitForShutdown()
	second.Swap(t, dir, "ingress")
	bustest.StartConfigured(t, guardedBy(t, second), data, port)
	if err := b.PublishDelivery(t.Context(), newDelivery("{}")); err != nil { // tries until it is connected
		t.Fatal(err)
	}
	if all, err := b.Streams(t.Context()); err != nil || all[0].Messages != 2 {
		t.Errorf("%v %+v", err, all)
	}
}

// Whoever cannot prove what it should is kept out, and hears why.
func TestAConnectionWithoutWhatTheServerWantsIsRefused(t *testing.T) {
	t.Parallel()
	ca, other := tlstest.NewAuthority(t), tlstest.NewAuthority(t)
	right, _ := ca.Mount(t, "ingress")
	wrong, _ := other.Mount(t, "ingress")
	guarded, open := bustest.StartConfigured(t, guardedBy(t, ca), "", 0).ClientURL(), bustest.StartServer(t).ClientURL()
	for name, tt := range map[string]struct {
		url  string
		tls  bus.TLS
		says string
	}{
		// Whom the server refuses after the handshake may find the connection closed before it reads why.
		"no certificate":                {guarded, bus.TLS{CAFile: right.CA}, "certificate required|closed by remote after TLS handshake"},
		"a certificate of another":      {guarded, bus.TLS{CAFile: right.CA, Config: tlsfile.Config{CertFile: wrong.Cert, KeyFile: wrong.Key}}, "unknown certificate authority|bad certificate|closed by remote after TLS handshake"},
		"a server of another authority": {guarded, bus.TLS{CAFile: wrong.CA, Config: tlsfile.Config{CertFile: right.Cert, KeyFile: right.Key}}, "unknown authority"},
		"a server without TLS":          {open, bus.TLS{CAFile: right.CA}, "secure connection not available"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := bus.DefaultConfig()
			cfg.URL, cfg.TLS = tt.url, tt.tls
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			b, err := bus.Connect(ctx, cfg, "test", zap.NewNop())
			if err == nil {
				b.Close()
				t.Fatal("connected")
			}
			if !regexp.MustCompile(tt.says).MatchString(err.Error()) || !strings.Contains(err.Error(), "nats.tls") {
				t.Error(err)
			}
		})
	}
}

func TestFilesOfTheConnectionAreCheckedByName(t *testing.T) {
	t.Parallel()
	files, _ := tlstest.NewAuthority(t).Mount(t, "a")
	missing := filepath.Join(t.TempDir(), "missing")
	for name, tt := range map[string]struct {
		set  func(c *bus.Config)
		says string
	}{
		"no such authority": {func(c *bus.Config) { c.TLS.CAFile = missing }, "tls.ca_file: cannot read " + missing},
		"no authority":      {func(c *bus.Config) { c.TLS.CAFile = files.Key }, files.Key + " holds no certificate"},
		"half a pair":       {func(c *bus.Config) { c.TLS.CertFile = files.Cert }, "key_file"},
		"two identities":    {func(c *bus.Config) { c.CredsFile, c.NkeyFile = "a", "b" }, "not both"},
	} {
		cfg := bus.DefaultConfig()
		tt.set(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	cfg := bus.DefaultConfig()
	cfg.URL, cfg.NkeyFile = "nats://127.0.0.1:1", missing
	if _, err := bus.New(cfg, "test", zap.NewNop()); err == nil || !strings.Contains(err.Error(), missing) || !strings.Contains(err.Error(), "nats.nkey_file") {
		t.Error(err)
	}
}
