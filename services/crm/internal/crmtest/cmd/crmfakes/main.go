// Command crmfakes serves the fakes of all kinds on the loopback, for an `onhook run` whose sinks have their addresses.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/onhook/onhook/services/crm/internal/crmtest"
)

// fakeSecret signs the webhooks that the fake takes: of development, and known to everybody.
var fakeSecret = "whsec_" + strings.Repeat("ZmFrZSBz", 4)

// fakes is every fake, on the port that it has after the first.
var fakes = []struct {
	name string
	keys string // of a sink that delivers to it, beside its address
	new  func() http.Handler
}{
	{"hubspot", "kind: hubspot, token: fake, create_missing: contact", func() http.Handler {
		account := crmtest.NewHubSpot().SetUp()
		account.Token, account.Quota = "fake", 190
		return account
	}},
	{"salesforce", "kind: salesforce, client_id: client-id, client_secret: client-secret", func() http.Handler { return crmtest.NewSalesforce() }},
	{"webhook", "kind: webhook, allow_private: true, secrets: [" + fakeSecret + "]", func() http.Handler { return crmtest.NewWebhook(fakeSecret) }},
}

func main() {
	port := flag.Int("port", 9100, "the first fake's; the others have those that follow")
	latency := flag.Duration("latency", 0, "before each answer")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := serve(ctx, *port, *latency)
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "crmfakes:", err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, port int, latency time.Duration) error {
	g, ctx := errgroup.WithContext(ctx)
	for i, f := range fakes {
		s := &http.Server{Addr: fmt.Sprintf("127.0.0.1:%d", port+i), Handler: slow(f.new(), latency), ReadHeaderTimeout: 5 * time.Second}
		_, _ = fmt.Fprintf(os.Stdout, "  %s: {url: \"http://%s\", %s}\n", f.name, s.Addr, f.keys)
		g.Go(func() error {
			if err := s.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
		g.Go(func() error { <-ctx.Done(); return s.Close() })
	}
	return g.Wait()
}

func slow(next http.Handler, latency time.Duration) http.Handler {
	if latency <= 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t := time.NewTimer(latency)
		defer t.Stop()
		select {
		case <-t.C:
			next.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	})
}
