package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.uber.org/goleak"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/services/crm/internal/crmtest"
	"github.com/onhook/onhook/services/crm/internal/sink"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), // idle connections of the clients
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
		goleak.IgnoreAnyFunction("net/http.(*Transport).dialConnFor"), // one that another connection's release made needless
	)
}

// secret is one of 32 bytes, all of them b.
func secret(b byte) string {
	return secretPrefix + base64.StdEncoding.EncodeToString([]byte(strings.Repeat(string(b), 32)))
}

func client(t *testing.T, address string, set ...func(*Config)) *Client {
	t.Helper()
	cfg := DefaultConfig()
	cfg.URL, cfg.Secrets, cfg.AllowPrivate = config.Secret(address), config.Secrets{config.Secret(secret('n'))}, true
	for _, f := range set {
		f(&cfg)
	}
	c, err := New(cfg, Deps{Sink: "hooks"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestExercise(t *testing.T) {
	t.Parallel()
	crmtest.Exercise(t, func(*testing.T) crmtest.Subject {
		receiver := crmtest.NewWebhook(secret('n'))
		return crmtest.Subject{
			Vendor:  receiver,
			Open:    func(t *testing.T, address string) sink.Sink { return client(t, address+"/hooks/pa55word?key=pa55word") },
			Writes:  func(*http.Request) bool { return true },
			Records: receiver.Records,
			Secrets: []string{"pa55word", secret('n'), strings.TrimPrefix(secret('n'), secretPrefix)},
			Kinds:   map[string][]retry.Kind{"477": {retry.Dead}}, // no status of HTTP, nor of this specification
		}
	})
}

func TestBothSecretsSignWhileTheyAreChanged(t *testing.T) {
	t.Parallel()
	for name, has := range map[string][]string{"the old": {secret('o')}, "the new": {secret('n')}, "both": {secret('o'), secret('n')}} {
		receiver := crmtest.NewWebhook(has...)
		server := httptest.NewServer(receiver)
		c := client(t, server.URL, func(c *Config) { c.Secrets = config.Secrets{config.Secret(secret('n')), config.Secret(secret('o'))} })
		if r := c.Deliver(t.Context(), crmtest.Calls(1)); r[0].Err != nil || len(receiver.Events()) != 1 {
			t.Errorf("a receiver that has %s: %v", name, r[0].Err)
		}
		server.Close()
	}
}

// The specification's own library signs as we do.
func TestSignatureIsTheLibrarys(t *testing.T) {
	t.Parallel()
	c := client(t, "http://127.0.0.1:1")
	at := time.Unix(1_800_000_000, 0)
	lib, err := standardwebhooks.NewWebhook(secret('n'))
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{"", "{}", "ñ.\x00\xff", strings.Repeat("long", 10_000)} {
		want, err := lib.Sign("msg_1", at, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.sign("msg_1", fmt.Sprint(at.Unix()), []byte(body)); got != want {
			t.Errorf("%.20q: %s, want %s", body, got, want)
		}
	}
}

func TestIDTellsEachCallOfEachSinkAndNothingElse(t *testing.T) {
	t.Parallel()
	c := client(t, "http://127.0.0.1:1")
	one := call.Call{Provider: "altur", Source: "a", CallID: "1", Event: call.Ended}
	id := c.id(&one)
	again := one
	again.Status, again.DeliveryID = call.StatusBusy, "another"
	if c.id(&again) != id || strings.Contains(id, ".") || !strings.HasPrefix(id, "msg_") {
		t.Errorf("%s and %s", id, c.id(&again))
	}
	seen := map[string]bool{id: true}
	other := client(t, "http://127.0.0.1:1")
	other.name = "others"
	for _, v := range []string{
		other.id(&one),
		c.id(&call.Call{Provider: "cllr", Source: "a", CallID: "1", Event: call.Ended}),
		c.id(&call.Call{Provider: "altur", Source: "b", CallID: "1", Event: call.Ended}),
		c.id(&call.Call{Provider: "altur", Source: "a", CallID: "2", Event: call.Ended}),
		c.id(&call.Call{Provider: "altur", Source: "a", CallID: "1", Event: call.Progress}),
		c.id(&call.Call{Provider: "altura", Source: "", CallID: "1", Event: call.Ended}),
	} {
		if seen[v] {
			t.Errorf("two calls have the id %s", v)
		}
		seen[v] = true
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	reached := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, status))
		err := client(t, server.URL).Deliver(t.Context(), crmtest.Calls(1))[0].Err
		if kind, _ := retry.Classify(err); kind != retry.Paused || reached {
			t.Errorf("%d: kind %d, followed: %v; %v", status, kind, reached, err)
		}
		server.Close()
	}
}

func TestAnswered(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		status int
		after  string
		kind   retry.Kind
		delay  time.Duration
	}{
		{200, "", retry.Done, 0}, {202, "", retry.Done, 0}, {204, "", retry.Done, 0},
		{302, "", retry.Paused, mended}, {304, "", retry.Paused, mended},
		{400, "", retry.Dead, 0}, {413, "", retry.Dead, 0}, {415, "", retry.Dead, 0}, {422, "", retry.Dead, 0},
		{401, "", retry.Paused, mended}, {403, "", retry.Paused, mended}, {404, "", retry.Paused, mended}, {405, "", retry.Paused, mended},
		{408, "", retry.Again, 0}, {409, "", retry.Again, 0}, {409, "30", retry.Later, 30 * time.Second},
		{410, "", retry.Paused, gone}, {410, "1", retry.Paused, gone},
		{423, "", retry.Later, locked},
		{429, "", retry.Paused, throttled}, {429, "7", retry.Paused, 7 * time.Second}, {429, "0", retry.Paused, 0},
		{429, "Sun, 01 Mar 2026 12:01:00 GMT", retry.Paused, time.Minute}, {429, "Sun, 01 Mar 2026 11:00:00 GMT", retry.Paused, 0},
		{429, "a while", retry.Paused, throttled}, {429, "-1", retry.Paused, throttled}, {429, "999999999", retry.Paused, mostDelay},
		{500, "", retry.Again, 0}, {500, "60", retry.Later, time.Minute}, {501, "", retry.Again, 0}, {599, "", retry.Again, 0},
		{502, "", retry.Paused, soon}, {503, "90", retry.Paused, 90 * time.Second}, {504, "", retry.Paused, soon},
	} {
		err := answered(tt.status, tt.after, now)
		kind, d := retry.Classify(err)
		if kind != tt.kind || d != tt.delay {
			t.Errorf("%d with Retry-After %q: kind %d in %v, want %d in %v", tt.status, tt.after, kind, d, tt.kind, tt.delay)
		}
		_, said := delay(tt.after, now)
		if named := kind == retry.Paused && said && tt.status != http.StatusGone; retry.AtLeast(err) != named {
			t.Errorf("%d with Retry-After %q: the delay is the endpoint's own: %v", tt.status, tt.after, !named)
		}
	}
}

func TestAddressesThatAreNotPublicAreNotConnectedTo(t *testing.T) {
	t.Parallel()
	for address, public := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1": true, "172.32.0.1": true, "100.128.0.1": true,
		"127.0.0.1": false, "127.9.9.9": false, "::1": false, "0.0.0.0": false, "::": false, "0.1.2.3": false,
		"10.0.0.1": false, "172.16.0.1": false, "192.168.1.1": false, "fd00:ec2::254": false, "fe80::1": false, "fe80::1%eth0": false, "fec0::1": false,
		"169.254.169.254": false, "100.100.100.200": false, "100.64.0.1": false, "168.63.129.16": false,
		"::ffff:127.0.0.1": false, "::ffff:169.254.169.254": false, "::ffff:8.8.8.8": true, "::127.0.0.1": false, "64:ff9b::7f00:1": false,
		"2002:7f00:1::": false, "2001:0:4136:e378:8000:63bf:3fff:fdd2": false,
		"::ffff:0:127.0.0.1": false, "64:ff9b:1::1": false, "100::1": false, "4000::1": false, "5f00::1": false, "3fff::1": false, "192.88.99.1": false,
		"224.0.0.1": false, "ff02::1": false, "255.255.255.255": false, "240.0.0.1": false, "198.18.0.1": false, "192.0.2.1": false, "2001:db8::1": false,
	} {
		if got := isPublic(netip.MustParseAddr(address)); got != public {
			t.Errorf("%s is public: %v", address, got)
		}
	}
}

// A name can lead anywhere: what counts is the address that is connected to. A proxy would hide it.
func TestANameThatLeadsInsideIsRefusedWhateverTheProxy(t *testing.T) {
	reached := false
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer server.Close()
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer proxy.Close()
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		t.Setenv(name, proxy.URL)
	}
	port := server.URL[strings.LastIndex(server.URL, ":"):]
	for _, address := range []string{"https://127.0.0.1" + port, "https://localhost" + port, "https://[::ffff:127.0.0.1]" + port, "https://169.254.169.254" + port} {
		c := client(t, address, func(c *Config) { c.AllowPrivate = false })
		err := c.Deliver(t.Context(), crmtest.Calls(1))[0].Err
		if kind, _ := retry.Classify(err); !errors.Is(err, errPrivate) || kind != retry.Paused || reached {
			t.Errorf("%s: kind %d, reached: %v; %v", address, kind, reached, err)
		}
	}
}

func TestACertificateThatIsNotTrustedStopsTheSink(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ErrorLog = nil
	server.StartTLS()
	defer server.Close()
	err := client(t, server.URL).Deliver(t.Context(), crmtest.Calls(1))[0].Err
	if kind, d := retry.Classify(err); kind != retry.Paused || d != mended {
		t.Errorf("kind %d in %v: %v", kind, d, err)
	}
}

// The address is a secret; errors of DNS and of certificates once quoted its host.
func TestNoErrorTellsWhereTheEndpointIs(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer plain.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	for name, tt := range map[string]struct {
		address string
		public  bool // only
		trusted bool
	}{
		"no such name":             {address: "https://pa55word.invalid/"},
		"an untrusted certificate": {address: server.URL},
		"another's certificate":    {address: strings.Replace(server.URL, "127.0.0.1", "localhost", 1), trusted: true},
		"not TLS":                  {address: "https://" + strings.TrimPrefix(plain.URL, "http://")},
		"broken off":               {address: plain.URL},
		"nobody listens":           {address: gone.URL},
		"a private address":        {address: server.URL, public: true},
	} {
		c := client(t, tt.address, func(c *Config) { c.AllowPrivate = !tt.public })
		if tt.trusted {
			pool := x509.NewCertPool()
			pool.AddCert(server.Certificate())
			c.http.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
		}
		err := c.Deliver(t.Context(), crmtest.Calls(1))[0].Err
		if kind, _ := retry.Classify(err); kind != retry.Paused {
			t.Errorf("%s: kind %d: %v", name, kind, err)
			continue
		}
		for e := err; e != nil; e = errors.Unwrap(e) {
			for _, secret := range []string{"pa55word", "127.0.0.1", "localhost"} {
				if strings.Contains(e.Error(), secret) {
					t.Errorf("%s: %q is told: %v", name, secret, e)
				}
			}
		}
	}
}

// A batch for an endpoint that hangs once took as many timeouts as it had calls.
func TestAnEndpointThatIsDownIsNotAskedForEachCall(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	defer server.Close()
	c := client(t, server.URL, func(c *Config) { c.Connections = 2 })
	for _, r := range c.Deliver(t.Context(), crmtest.Calls(100)) {
		if kind, d := retry.Classify(r.Err); kind != retry.Paused || d != time.Minute {
			t.Errorf("kind %d in %v: %v", kind, d, r.Err)
		}
	}
	if n := asked.Load(); n > 2 {
		t.Errorf("it was asked %d times", n)
	}
}

// An endpoint that failed at everything was once asked to death, an attempt of each call at a time.
func TestAnEndpointThatFailsAtAllCallsIsDownAndOneThatFailsAtSomeIsNot(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		first, others int // statuses; 0 breaks the connection off
		after         string
		want          retry.Kind // of the others
		wait          time.Duration
	}{
		"500 to all":                      {500, 500, "", retry.Paused, soon},
		"500 to all, and when":            {500, 500, "90", retry.Paused, 90 * time.Second},
		"all broken off":                  {0, 0, "", retry.Paused, soon},
		"500 to some, the rest taken":     {204, 500, "", retry.Again, 0},
		"500 to some, the rest refused":   {422, 500, "", retry.Again, 0},
		"500 to some, the rest in use":    {423, 500, "", retry.Again, 0},
		"broken off for some":             {204, 0, "", retry.Again, 0},
		"500 to some, the rest throttled": {429, 500, "", retry.Paused, -1},
		"conflicts":                       {409, 409, "", retry.Again, 0},
	} {
		var asked atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			status := tt.others
			if asked.Add(1) == 1 {
				status = tt.first
			}
			if status == 0 {
				panic(http.ErrAbortHandler)
			}
			w.Header().Set("Retry-After", tt.after)
			w.WriteHeader(status)
		}))
		c := client(t, server.URL, func(c *Config) { c.Connections = 1 })
		kinds := map[retry.Kind]int{}
		for _, r := range c.Deliver(t.Context(), crmtest.Calls(4)) {
			kind, wait := retry.Classify(r.Err)
			kinds[kind]++
			if kind == tt.want && tt.wait >= 0 && wait != tt.wait {
				t.Errorf("%s: again in %v, want %v: %v", name, wait, tt.wait, r.Err)
			}
		}
		if kinds[tt.want] < 3 {
			t.Errorf("%s: kinds %v, want three of %d", name, kinds, tt.want)
		}
		server.Close()
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release) // before the server can close
	c := client(t, server.URL, func(c *Config) { c.Timeout = 50 * time.Millisecond })
	err := c.Deliver(context.Background(), crmtest.Calls(1))[0].Err
	if kind, _ := retry.Classify(err); kind != retry.Paused || !strings.Contains(err.Error(), "in time") {
		t.Errorf("kind %d: %v", kind, err)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		set  func(*Config)
		want string
	}{
		{func(*Config) {}, ""},
		{func(c *Config) { c.URL = "" }, "url: give the address"},
		{func(c *Config) { c.URL = "example.com/pa55word" }, "url: it is not an address"},
		{func(c *Config) { c.URL = "ftp://example.com/pa55word" }, "url: it is not an address"},
		{func(c *Config) { c.URL = "http://example.com/pa55word" }, "url: it is http"},
		{func(c *Config) { c.URL = "http://example.com/"; c.AllowPrivate = true }, ""},
		{func(c *Config) { c.URL = "https://u:pa55word@example.com/" }, "url: it has a user"},
		{func(c *Config) { c.Secrets = nil }, "secrets: give one"},
		{func(c *Config) { c.Secrets = config.Secrets{"pa55word"} }, "secrets: secret 1 of 1: want whsec_"},
		{func(c *Config) { c.Secrets = append(c.Secrets, "whsec_c2hvcnQ=") }, "secrets: secret 2 of 2: want whsec_"},
		{func(c *Config) { c.Body = "fat" }, `body: there is no body "fat"`},
		{func(c *Config) { c.Timeout = 0 }, "timeout:"},
		{func(c *Config) { c.Connections = 0 }, "connections:"},
		{func(c *Config) { c.URLFile = "/nonexistent" }, "url_file: set the secret or the file"},
		{func(c *Config) { c.Secrets, c.SecretsFile = nil, "/nonexistent" }, "secrets_file: cannot read"},
	} {
		c := DefaultConfig()
		c.URL, c.Secrets = "https://example.com/hooks", config.Secrets{config.Secret(secret('n'))}
		tt.set(&c)
		err := c.Validate()
		if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "pa55word")) {
			t.Errorf("%v, want %q", err, tt.want)
		}
	}
}
