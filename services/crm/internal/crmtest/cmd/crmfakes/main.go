// Command crmfakes serves the fakes of all kinds on the loopback, for an `onhook run` whose sinks have their addresses.
// GET /fake/records of each tells how many records it has of each call.
package main

import (
	"context"
	"encoding/json"
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

// fake is an account of a vendor's.
type fake interface {
	http.Handler
	Records() map[string]int // how many records it has of each call, by key
}

// records is the path at which each fake tells its records.
const records = "/fake/records"

// fakes is every fake.
var fakes = []struct {
	name string
	keys string // of a sink that delivers to it, beside its address
	new  func() fake
}{
	{"hubspot", "kind: hubspot, token: fake, create_missing: contact", func() fake {
		account := crmtest.NewHubSpot().SetUp()
		account.Token, account.Quota = "fake", 190
		return account
	}},
	{"salesforce", "kind: salesforce, client_id: client-id, client_secret: client-secret", func() fake { return crmtest.NewSalesforce() }},
	{"webhook", "kind: webhook, allow_private: true, secrets: [" + fakeSecret + "]", func() fake { return crmtest.NewWebhook(fakeSecret) }},
}

func main() {
	listen := flag.String("listen", "127.0.0.1:9100,127.0.0.1:9101,127.0.0.1:9102", "the addresses of the fakes: HubSpot, Salesforce, webhook")
	latency := flag.Duration("latency", 0, "before each answer")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := serve(ctx, strings.Split(*listen, ","), *latency)
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "crmfakes:", err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, addresses []string, latency time.Duration) error {
	if len(addresses) != len(fakes) {
		return fmt.Errorf("-listen has %d addresses, and there are %d fakes", len(addresses), len(fakes))
	}
	g, ctx := errgroup.WithContext(ctx)
	for i, f := range fakes {
		s := &http.Server{Addr: addresses[i], Handler: handler(f.new(), latency), ReadHeaderTimeout: 5 * time.Second}
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

func handler(f fake, latency time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == records {
			_ = json.NewEncoder(w).Encode(f.Records()) // the client may be gone
			return
		}
		t := time.NewTimer(latency)
		defer t.Stop()
		select {
		case <-t.C:
			f.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	})
}
