package service_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/onhook/onhook/pkg/service"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
)

// startAdmin serves an admin listener until the test ends. The function stops it earlier.
func startAdmin(t *testing.T, listen string, checks ...service.Check) (*service.Admin, func()) {
	t.Helper()
	a, err := service.NewAdmin(listen, prometheus.NewRegistry(), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		a.AddCheck(c)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stopped := false
	stop := func() {
		cancel()
		if stopped {
			return
		}
		stopped = true
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	t.Cleanup(stop)
	return a, stop
}

func do(t *testing.T, req *http.Request) (int, string) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true} // so that no goroutine outlives the test
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, strings.TrimSuffix(string(body), "\n")
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, req)
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	ok := func(context.Context) error { return nil }
	for name, c := range map[string]struct {
		checks []service.Check
		stop   bool
		status int
		body   string
	}{
		"no checks":           {nil, false, 200, `{"ready":true,"checks":[]}`},
		"all well, sorted":    {[]service.Check{{Name: "store", Probe: ok}, {Name: "broker", Probe: ok}}, false, 200, `{"ready":true,"checks":[{"name":"broker","ok":true},{"name":"store","ok":true}]}`},
		"one fails":           {[]service.Check{{Name: "store", Probe: ok}, {Name: "broker", Probe: func(context.Context) error { return errBroker }}}, false, 503, `{"ready":false,"checks":[{"name":"broker","ok":false,"reason":"broker is gone"},{"name":"store","ok":true}]}`},
		"one panics":          {[]service.Check{{Name: "broker", Probe: func(context.Context) error { panic("no cheese") }}}, false, 503, `{"ready":false,"checks":[{"name":"broker","ok":false,"reason":"panic: no cheese"}]}`},
		"stopping, not asked": {[]service.Check{{Name: "store", Probe: ok}}, true, 503, `{"ready":false,"checks":[{"name":"process","ok":false,"reason":"stopping"}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, _ := startAdmin(t, "127.0.0.1:0", c.checks...)
			if c.stop {
				a.Stopping()
			}
			if status, body := get(t, "http://"+a.Addr()+"/readyz"); status != c.status || body != c.body {
				t.Errorf("got  %d %s\nwant %d %s", status, body, c.status, c.body)
			}
			if status, body := get(t, "http://"+a.Addr()+"/healthz"); status != 200 || body != `{"status":"ok"}` {
				t.Errorf("healthz: %d %s", status, body)
			}
		})
	}
}

// TestProcessIsNotReadyBeforeItsPartsStop: whoever routes traffic must hear of the end before the ingress does.
func TestProcessIsNotReadyBeforeItsPartsStop(t *testing.T) {
	t.Parallel()
	p, err := service.NewProcess(service.Options{Admin: "127.0.0.1:0"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err = p.Run(ctx, service.Part{Name: "ingress", Run: func(ctx context.Context) error {
		if status, body := get(t, "http://"+p.Admin.Addr()+"/readyz"); status != 200 {
			t.Errorf("while working: %d %s", status, body)
		}
		cancel()
		<-ctx.Done()
		if status, body := get(t, "http://"+p.Admin.Addr()+"/readyz"); status != 503 || !strings.Contains(body, `"reason":"stopping"`) {
			t.Errorf("while stopping: %d %s", status, body)
		}
		if status, _ := get(t, "http://"+p.Admin.Addr()+"/healthz"); status != 200 {
			t.Errorf("healthz while stopping: %d", status)
		}
		return nil
	}})
	if err != nil {
		t.Error(err)
	}
}

func TestHostAndOrigin(t *testing.T) {
	t.Parallel()
	const refused = "This listener answers only to localhost and loopback addresses in the Host header."
	for name, c := range map[string]struct {
		listen, method, host, origin string
		want                         int
	}{
		"as bound":           {"127.0.0.1:0", "GET", "", "", 200},
		"localhost":          {"127.0.0.1:0", "GET", "localhost", "", 200},
		"localhost and port": {"127.0.0.1:0", "GET", "LocalHost:9999", "", 200},
		"another loopback":   {"127.0.0.1:0", "GET", "127.1.2.3:80", "", 200},
		"IPv6":               {"127.0.0.1:0", "GET", "[::1]:80", "", 200},
		"IPv6 without port":  {"127.0.0.1:0", "GET", "[::1]", "", 200},
		"mapped":             {"127.0.0.1:0", "GET", "[::ffff:127.0.0.1]", "", 200},
		"a name":             {"127.0.0.1:0", "GET", "evil.example", "", 421},
		"a name with port":   {"127.0.0.1:0", "GET", "evil.example:8081", "", 421},
		"prefix":             {"127.0.0.1:0", "GET", "localhost.evil.example", "", 421},
		"address as prefix":  {"127.0.0.1:0", "GET", "127.0.0.1.evil.example", "", 421},
		"another address":    {"127.0.0.1:0", "GET", "10.0.0.1", "", 421},
		"not on loopback":    {"0.0.0.0:0", "GET", "onhook.internal", "", 200},
		"post":               {"127.0.0.1:0", "POST", "", "", 200},
		"post by a web page": {"127.0.0.1:0", "POST", "", "https://evil.example", 403},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, _ := startAdmin(t, c.listen)
			a.Handle("/v1/dead", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			_, port, err := net.SplitHostPort(a.Addr())
			if err != nil {
				t.Fatal(err)
			}
			req, err := http.NewRequestWithContext(t.Context(), c.method, "http://127.0.0.1:"+port+"/v1/dead", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = c.host
			if c.origin != "" {
				req.Header.Set("Origin", c.origin)
			}
			status, body := do(t, req)
			if status != c.want {
				t.Errorf("got %d %s, want %d", status, body, c.want)
			}
			if status == http.StatusMisdirectedRequest && body != refused {
				t.Errorf("body %q", body)
			}
		})
	}
}

func TestNoHostIsRefused(t *testing.T) {
	t.Parallel()
	a, _ := startAdmin(t, "127.0.0.1:0")
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", a.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /healthz HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.Contains(line, "421") {
		t.Errorf("%s, %v", line, err)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	for range 2 { // a second listener on the same registry finds the collectors there
		a, err := service.NewAdmin("127.0.0.1:0", reg, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		url := "http://" + a.Addr() + "/metrics"
		want := fmt.Sprintf("# HELP onhook_build_info Always 1; the labels say what runs here.\n# TYPE onhook_build_info gauge\n"+
			"onhook_build_info{go_version=%q,revision=%q,version=%q} 1\n", runtime.Version(), service.Revision(), service.Version())
		if err := testutil.ScrapeAndCompare(url, strings.NewReader(want), "onhook_build_info"); err != nil {
			t.Error(err)
		}
		status, body := get(t, url)
		if status != 200 || !strings.Contains(body, "\ngo_goroutines ") || !strings.Contains(body, "\nprocess_start_time_seconds ") {
			t.Errorf("%d %s", status, body)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestChecksAreMetrics, so that an alert can name the condition that keeps a process from being ready.
func TestChecksAreMetrics(t *testing.T) {
	t.Parallel()
	a, _ := startAdmin(t, "127.0.0.1:0",
		service.Check{Name: "durability", Probe: func(context.Context) error { return errBroker }},
		service.Check{Name: "broker", Probe: func(context.Context) error { return nil }})
	const want = `# HELP onhook_check_ok Whether a condition of readiness holds: 1 or 0. /readyz says why not.
# TYPE onhook_check_ok gauge
onhook_check_ok{check="broker"} 1
onhook_check_ok{check="durability"} 0
`
	if err := testutil.ScrapeAndCompare("http://"+a.Addr()+"/metrics", strings.NewReader(want), "onhook_check_ok"); err != nil {
		t.Error(err)
	}
}

func TestAddressInUse(t *testing.T) {
	t.Parallel()
	a, _ := startAdmin(t, "127.0.0.1:0")
	_, err := service.NewAdmin(a.Addr(), prometheus.NewRegistry(), zap.NewNop())
	want := "admin listener: cannot listen on " + a.Addr() + ": bind: address already in use; --admin changes the address"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestStoppedAdminRefusesConnections(t *testing.T) {
	t.Parallel()
	a, stop := startAdmin(t, "127.0.0.1:0")
	if status, _ := get(t, "http://"+a.Addr()+"/healthz"); status != 200 {
		t.Fatalf("status %d", status)
	}
	stop()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", a.Addr())
	if err == nil {
		conn.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v", err)
	}
}
