package ingress

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/pkg/provider"
	"github.com/onhook/onhook/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The secrets and tokens of the sources, each text and base64 alike.
const (
	newSecret = "bmV3ZXItc2VjcmV0LW9mLWFsdHVy"
	oldSecret = "b2xkZXItc2VjcmV0LW9mLWFsdHVy"
	synSecret = "c2VjcmV0LW9mLXN5bnRoZmxvdy0x"
	newToken  = "newer-token-8d1f"
	oldToken  = "older-token-77aa"
)

func testSources() provider.Sources {
	return provider.Sources{
		"altur":        {Provider: "altur", Secrets: config.Secrets{newSecret, oldSecret}},
		"altur-hex":    {Provider: "altur", Secrets: config.Secrets{newSecret}, Scheme: "hex"},
		"altur-base64": {Provider: "altur", Secrets: config.Secrets{newSecret}, Scheme: "base64"},
		"altur-both":   {Provider: "altur", Secrets: config.Secrets{newSecret}, Token: config.Secrets{newToken}},
		"synthflow":    {Provider: "synthflow", Secrets: config.Secrets{synSecret}},
		"cllr":         {Provider: "cllr", Token: config.Secrets{newToken, oldToken}},
		"open":         {Provider: "cllr", Insecure: true},
		"limited":      {Provider: "cllr", Token: config.Secrets{newToken}, RateLimit: 0.001, Burst: 2},
	}
}

// fixture is a running ingress, and what it leaves behind.
type fixture struct {
	*Ingress
	client *http.Client
	logs   *observer.ObservedLogs // every level
	reg    *prometheus.Registry
	stop   func() error // ends Run and returns its error
}

// options change the ingress under test; nil functions change nothing.
type options struct {
	config  func(*Config)
	handler func(http.Handler) http.Handler
}

func setup(t testing.TB, b publisher, o options) *fixture {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	if o.config != nil {
		o.config(&cfg)
	}
	core, logs := observer.New(zapcore.DebugLevel)
	reg := prometheus.NewRegistry()
	in, err := New(cfg, testSources(), b, zap.New(core), reg)
	if err != nil {
		t.Fatal(err)
	}
	if o.handler != nil {
		in.server.Handler = o.handler(in.server.Handler)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- in.Run(ctx) }()
	f := &fixture{Ingress: in, client: &http.Client{Transport: transport}, logs: logs, reg: reg}
	f.stop = sync.OnceValue(func() error {
		cancel()
		return <-ran
	})
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := f.stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return f
}

// count is how many requests ended so, by the metric.
func (f *fixture) count(source, outcome string) int {
	return int(testutil.ToFloat64(f.metrics.deliveries.WithLabelValues(source, outcome)))
}

// nothingHeld reports whether no body is being held.
func (f *fixture) nothingHeld() bool {
	all := int64(f.cfg.MaxInFlight) + 1
	if !f.inFlight.TryAcquire(all) {
		return false
	}
	f.inFlight.Release(all)
	return true
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

// send sends body to a path below /v1/webhooks/.
func (f *fixture) send(t testing.TB, path string, header http.Header, body []byte) answer {
	t.Helper()
	a, err := f.try(t.Context(), path, header, body)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// begin is send from a goroutine of its own. Without an answer, what comes is one of status 0.
func (f *fixture) begin(t testing.TB, path string, body []byte) <-chan answer {
	t.Helper()
	got := make(chan answer, 1)
	go func() {
		a, err := f.try(t.Context(), path, nil, body)
		if err != nil {
			t.Error(err)
		}
		got <- a
	}()
	return got
}

// try is send for any goroutine.
func (f *fixture) try(ctx context.Context, path string, header http.Header, body []byte) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+f.Addr()+"/v1/webhooks/"+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Content-Type", "application/json")
	for k, v := range header {
		r.Header[k] = v // as spelt, not canonical
	}
	res, err := f.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	return readAll(res)
}

func (f *fixture) do(t testing.TB, r *http.Request) answer {
	t.Helper()
	res, err := f.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, res)
}

func read(t testing.TB, res *http.Response) answer {
	t.Helper()
	a, err := readAll(res)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func readAll(res *http.Response) (answer, error) {
	body, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, body}, errors.Join(err, res.Body.Close())
}

type receipt struct {
	Received   bool   `json:"received"`
	DeliveryID string `json:"delivery_id"`
}

// accepted returns the delivery id of a 200.
func (a answer) accepted(t testing.TB) string {
	t.Helper()
	var got receipt
	if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/json" || json.Unmarshal(a.body, &got) != nil || !got.Received || got.DeliveryID == "" {
		t.Fatalf("not accepted: %d %v %s", a.status, a.header, a.body)
	}
	return got.DeliveryID
}

// refused holds a refusal to RFC 9457 and returns its detail.
func (a answer) refused(t testing.TB, status int) string {
	t.Helper()
	var got problem
	dec := json.NewDecoder(bytes.NewReader(a.body))
	dec.DisallowUnknownFields()
	err := dec.Decode(&got)
	if a.status != status || a.header.Get("Content-Type") != "application/problem+json" || err != nil ||
		got.Type != "about:blank" || got.Title != http.StatusText(status) || got.Status != status || got.Detail == "" {
		t.Fatalf("got %d %v %s, want a problem of status %d", a.status, a.header, a.body, status)
	}
	return got.Detail
}

// sign makes the headers that the real provider sends.
func sign(t testing.TB, name string, body []byte, secret, scheme string) http.Header {
	t.Helper()
	p, _ := provider.Lookup(name)
	h := p.Sign(body, secret, scheme)
	if h == nil {
		t.Fatalf("%s: cannot sign %.40s", name, body)
	}
	return h
}

// example is a file of schemas/provider.
func example(t testing.TB, name string) []byte {
	t.Helper()
	b, err := fs.ReadFile(schemas.FS, "provider/"+name+".example.json")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// waitFor waits until done reports true.
func waitFor(t testing.TB, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.Now().Add(20 * time.Second)
	for !done() {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
		<-tick.C
	}
}

// fake is a bus for what a real one cannot be made to do at will.
type fake struct {
	publish func(ctx context.Context, d *bus.Delivery) error // nil: stored at once
}

func (f fake) PublishDelivery(ctx context.Context, d *bus.Delivery) error {
	if f.publish == nil {
		return nil
	}
	return f.publish(ctx, d)
}

// gate is a bus that holds each delivery until it is opened.
type gate struct {
	publisher
	came   chan *bus.Delivery
	opened chan struct{}
}

func newGate(b publisher) *gate {
	return &gate{publisher: b, came: make(chan *bus.Delivery, 100), opened: make(chan struct{})}
}

func (g *gate) PublishDelivery(ctx context.Context, d *bus.Delivery) error {
	g.came <- d
	select {
	case <-g.opened:
		return g.publisher.PublishDelivery(ctx, d)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// logText is every log line so far, fields and all.
func (f *fixture) logText(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	enc := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	for _, e := range f.logs.All() {
		line, err := enc.EncodeEntry(e.Entry, e.Context)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(line.Bytes())
	}
	return b.String()
}
