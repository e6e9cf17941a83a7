//go:build linux

package e2e

import (
	"database/sql"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stepClock sets the clock of ingress forward and back by an hour under load. All of the process sees the step, and its
// monotonic clock goes on, as when the clock of a machine is set.
func stepClock(t *testing.T, s *suite, r *result) {
	limited := sections{"sources": {
		"altur":     map[string]any{"provider": "altur", "secrets": []string{secret}, "rate_limit": 200},
		"cllr":      map[string]any{"provider": "cllr", "token": token, "rate_limit": 200},
		"synthflow": map[string]any{"provider": "synthflow", "secrets": []string{secret}, "rate_limit": 200},
	}}
	in := apart(t, s, layout{ingressBinary: buildStepped(t), more: limited})
	l := startLoad(t, in, loadOptions{})
	l.awaitAcks(40)
	for range s.count(1, 10) {
		for _, step := range []syscall.Signal{forth, back, back, forth} { // ahead, right, behind, right
			if !in.ingress[0].signal(step) {
				t.Fatal("ingress is not there")
			}
			r.Injected++
			l.awaitAcks(40)
		}
	}
	check(t, in, l, r)
	r.note("No provider of today signs a time, so none has a tolerance that a wrong clock could exceed.")
	if refused := r.Sent - r.Answers["200"]; refused > 0 {
		t.Errorf("%d deliveries were refused that were right", refused)
	}
	now := time.Now().UTC()
	for when, where := range map[string]string{
		"ahead":  "received_at > '" + now.Add(30*time.Minute).Format(time.RFC3339) + "'",
		"behind": "received_at < '" + now.Add(-30*time.Minute).Format(time.RFC3339) + "'",
	} {
		if countCalls(t, in, where) == 0 {
			t.Errorf("no call was received while the clock was %s: it was not stepped", when)
		}
	}
}

func countCalls(t *testing.T, in *installation, where string) (n int) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+strings.TrimPrefix(in.dsn, "sqlite:")+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow("SELECT count(*) FROM calls WHERE " + where).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// What the stepped ingress takes for a step of an hour.
const (
	forth = syscall.SIGUSR1
	back  = syscall.SIGUSR2
)

const (
	clockRead = "\tsec, nsec, mono := runtimeNow()\n" // the one place where package time reads the wall clock for Now
	stepFile  = `package time

import "sync/atomic"

var stepped atomic.Int64 // seconds

// Step sets the wall clock.
func Step(by Duration) { stepped.Add(int64(by / Second)) }
`
	signalFile = `package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"
)

func init() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		for s := range signals {
			if s == syscall.SIGUSR1 {
				time.Step(time.Hour)
			} else {
				time.Step(-time.Hour)
			}
		}
	}()
}
`
)

// buildStepped builds ingress over a package time whose clock can be stepped, so that ingress itself needs no clock to be
// handed to it for the sake of a test.
func buildStepped(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	put := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	std := filepath.Join(goroot(t), "src", "time")
	source, err := os.ReadFile(filepath.Join(std, "time.go"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(source), clockRead) != 1 {
		t.Fatalf("%s reads its clock in another way; see how, and mend clockRead", runtime.Version())
	}
	module, err := filepath.Abs("../../services/ingress")
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {
		filepath.Join(std, "time.go"):                 put("time.go", strings.Replace(string(source), clockRead, clockRead+"\tsec += stepped.Load()\n", 1)),
		filepath.Join(std, "step.go"):                 put("step.go", stepFile),
		filepath.Join(module, "cmd/ingress/clock.go"): put("clock.go", signalFile),
	}})
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "ingress")
	cmd := exec.Command("go", "build", "-overlay", put("overlay.json", string(overlay)), "-o", binary, "./cmd/ingress")
	cmd.Dir = module
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

func goroot(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
