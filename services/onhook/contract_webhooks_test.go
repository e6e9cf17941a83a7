package onhook

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/pkg/provider"
	"github.com/onhook/onhook/schemas"
	"github.com/onhook/onhook/services/ingress"
)

// moody is a bus that does to a delivery what its source is named for.
type moody struct{}

func (moody) PublishDelivery(_ context.Context, d *bus.Delivery) error {
	switch d.Source {
	case "broken":
		panic("broken")
	case "away":
		return errors.New("away")
	}
	return nil
}

// startIngress serves until the test ends and returns the address.
func startIngress(t *testing.T, token config.Secrets, set func(*ingress.Config)) string {
	t.Helper()
	cfg := ingress.DefaultConfig()
	cfg.Listen, cfg.MaxBody = "127.0.0.1:0", 64<<10
	set(&cfg)
	sources := provider.Sources{}
	for _, name := range []string{"altur", "away", "broken", "limited", "synthflow"} {
		s := provider.Source{Provider: "altur", Secrets: config.Secrets{"secret"}, Token: token}
		switch name {
		case "synthflow":
			s.Provider = name
		case "limited":
			s.RateLimit, s.Burst = 1e-6, 1
		}
		sources[name] = s
	}
	in, err := ingress.New(cfg, sources, moody{}, zap.NewNop(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	serveUntilEnd(t, in.Run)
	return "http://" + in.Addr()
}

func serveUntilEnd(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestWebhookAnswersAreAsDocumented(t *testing.T) {
	t.Parallel()
	read := func(path string) []byte {
		b, err := schemas.FS.ReadFile("provider/" + path + ".example.json")
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	good := read("altur/full-v2")
	altur, _ := provider.Lookup("altur")
	signed := altur.Sign(good, "secret", "")

	for _, variant := range []struct {
		path, token string
		tokens      config.Secrets
	}{
		{"/v1/webhooks/{source}", "", nil},
		{"/v1/webhooks/{source}/{token}", "/t0ken", config.Secrets{"t0ken"}},
	} {
		t.Run(variant.path, func(t *testing.T) {
			t.Parallel()
			p := readPaper(t)
			url := startIngress(t, variant.tokens, func(*ingress.Config) {})
			impatient := startIngress(t, variant.tokens, func(c *ingress.Config) { c.ReadTimeout = 50 * time.Millisecond })
			never, w := io.Pipe()
			t.Cleanup(func() { _ = w.Close() })
			operation := "POST " + variant.path
			for _, c := range []struct {
				status               int
				server, method, path string
				header               http.Header
				body                 io.Reader
			}{
				{200, url, http.MethodPost, "altur", signed, bytes.NewReader(good)},
				{400, url, http.MethodPost, "altur", signed, nil},
				{401, url, http.MethodPost, "altur", nil, bytes.NewReader(good)},
				{404, url, http.MethodPost, "nobody", signed, bytes.NewReader(good)},
				{405, url, http.MethodPut, "altur", signed, bytes.NewReader(good)},
				{408, impatient, http.MethodPost, "altur", signed, never},
				{413, url, http.MethodPost, "altur", signed, bytes.NewReader(make([]byte, 64<<10+1))},
				{422, url, http.MethodPost, "synthflow", nil, bytes.NewReader(read("synthflow/call-inbound-event.refused"))},
				{200, url, http.MethodPost, "limited", signed, bytes.NewReader(good)},
				{429, url, http.MethodPost, "limited", signed, bytes.NewReader(good)},
				{500, url, http.MethodPost, "broken", signed, bytes.NewReader(good)},
				{503, url, http.MethodPost, "away", signed, bytes.NewReader(good)},
			} {
				req, err := http.NewRequestWithContext(t.Context(), c.method, c.server+"/v1/webhooks/"+c.path+variant.token, c.body)
				if err != nil {
					t.Fatal(err)
				}
				if c.header != nil {
					req.Header = c.header.Clone()
				}
				resp, err := http.DefaultTransport.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				if resp.StatusCode != c.status {
					t.Errorf("%s to %s: got %d, want %d", c.method, c.path, resp.StatusCode, c.status)
				}
				p.answer(t, operation, resp)
			}
			for _, k := range p.documented(t, operation) {
				if !p.seen[k] {
					t.Errorf("documented, but never answered: %s", k)
				}
			}
		})
	}
}
