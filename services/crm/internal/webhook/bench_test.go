package webhook

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/services/crm/internal/crmtest"
)

// BenchmarkDeliver posts 2 KiB bodies: through the sink, which writes and signs each, and for comparison the same bytes again
// and again, their headers too, with a bare client over as many connections.
func BenchmarkDeliver(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()
	cfg := DefaultConfig()
	cfg.URL, cfg.Secrets, cfg.AllowPrivate, cfg.Body = config.Secret(server.URL), config.Secrets{config.Secret(secret('n'))}, true, BodyFull
	c, err := New(cfg, Deps{Sink: "hooks"})
	if err != nil {
		b.Fatal(err)
	}
	batch := crmtest.Calls(64)
	for i := range batch {
		batch[i].Call.Analysis.Summary = strings.Repeat("a", 900) // 2 KiB in all
	}
	body, err := c.write(batch[0])
	if err != nil {
		b.Fatal(err)
	}
	b.Run("sink", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		for i := 0; i < b.N; i += len(batch) {
			for _, r := range c.Deliver(b.Context(), batch[:min(len(batch), b.N-i)]) {
				if r.Err != nil {
					b.Fatal(r.Err)
				}
			}
		}
	})
	b.Run("bare", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		header := http.Header{"Content-Type": {"application/json"}, "User-Agent": {"onhook"}, "Webhook-Id": {c.id(batch[0].Call)},
			"Webhook-Timestamp": {"1770000000"}, "Webhook-Signature": {c.sign("", "", body)}}
		bare := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: cfg.Connections}}
		for i := 0; i < b.N; i += len(batch) {
			var g errgroup.Group
			g.SetLimit(cfg.Connections)
			for range min(len(batch), b.N-i) {
				g.Go(func() error {
					req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, server.URL, bytes.NewReader(body))
					if err != nil {
						return err
					}
					req.Header = header.Clone()
					resp, err := bare.Do(req)
					if err != nil {
						return err
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					return resp.Body.Close()
				})
			}
			if err := g.Wait(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
