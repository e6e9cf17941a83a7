package onhook_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/call"
)

// Exit statuses are for scripts: 0, 1 failed, 2 the command line or the configuration is wrong.
func TestExitStatus(t *testing.T) {
	t.Parallel()
	bad := writeFile(t, "sources:\n  a: {provder: altur}\n")
	good := writeFile(t, "sources:\n  a: {provider: altur, secrets: [s]}\n")
	badDSN := writeFile(t, "sources:\n  a: {provider: altur, secrets: [s]}\nstorage:\n  dsn: mysql://u:hunter2@h/d\n")
	for _, tt := range []struct {
		args   string
		status int
		says   string
	}{
		{"version", 0, "onhook "},
		{"--help", 0, "Usage: onhook"},
		{"run --help", 0, "--listen"},
		{"", 0, "Usage: onhook"},
		{"nonsense", 2, "nonsense"},
		{"send", 2, "provider"},
		{"send vapi", 2, `no provider "vapi"; there are altur, cllr, synthflow`},
		{"send altur --count 0", 2, "--count"},
		{"send altur --url http://127.0.0.1:1", 1, "1 of 1 deliveries were not accepted"},
		{"decode altur /nonexistent", 1, "/nonexistent"},
		{"calls list --server http://127.0.0.1:1", 1, "onhook run"},
		{"calls list --since yesterday", 2, "24h"},
		{"calls list --since 14d --server http://127.0.0.1:1", 1, "onhook run"},
		{"calls list --limit 0", 2, "--limit"},
		{"calls list --limit -1", 2, "--limit"},
		{"calls list --limit 100001", 2, "--limit"},
		{"dead redrive", 2, "--consumer"},
		{"dead redrive 1 --consumer decoder", 2, "either"},
		{"check --config " + bad, 1, `unknown key "provder"`},
		{"check --config " + good, 0, "1 sources (a)"},
		{"check --config /nonexistent", 1, "/nonexistent"},
		{"run --admin 127.0.0.1:0 --config " + bad, 2, `did you mean "provider"?`},
		{"run --listen 0.0.0.0:0 --admin 127.0.0.1:0", 2, "ONHOOK_DEV_SECRET"},
		{"run --listen nonsense --admin 127.0.0.1:0", 2, "HOST:PORT"},
		{"run --admin bogus", 2, "--admin"},
		{"run --admin 127.0.0.1:99999", 2, "--admin"},
		{"run --admin 127.0.0.1:0 --config " + badDSN, 2, "storage.dsn"},
		{"check --config " + badDSN, 1, ":4: storage.dsn: the storage DSN must be"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], strings.Fields(tt.args)...)
			cmd.Env = append(os.Environ(), asOnhook+"=1", "ONHOOK_DEV_SECRET=", "ONHOOK_DEV_TOKEN=")
			cmd.Dir = t.TempDir()
			out, err := cmd.CombinedOutput()
			if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
				t.Fatal(err)
			}
			if got := cmd.ProcessState.ExitCode(); got != tt.status || !strings.Contains(string(out), tt.says) {
				t.Errorf("exit status %d, want %d; it says %q, not %q", got, tt.status, out, tt.says)
			}
		})
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, provider, body string
		says                 string // in the error; empty: it decodes
	}{
		{"altur", "altur", string(example(t, "altur", "documented-v2")), ""},
		{"cllr", "cllr", string(example(t, "cllr", "full")), ""},
		{"synthflow", "synthflow", string(example(t, "synthflow", "full-2026")), ""},
		{"no id", "altur", `{"event_type":"on_call_end"}`, "$.id"},
		{"no id inside", "synthflow", `{"call":{"status":"completed"}}`, "$.call.call_id"},
		{"not JSON", "cllr", `{"callId":`, "cllr: $"},
		{"ignored", "altur", string(example(t, "altur", "campaign-status-changed.ignored")), "not about one call"},
		{"refused", "synthflow", string(example(t, "synthflow", "call-inbound-event.refused")), "call_inbound"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out, err := run(t, "decode", "--validate", "--source", "s", tt.provider, writeFile(t, tt.body))
			if tt.says != "" {
				if err == nil || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var c call.Call
			if err := json.Unmarshal([]byte(out), &c); err != nil {
				t.Fatal(err)
			}
			if err := c.Validate(); err != nil || c.Source != "s" || c.Provider != tt.provider {
				t.Errorf("%v; %s", err, out)
			}
		})
	}
}

func TestSendAndListFilters(t *testing.T) {
	t.Parallel()
	p := startAnywhere(t)
	for _, name := range []string{"altur", "cllr", "synthflow"} {
		out, err := run(t, "send", name, "--url", "http://"+p.listen, "--count", "20", "--duplicates", "50", "--json")
		if err != nil {
			t.Fatal(err)
		}
		var r struct{ Sent, Accepted, Calls int }
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatal(err)
		}
		if r.Sent != 20 || r.Accepted != 20 || r.Calls < 1 || r.Calls >= 20 {
			t.Errorf("%s: %s", name, out)
		}
		p.waitDrained()
		if got := len(query[[]call.Call](p, "calls", "list", "--source", name)); got != r.Calls {
			t.Errorf("%s: %d calls of %d", name, got, r.Calls)
		}
	}
	all := len(p.calls())
	for _, tt := range []struct {
		args string
		want func(int) bool
	}{
		{"--limit 3", func(n int) bool { return n == 3 }},
		{"--status completed", func(n int) bool { return n == all }},
		{"--status busy", func(n int) bool { return n == 0 }},
		{"--phone +15551234567", func(n int) bool { return n > 0 && n < all }},
		{"--since 1h", func(n int) bool { return n == all }},
		{"--since 14d", func(n int) bool { return n == all }},
		{"--since 2999-01-01T00:00:00Z", func(n int) bool { return n == 0 }},
	} {
		if n := len(query[[]call.Call](p, append([]string{"calls", "list"}, strings.Fields(tt.args)...)...)); !tt.want(n) {
			t.Errorf("calls list %s: %d of %d", tt.args, n, all)
		}
	}
	if _, err := run(t, "send", "altur", "--url", "http://"+p.listen, "--secret", "wrong"); err == nil || !strings.Contains(err.Error(), "1 × 401") {
		t.Errorf("a wrong secret: %v", err)
	}
	if _, err := run(t, "calls", "show", "--server", p.admin, "altur", "no-such-call"); err == nil || !strings.Contains(err.Error(), `no call "no-such-call"`) {
		t.Errorf("%v", err)
	}
	out, err := run(t, "calls", "list", "--server", p.admin)
	if err != nil || !strings.HasPrefix(out, "RECEIVED") || strings.Count(out, "\n") != all+1 {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestDeadCommands(t *testing.T) {
	t.Parallel()
	p := startAnywhere(t)
	for range 3 {
		if got := p.post("cllr", []byte("{\"callerDetails\":\"\x1b[31m\"}")); got != 200 {
			t.Fatal(got)
		}
	}
	p.waitDrained()
	dead := query[[]bus.Dead](p, "dead", "list")
	if len(dead) != 3 || dead[0].Consumer != "decoder" || dead[0].Attempts != 1 || dead[0].Origin != "WEBHOOKS/1" || !strings.Contains(dead[0].Reason, "cllr: $: not JSON") {
		t.Fatalf("%+v", dead)
	}
	if out, err := run(t, "dead", "show", "--server", p.admin, "1"); err != nil || !strings.Contains(out, "callerDetails") || strings.Contains(out, "\x1b") {
		t.Errorf("%v %q", err, out)
	}
	if out, err := run(t, "dead", "discard", "--server", p.admin, "1"); err != nil || out != "discarded 1\n" {
		t.Errorf("%v %q", err, out)
	}
	if _, err := run(t, "dead", "discard", "--server", p.admin, "1"); err == nil || !strings.Contains(err.Error(), "no such dead message: 1") {
		t.Errorf("%v", err)
	}
	if out, err := run(t, "dead", "redrive", "--server", p.admin, "2"); err != nil || out != "redriven 1\n" {
		t.Errorf("%v %q", err, out)
	}
	if out, err := run(t, "dead", "redrive", "--server", p.admin, "--consumer", "decoder"); err != nil || !strings.HasPrefix(out, "redriven ") {
		t.Errorf("%v %q", err, out)
	}
	p.waitDrained()
	if dead := query[[]bus.Dead](p, "dead", "list", "--consumer", "decoder"); len(dead) != 2 || dead[0].Origin == dead[1].Origin {
		t.Errorf("not dead again: %+v", dead)
	}
}

// Eighteen seconds of traffic at a thousand a second are 18,000 dead messages: they must not depend on one long request.
func TestRedriveOfMoreThanAPage(t *testing.T) {
	t.Parallel()
	p := startAnywhere(t)
	const n = 1100
	if _, err := run(t, "send", "cllr", "--url", "http://"+p.listen, "--count", "1"); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range n / 50 {
				resp, err := http.DefaultClient.Do(p.request("cllr", []byte(`{"no":"id"}`)))
				if err != nil {
					t.Error(err)
					return
				}
				_ = resp.Body.Close()
			}
		})
	}
	wg.Wait()
	p.waitDrained()
	if out, err := run(t, "dead", "redrive", "--server", p.admin, "--consumer", "decoder"); err != nil || out != fmt.Sprintf("redriven %d\n", n) {
		t.Fatalf("%v %q", err, out)
	}
	p.waitDrained()
	dead := query[[]bus.Dead](p, "dead", "list", "--limit", "5000")
	if len(dead) != n { // dead again, each once
		t.Errorf("%d dead", len(dead))
	}
	if out, err := run(t, "dead", "discard", "--server", p.admin, "--consumer", "decoder"); err != nil || out != fmt.Sprintf("discarded %d\n", n) {
		t.Errorf("%v %q", err, out)
	}
	for _, name := range []string{"*", ">", "bogus"} {
		if _, err := run(t, "dead", "redrive", "--server", p.admin, "--consumer", name); err == nil || !strings.Contains(err.Error(), "there are decoder, storage") {
			t.Errorf("consumer %s: %v", name, err)
		}
	}
}
