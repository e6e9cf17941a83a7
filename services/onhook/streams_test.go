package onhook_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/onhook/onhook/pkg/bus/bustest"
)

// The broker's streams were changed behind our back: check and status say so, and migrate puts them right.
func TestStreamsThatDifferAreReportedAndMigrated(t *testing.T) {
	t.Parallel()
	srv := bustest.StartServer(t)
	file := writeFile(t, fmt.Sprintf("nats: {url: %q, durability: fsync}\nstorage: {dsn: %q}\n", srv.ClientURL(), "sqlite:"+filepath.Join(t.TempDir(), "onhook.db"))+
		"sources: {altur: {provider: altur, secrets: [dev-secret]}}\n")
	if out, err := run(t, "check", "--config", file); err != nil || !strings.Contains(out, "stream WEBHOOKS: does not exist yet") {
		t.Errorf("before there are any: %v %s", err, out)
	}
	p := start(t, t.TempDir(), "127.0.0.1:0", "127.0.0.1:0", "--config", file)
	nc, err := nats.Connect(srv.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	st, err := js.Stream(t.Context(), "WEBHOOKS")
	if err != nil {
		t.Fatal(err)
	}
	cfg := st.CachedInfo().Config
	cfg.Discard, cfg.MaxMsgs = jetstream.DiscardOld, 1_000_000
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	const differs, allowed = "stream WEBHOOKS: discard is old, should be new", "stream WEBHOOKS: max_msgs is 1000000, should be not set"
	out, err := run(t, "check", "--config", file)
	if err == nil || !strings.Contains(err.Error(), differs) || strings.Contains(err.Error(), allowed) || !strings.Contains(out, allowed) {
		t.Errorf("check: %v %s", err, out)
	}
	out, err = run(t, "check", "--config", file, "--json")
	var checked struct {
		OK       bool
		Findings []struct{ Message string }
		Notes    []string
	}
	if err == nil || json.Unmarshal([]byte(out), &checked) != nil || checked.OK || len(checked.Findings) != 1 || len(checked.Notes) != 1 {
		t.Errorf("check --json: %v %s", err, out)
	}
	if out, err = run(t, "status", "--server", p.admin); err != nil || !strings.Contains(out, "breaks: "+differs) || !strings.Contains(out, "allowed: "+allowed) {
		t.Errorf("status: %v %s", err, out)
	}
	if code := p.readyz(); code != http.StatusServiceUnavailable {
		t.Errorf("ready, though a full stream would drop deliveries: %d", code)
	}
	if out, err = run(t, "migrate", "--config", file); err != nil || !strings.Contains(out, "stream WEBHOOKS: discard went from old to new") || strings.Contains(out, "max_msgs") {
		t.Errorf("migrate: %v %s", err, out)
	}
	if out, err = run(t, "migrate", "--config", file); err != nil || !strings.Contains(out, "the streams are as they should be already") {
		t.Errorf("migrate again: %v %s", err, out)
	}
	if out, err = run(t, "check", "--config", file); err != nil || !strings.Contains(out, "is right") {
		t.Errorf("check after it: %v %s", err, out)
	}
	if code := p.readyz(); code != http.StatusOK {
		t.Errorf("not ready after it: %d", code)
	}
}

func TestCheckWithoutItsBroker(t *testing.T) {
	t.Parallel()
	srv := bustest.StartServer(t)
	file := writeFile(t, "nats: {url: \""+srv.ClientURL()+"\"}\nsources: {altur: {provider: altur, secrets: [dev-secret]}}\n")
	srv.Stop()
	if out, err := run(t, "check", "--config", file); err != nil || !strings.Contains(out, "streams: not looked at: ") || !strings.Contains(out, "is right") {
		t.Errorf("%v %s", err, out)
	}
	guarded := bustest.StartGuarded(t, "onhook", "right")
	file = writeFile(t, "nats: {url: \""+guarded+"\"}\nsources: {altur: {provider: altur, secrets: [dev-secret]}}\n")
	if out, err := run(t, "check", "--config", file); err == nil || !strings.Contains(strings.ToLower(err.Error()), "authorization violation") {
		t.Errorf("the wrong credentials are right: %v %s", err, out)
	}
}

// A process that started while its broker was away ended. With a spool it takes calls at once.
func TestRunStartsWhileTheBrokerIsAway(t *testing.T) {
	t.Parallel()
	for name, spool := range map[string]bool{"with a spool": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := bustest.StartServer(t)
			srv.Stop()
			data := t.TempDir()
			config := "nats: {url: \"" + srv.ClientURL() + "\", durability: fsync}\nsources: {altur: {provider: altur, secrets: [dev-secret]}}\n"
			if spool {
				config += "ingress: {spool: {dir: \"" + filepath.Join(data, "spool") + "\"}}\n"
			} else {
				config += "ingress: {ack_budget: 1s, read_timeout: 1s}\n"
			}
			p := launch(t, data, "127.0.0.1:0", "127.0.0.1:0", "--config", writeFile(t, config))
			waitFor(t, "the banner", p.listening)
			want, ready := http.StatusOK, http.StatusOK
			if !spool {
				want, ready = http.StatusServiceUnavailable, http.StatusServiceUnavailable
			}
			body := example(t, "altur", "documented-v2")
			if got := p.post("altur", body); got != want {
				t.Errorf("a webhook got %d, want %d", got, want)
			}
			if got := p.readyz(); got != ready {
				t.Errorf("readiness %d, want %d", got, ready)
			}
			waitFor(t, "the log", func() bool { return strings.Contains(p.logs.String(), "waiting for the broker and its streams") })
			srv.Start(t)
			waitFor(t, "readiness", func() bool { return p.readyz() == http.StatusOK })
			if !spool {
				if got := p.post("altur", body); got != http.StatusOK {
					t.Errorf("with the broker back a webhook got %d", got)
				}
			}
			waitFor(t, "the call", func() bool { return len(p.calls()) == 1 })
			if status := p.stop(); status != 0 {
				t.Errorf("exit status %d", status)
			}
		})
	}
}

func TestRunThatWaitsForItsBrokerStops(t *testing.T) {
	t.Parallel()
	srv := bustest.StartServer(t)
	srv.Stop()
	file := writeFile(t, "nats: {url: \""+srv.ClientURL()+"\"}\nsources: {altur: {provider: altur, secrets: [dev-secret]}}\n")
	p := launch(t, t.TempDir(), "127.0.0.1:0", "127.0.0.1:0", "--config", file)
	waitFor(t, "the banner", p.listening)
	began := time.Now()
	if status, took := p.stop(), time.Since(began); status != 0 || took > 10*time.Second {
		t.Errorf("exit status %d after %v: %s", status, took, p.logs)
	}
}

// The embedded server's streams have nobody else to migrate them.
func TestRunMigratesTheStreamsThatItEmbeds(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	srv := bustest.StartServerIn(t, filepath.Join(data, "nats"))
	srv.Connect(t).Close()
	nc, err := nats.Connect(srv.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	st, err := js.Stream(t.Context(), "CALLS")
	if err != nil {
		t.Fatal(err)
	}
	cfg := st.CachedInfo().Config
	cfg.MaxMsgsPerSubject = 2
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	nc.Close()
	srv.Stop()
	p := start(t, data, "127.0.0.1:0", "127.0.0.1:0")
	if !strings.Contains(p.logs.String(), "stream migrated") {
		t.Error(p.logs)
	}
	for _, s := range query[statusJSON](p, "status").Streams {
		if len(s.Differences) > 0 {
			t.Errorf("%v", s.Differences)
		}
	}
}
