package onhook_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/call"
)

// hooks is a receiver of webhooks that counts them by webhook-id and call, and answers with a status.
type hooks struct {
	status atomic.Int64

	mu  sync.Mutex
	ids map[string]string // webhook-id to call id
}

func startHooks(t *testing.T) (*hooks, string) {
	t.Helper()
	h := &hooks{ids: map[string]string{}}
	h.status.Store(http.StatusOK)
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return h, s.URL
}

func (h *hooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var e struct {
		Data struct {
			CallID string `json:"call_id"`
		}
	}
	status := int(h.status.Load())
	if err := json.NewDecoder(r.Body).Decode(&e); err == nil && status == http.StatusOK {
		h.mu.Lock()
		h.ids[r.Header.Get("webhook-id")] = e.Data.CallID
		h.mu.Unlock()
	}
	w.WriteHeader(status)
}

// calls are the ids of the calls that came, each as often as it has webhook-ids.
func (h *hooks) calls() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var ids []string
	for _, id := range h.ids {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// withSinks is a configuration with a development source and sinks; each line is a sink's name, address and keys.
func withSinks(t *testing.T, sinks ...[3]string) string {
	t.Helper()
	text := "sources:\n  altur: {provider: altur, secrets: [dev-secret]}\ncrm:\n"
	for _, s := range sinks {
		text += fmt.Sprintf("  %s: {kind: webhook, url: %q, secrets: [whsec_%s], allow_private: true, probe_max: 100ms%s}\n",
			s[0], s[1], base64.StdEncoding.EncodeToString([]byte(strings.Repeat("s", 32))), s[2])
	}
	return writeFile(t, text)
}

type timelineJSON struct {
	call.Call
	Timeline []struct{ Name, State, Error string }
}

func (p *process) timeline(source, id string) map[string]string {
	p.t.Helper()
	states := map[string]string{}
	for _, s := range query[timelineJSON](p, "calls", "show", source, id).Timeline {
		states[s.Name] = s.State
	}
	return states
}

type sinkStatus struct {
	Consumers []struct {
		bus.ConsumerStatus
		Orphan bool
	}
}

// The promise, for sinks: each call once, by its id, after a kill in the middle, while another sink is stopped.
func TestSinksGetEachCallOnceThroughAKillAndOneStoppedSinkDelaysNobody(t *testing.T) {
	t.Parallel()
	one, oneURL := startHooks(t)
	two, twoURL := startHooks(t)
	two.status.Store(http.StatusGone)
	cfg := withSinks(t, [3]string{"one", oneURL, ""}, [3]string{"two", twoURL, ""}, [3]string{"none", oneURL, ", when: 'call.duration_ms < 0'"})
	data := t.TempDir()
	p := start(t, data, "127.0.0.1:0", "127.0.0.1:0", "--config", cfg)
	count := "2000"
	if testing.Short() {
		count = "300"
	}
	out, err := run(t, "send", "altur", "--url", "http://"+p.listen, "--count", count, "--duplicates", "10", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var sent struct{ Calls int }
	if err := json.Unmarshal([]byte(out), &sent); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "some calls", func() bool { return len(one.calls()) > 100 })
	p.kill()
	p = start(t, data, p.listen, p.admin, "--config", cfg)
	var want []string
	waitFor(t, "all calls", func() bool {
		want = nil
		for _, c := range p.calls() {
			want = append(want, c.CallID)
		}
		slices.Sort(want)
		return len(want) == sent.Calls && slices.Equal(want, one.calls())
	})
	waitFor(t, "the reason that two waits", func() bool {
		for _, c := range query[sinkStatus](p, "status").Consumers {
			if c.Name == "crm-two" && c.Outage != nil && strings.Contains(c.Outage.Reason, "410") && c.Pending > 0 && c.Dead == 0 {
				return true
			}
		}
		return false
	})
	if out, err = run(t, "status", "--server", p.admin); err != nil || !strings.Contains(out, "stopped since") {
		t.Errorf("%v\n%s", err, out)
	}
	two.status.Store(http.StatusOK)
	p.waitDrained()
	if d := cmp.Diff(want, two.calls()); d != "" {
		t.Errorf("two (-want +got):\n%.2000s", d)
	}
	states := map[string]string{"received": "done", "decoded": "done", "stored": "done", "crm.one": "delivered", "crm.two": "delivered", "crm.none": "skipped"}
	if d := cmp.Diff(states, p.timeline("altur", want[0])); d != "" {
		t.Error(d)
	}
	if out, err = run(t, "calls", "show", "altur", want[0], "--server", p.admin); err != nil || !strings.Contains(out, "crm.one") || !strings.Contains(out, "msg_") {
		t.Errorf("%v\n%s", err, out)
	}
	if dead := query[[]bus.Dead](p, "dead", "list"); len(dead) != 0 {
		t.Errorf("%+v", dead)
	}
}

// What the receiver refuses dies with its answer, the others go on, and a redrive lands it.
func TestWhatASinkRefusesIsDeadUntilItIsRedriven(t *testing.T) {
	t.Parallel()
	h, address := startHooks(t)
	h.status.Store(http.StatusUnprocessableEntity)
	p := startAnywhere(t, "--config", withSinks(t, [3]string{"leads", address, ""}))
	if got := p.post("altur", example(t, "altur", "documented-v2")); got != http.StatusOK {
		t.Fatal(got)
	}
	p.waitDrained()
	dead := query[[]bus.Dead](p, "dead", "list", "--consumer", "crm-leads")
	if len(dead) != 1 || !strings.Contains(dead[0].Reason, "422") || dead[0].Provider != "altur" {
		t.Fatalf("%+v", dead)
	}
	const id = "cll_gBoLtd02pUI50QwXkFjB"
	waitFor(t, "the outcome", func() bool { return p.timeline("altur", id)["crm.leads"] == "dead" })
	h.status.Store(http.StatusOK)
	if _, err := run(t, "dead", "redrive", "--consumer", "crm-leads", "--server", p.admin); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the call", func() bool { return slices.Equal(h.calls(), []string{id}) })
	waitFor(t, "the outcome", func() bool { return p.timeline("altur", id)["crm.leads"] == "delivered" })
	if _, err := run(t, "dead", "list", "--consumer", "crm-lead", "--server", p.admin); err == nil || !strings.Contains(err.Error(), "crm-leads") {
		t.Errorf("%v", err)
	}
}

func TestASinkThatIsConfiguredNoMoreIsReportedUntilItIsRemoved(t *testing.T) {
	t.Parallel()
	_, address := startHooks(t)
	data := t.TempDir()
	p := start(t, data, "127.0.0.1:0", "127.0.0.1:0", "--config", withSinks(t, [3]string{"kept", address, ""}, [3]string{"gone", address, ""}))
	if got := p.stop(); got != 0 {
		t.Fatalf("exit status %d: %s", got, p.logs)
	}
	p = start(t, data, "127.0.0.1:0", "127.0.0.1:0", "--config", withSinks(t, [3]string{"kept", address, ""}))
	orphans := func() (names []string) {
		for _, c := range query[sinkStatus](p, "status").Consumers {
			if c.Orphan {
				names = append(names, c.Name)
			}
		}
		return names
	}
	if got := orphans(); !slices.Equal(got, []string{"crm-gone"}) {
		t.Errorf("orphans %q", got)
	}
	if out, err := run(t, "status", "--server", p.admin); err != nil || !strings.Contains(out, "orphan: not configured here; `onhook crm remove gone`") {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err := run(t, "crm", "remove", "kept", "--server", p.admin); err == nil || !strings.Contains(err.Error(), "is configured") {
		t.Errorf("%v", err)
	}
	waitFor(t, "the removal", func() bool { // the broker may take some seconds to see that nobody fetches any more
		out, err := run(t, "crm", "remove", "gone", "--server", p.admin)
		if err != nil && !strings.Contains(err.Error(), "stop that first") {
			t.Fatal(err)
		}
		return strings.Contains(out, "removed gone; 0 calls")
	})
	if got := orphans(); len(got) != 0 {
		t.Errorf("orphans %q", got)
	}
}

// The setup of one sink once wanted the secrets of all.
func TestTheSetupOfASinkNeedsNoOthersSecrets(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "onhook.yaml")
	text := "crm:\n  hooks: {kind: webhook, url: 'https://example.com', secrets: [whsec_" + strings.Repeat("ZmFrZSBz", 4) + "]}\n  other: {kind: hubspot, token: '${NOT_HERE}'}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for sink, want := range map[string]string{"hooks": "webhook needs nothing set up", "other": "NOT_HERE", "hoks": "hooks"} {
		if _, err := run(t, "crm", "setup", sink, "--config", file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", sink, err)
		}
	}
}
