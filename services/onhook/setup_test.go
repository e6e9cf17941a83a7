package onhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/provider"
	"github.com/onhook/onhook/pkg/service"
	"github.com/onhook/onhook/schemas"
	"github.com/onhook/onhook/services/onhook"
)

// asOnhook makes the test binary behave as the onhook binary.
const asOnhook = "ONHOOK_TEST_AS_ONHOOK"

func TestMain(m *testing.M) {
	if os.Getenv(asOnhook) == "" {
		os.Exit(m.Run())
	}
	service.Main("onhook", func(ctx context.Context) error {
		return onhook.Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
	})
}

// process is an `onhook run` of its own.
type process struct {
	t             *testing.T
	cmd           *exec.Cmd
	listen, admin string // host:port
	out, logs     *lockedBuffer
}

var addresses = regexp.MustCompile(`takes webhooks on http://(\S+) \(admin http://([^,]+),`)

// start starts `onhook run` over a data folder and waits until it is ready.
func start(t *testing.T, data, listen, admin string, args ...string) *process {
	t.Helper()
	p := launch(t, data, listen, admin, args...)
	waitFor(t, "onhook run", func() bool { return p.listening() && p.readyz() == http.StatusOK })
	return p
}

// launch starts `onhook run` over a data folder. It is killed when the test ends.
func launch(t *testing.T, data, listen, admin string, args ...string) *process {
	t.Helper()
	p := &process{t: t, out: &lockedBuffer{}, logs: &lockedBuffer{}}
	p.cmd = exec.Command(os.Args[0], append([]string{"run", "--data", data, "--listen", listen, "--admin", admin}, args...)...)
	p.cmd.Env = append(os.Environ(), asOnhook+"=1")
	p.cmd.Stdout = p.out
	p.cmd.Stderr = p.logs
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // ended already in most tests
		_ = p.cmd.Wait()
	})
	return p
}

// listening reports whether it takes webhooks, and on which addresses.
func (p *process) listening() bool {
	m := addresses.FindStringSubmatch(p.out.String())
	if m == nil {
		return false
	}
	p.listen, p.admin = m[1], m[2]
	return true
}

// readyz is the status of /readyz, or 0 without an answer.
func (p *process) readyz() int {
	resp, err := http.Get("http://" + p.admin + "/readyz")
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

func startAnywhere(t *testing.T, args ...string) *process {
	t.Helper()
	return start(t, t.TempDir(), "127.0.0.1:0", "127.0.0.1:0", args...)
}

// kill ends the process as a power cut of the process would: SIGKILL.
func (p *process) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	_ = p.cmd.Wait() // it says that it was killed
}

// stop ends the process in order and returns its exit status.
func (p *process) stop() int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		p.t.Fatal(err)
	}
	_ = p.cmd.Wait() // the status says it
	return p.cmd.ProcessState.ExitCode()
}

// run runs a command in this process and returns what it printed.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out, errs bytes.Buffer
	err := onhook.Main(t.Context(), args, &out, &errs)
	return out.String(), err
}

// query runs a command against p and decodes its JSON.
func query[T any](p *process, args ...string) T {
	p.t.Helper()
	var v T
	out, err := run(p.t, append(args, "--server", p.admin, "--json")...)
	if err != nil {
		p.t.Fatalf("onhook %s: %v", strings.Join(args, " "), err)
	}
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		p.t.Fatalf("onhook %s: %v in %s", strings.Join(args, " "), err, out)
	}
	return v
}

func (p *process) calls() []call.Call {
	p.t.Helper()
	return query[[]call.Call](p, "calls", "list", "--limit", "100000")
}

type statusJSON struct {
	Streams   []bus.StreamStatus
	Consumers []bus.ConsumerStatus
}

// waitDrained waits until no consumer has anything before it.
func (p *process) waitDrained() {
	p.t.Helper()
	waitFor(p.t, "an empty pipeline", func() bool {
		for _, c := range query[statusJSON](p, "status").Consumers {
			if c.Pending > 0 {
				return false
			}
		}
		return true
	})
}

// metric is a metric's value on the admin listener, or 0.
func (p *process) metric(series string) float64 {
	p.t.Helper()
	resp, err := http.Get("http://" + p.admin + "/metrics")
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, series+" "); ok {
			var v float64
			if _, err := fmt.Sscan(rest, &v); err != nil {
				p.t.Fatal(err)
			}
			return v
		}
	}
	return 0
}

// post sends a body to a source as its provider would and returns the status.
func (p *process) post(providerName string, body []byte) int {
	p.t.Helper()
	resp, err := http.DefaultClient.Do(p.request(providerName, body))
	if err != nil {
		p.t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

func (p *process) request(providerName string, body []byte) *http.Request {
	p.t.Helper()
	url := "http://" + p.listen + "/v1/webhooks/" + providerName
	known, ok := provider.Lookup(providerName)
	if !ok {
		p.t.Fatalf("no provider %s", providerName)
	}
	if known.Sign == nil {
		url += "/dev-token"
	}
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	if known.Sign != nil {
		req.Header = known.Sign(body, "dev-secret", "")
	}
	return req
}

func example(t *testing.T, providerName, name string) []byte {
	t.Helper()
	b, err := schemas.FS.ReadFile("provider/" + providerName + "/" + name + ".example.json")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "onhook.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); <-tick.C {
		if done() {
			return
		}
	}
	t.Fatalf("waited in vain for %s", what)
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
