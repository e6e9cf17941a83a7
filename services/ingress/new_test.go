package ingress

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/pkg/provider"
	"github.com/onhook/onhook/pkg/spool"
	"github.com/onhook/onhook/pkg/tlsfile"
)

func TestNewSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	used := prometheus.NewRegistry()
	if _, err := newMetrics(used, nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		listen  string
		sources provider.Sources
		reg     *prometheus.Registry
		says    string
	}{
		{"address in use", taken.Addr().String(), nil, prometheus.NewRegistry(), "ingress.listen"},
		{"no such provider", "127.0.0.1:0", provider.Sources{"x": {Provider: "nobody"}}, prometheus.NewRegistry(), `there is no provider "nobody"`},
		{"a source that anybody may post to", "127.0.0.1:0", provider.Sources{"x": {Provider: "cllr"}}, prometheus.NewRegistry(), "neither secrets nor a token"},
		{"metrics of another", "127.0.0.1:0", nil, used, "duplicate"},
	} {
		if _, err := New(withListen(c.listen), c.sources, fake{}, zap.NewNop(), c.reg); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, yaml, says string }{
		{"empty", "", ""},
		{"all", "listen: 0.0.0.0:80\nmax_body: 1MiB\nmax_inflight: 1MiB\nack_budget: 2s\nread_timeout: 1s\nidle_timeout: 3s", ""},
		{"no body", "max_body: 0", "ingress.max_body"},
		{"less in flight than one body", "max_inflight: 1MiB", "ingress.max_inflight"},
		{"no budget", "ack_budget: 0s", "ingress.ack_budget"},
		{"no time to store", "ack_budget: 2s\nread_timeout: 3s", "ingress.read_timeout"},
		{"more time than a provider gives", "ack_budget: 11s", "ingress.ack_budget"},
		{"no port", "listen: localhost", "ingress.listen"},
		{"no time to read", "read_timeout: 0s", "ingress.read_timeout"},
		{"no time to idle", "idle_timeout: 0s", "ingress.idle_timeout"},
		{"spool without a folder", "spool: {after: 0s}", ""},
		{"spool", "spool: {dir: d, after: 2s, max_size: 10GiB}", ""},
		{"no time to wait", "spool: {dir: d, after: 0s}", "ingress.spool.after"},
		{"no time left to spool", "spool: {dir: d, after: 5s}", "half of ack_budget"},
		{"room for less than a body", "spool: {dir: d, max_size: 1MiB}", "ingress.spool.max_size"},
		{"room for nothing", "spool: {dir: d, max_size: 0}", "ingress.spool.max_size"},
		{"unknown key", "max_bodi: 1MiB", "max_body"},
	} {
		path := filepath.Join(t.TempDir(), "onhook.yaml")
		text := "ingress:\n"
		for line := range strings.Lines(c.yaml) {
			text += "  " + line
		}
		if c.yaml == "" {
			text = "{}"
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := config.Load(path)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		cfg := DefaultConfig()
		err = file.Section("ingress", &cfg)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.name == "all" && cfg != (Config{"0.0.0.0:80", 1 << 20, 1 << 20, 2 * time.Second, time.Second, 3 * time.Second, tlsfile.Config{}, spool.DefaultConfig()}) {
			t.Errorf("decoded as %+v", cfg)
		}
	}
}
