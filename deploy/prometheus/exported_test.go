package prometheus_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// series is the labels of one exported series, its name among them.
type series map[string]string

const settings = `
sources: {cllr: {provider: cllr, token: dev-token}}
ingress: {listen: "127.0.0.1:0", spool: {dir: %q}}
admin: {listen: "127.0.0.1:0"}
crm:
  hooks: {kind: webhook, url: %q, secrets: [whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ=], allow_private: true}
  hubspot-main: {kind: hubspot, token: pat-nowhere, url: "http://127.0.0.1:1"}
`

var addresses = regexp.MustCompile(`takes webhooks on http://(\S+) \(admin http://([^,]+),`)

// exported is what a real onhook exports once it has taken a call, refused one, given one up, and found a CRM out of reach.
func exported(t *testing.T) []series {
	t.Helper()
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "onhook"), "./cmd/onhook")
	build.Dir = "../../services/onhook"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(receiver.Close)
	config := filepath.Join(dir, "onhook.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, settings, filepath.Join(dir, "spool"), receiver.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	var logs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "onhook"), "run", "--config", config, "--data", filepath.Join(dir, "data"))
	cmd.Stderr = &logs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it says that it was killed
		if t.Failed() {
			t.Log(logs.String())
		}
	})
	var at []string
	for lines := bufio.NewScanner(out); at == nil && lines.Scan(); {
		at = addresses.FindStringSubmatch(lines.Text())
	}
	if at == nil {
		t.Fatal("it does not say where it listens")
	}
	body, err := os.ReadFile("../../schemas/provider/cllr/full.example.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, post := range []struct {
		token, body string
		want        int
	}{{"dev-token", string(body), 200}, {"dev-token", "[]", 200}, {"wrong", "{}", 401}} {
		resp, err := http.Post("http://"+at[1]+"/v1/webhooks/cllr/"+post.token, "application/json", strings.NewReader(post.body))
		if err != nil {
			t.Fatal(err)
		}
		if _ = resp.Body.Close(); resp.StatusCode != post.want {
			t.Fatalf("status %d, want %d", resp.StatusCode, post.want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		all, values := scrape(t, "http://"+at[2]+"/metrics")
		if values[`onhook_sink_results_total{result="done", sink="crm-hooks"}`] == 1 && values[`onhook_sink_results_total{result="done", sink="storage"}`] == 1 &&
			values[`onhook_sink_results_total{result="dead", sink="decoder"}`] == 1 && values[`onhook_sink_down{sink="crm-hubspot-main"}`] == 1 {
			return all
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain for a call delivered, a delivery dead and a sink down; there is %v", values)
		}
	}
}

// scrape reads the series, and the values of gauges and counters.
func scrape(t *testing.T, url string) (all []series, values map[string]float64) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	values = map[string]float64{}
	for name, family := range families {
		for _, m := range family.GetMetric() {
			labels := model.Metric{}
			for _, l := range m.GetLabel() {
				labels[model.LabelName(l.GetName())] = model.LabelValue(l.GetValue())
			}
			values[name+labels.String()] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
			names := []string{name}
			if h := m.GetHistogram(); h != nil {
				names = []string{name + "_bucket", name + "_count", name + "_sum"}
			}
			for i, n := range names {
				s := series{model.MetricNameLabel: n}
				for k, v := range labels {
					s[string(k)] = string(v)
				}
				if len(names) > 1 && i == 0 {
					s[model.BucketLabel] = "+Inf"
				}
				all = append(all, s)
			}
		}
	}
	return all, values
}
