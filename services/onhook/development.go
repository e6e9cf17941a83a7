package onhook

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"text/tabwriter"

	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/pkg/provider"
	"github.com/onhook/onhook/pkg/service"
)

// The secrets of the development sources, and the variables that replace them.
const (
	devSecret    = "dev-secret"
	devToken     = "dev-token"
	devSecretEnv = "ONHOOK_DEV_SECRET"
	devTokenEnv  = "ONHOOK_DEV_TOKEN"
)

// development is what `onhook run` sets up without a configuration: a source for each provider, under its name.
type development struct{ secret, token string }

func developmentFromEnv() development {
	return development{cmp.Or(os.Getenv(devSecretEnv), devSecret), cmp.Or(os.Getenv(devTokenEnv), devToken)}
}

// newDevelopment refuses an address that others can reach while a secret is one that everybody can read here.
func newDevelopment(listen string) (*development, error) {
	d := developmentFromEnv()
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, &service.UsageError{Err: fmt.Errorf("--listen %q is not HOST:PORT", listen)}
	}
	ip := net.ParseIP(host)
	if (host != "localhost" && !ip.IsLoopback()) && (d.secret == devSecret || d.token == devToken) {
		return nil, &service.UsageError{Err: errors.New("the development secrets are known to everybody: set " + devSecretEnv + " and " + devTokenEnv +
			", or give a configuration with --config, before listening on " + listen)}
	}
	return &d, nil
}

func (d development) sources() provider.Sources {
	s := provider.Sources{}
	for _, p := range provider.All() {
		src := provider.Source{Provider: p.Name}
		if p.Verify != nil {
			src.Secrets = config.Secrets{config.Secret(d.secret)}
		} else {
			src.Token = config.Secrets{config.Secret(d.token)}
		}
		s[p.Name] = src
	}
	return s
}

// banner tells a person where things are. Secrets are shown only when they are development's.
func banner(w io.Writer, webhooks, admin, data string, sources provider.Sources, dev *development) {
	_, _ = fmt.Fprintf(w, "onhook %s takes webhooks on %s (admin http://%s, data in %s)\n\n", service.Version(), webhooks, admin, data)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tw, "  SOURCE\tPROVIDER\tWEBHOOK URL\tSIGNED WITH")
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		s := sources[name]
		url, signed := webhooks+"/v1/webhooks/"+name, "-"
		if len(s.Token) > 0 {
			if dev != nil {
				url += "/" + dev.token
			} else {
				url += "/<token>"
			}
		}
		if len(s.Secrets) > 0 {
			signed = "its secret"
			if dev != nil {
				signed = "secret " + dev.secret
			}
		}
		_, _ = fmt.Fprintf(tw, "  %s\t%s\t%s\t%s\n", name, s.Provider, url, signed)
	}
	_ = tw.Flush()
	if dev != nil {
		_, _ = fmt.Fprintf(w, "\nTry it in another terminal:  onhook send altur --url %s  then  onhook calls list --server http://%s\n", webhooks, admin)
	}
	_, _ = fmt.Fprintln(w)
}
