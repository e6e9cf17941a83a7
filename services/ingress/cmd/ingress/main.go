// Command ingress takes webhooks over HTTP and publishes them to NATS.
package main

import (
	"context"
	"errors"
	"os"
	_ "time/tzdata" // an image from scratch has none

	_ "golang.org/x/crypto/x509roots/fallback" // where the system has no root certificates: an image from scratch

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/provider"
	"github.com/onhook/onhook/pkg/service"
	"github.com/onhook/onhook/pkg/spool"
	"github.com/onhook/onhook/services/ingress"
)

func main() { service.Main("ingress", run) }

func run(ctx context.Context) (err error) {
	service.CollectRarely()
	opts, err := service.ParseOptions("ingress", os.Args[1:], os.Stdout, nil)
	if err != nil {
		return err
	}
	p, err := service.NewProcess(opts, os.Stderr)
	if err != nil {
		return err
	}
	cfg, nats := ingress.DefaultConfig(), bus.DefaultConfig()
	sources, err := provider.LoadSources(p.Config)
	if err := errors.Join(err, p.Config.Section("ingress", &cfg), p.Config.Section("nats", &nats)); err != nil {
		return err
	}
	if len(sources) == 0 {
		return &service.UsageError{Err: errors.New("the configuration has no sources; without one there is nobody to take webhooks from")}
	}
	b, err := bus.New(nats, "ingress", p.Log)
	if err != nil {
		return err
	}
	defer b.Close()
	out, err := spool.New(cfg.Spool, b, p.Log, p.Metrics)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	in, err := ingress.New(cfg, sources, out, p.Log, p.Metrics)
	if err != nil {
		return err
	}
	p.Admin.AddCheck(service.Check{Name: "broker", Probe: out.Ready(b.Ready), Note: out.Note})
	p.Admin.AddCheck(service.Check{Name: "durability", Probe: out.Ready(b.Durable)})
	p.Admin.AddCheck(service.Check{Name: "streams", Probe: out.Ready(b.Sound)})
	return p.Run(ctx, service.Part{Name: "broker", Run: b.Run}, service.Part{Name: "spool", Run: out.Run}, service.Part{Name: "ingress", Run: in.Run})
}
