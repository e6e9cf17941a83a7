// Command decoder turns the deliveries in NATS into calls.
package main

import (
	"context"
	"errors"
	"os"
	"time"
	_ "time/tzdata" // an image from scratch has none

	_ "golang.org/x/crypto/x509roots/fallback" // where the system has no root certificates: an image from scratch

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/provider"
	"github.com/onhook/onhook/pkg/service"
	"github.com/onhook/onhook/services/decoder"
)

func main() { service.Main("decoder", run) }

func run(ctx context.Context) error {
	opts, err := service.ParseOptions("decoder", os.Args[1:], os.Stdout, nil)
	if err != nil {
		return err
	}
	p, err := service.NewProcess(opts, os.Stderr)
	if err != nil {
		return err
	}
	cfg, nats := decoder.DefaultConfig(), bus.DefaultConfig()
	if err := errors.Join(p.Config.Section("decoder", &cfg), p.Config.Section("nats", &nats)); err != nil {
		return err
	}
	b, err := bus.New(nats, "decoder", p.Log)
	if err != nil {
		return err
	}
	defer b.Close()
	p.Admin.AddCheck(service.Check{Name: "broker", Probe: b.Ready})
	p.Admin.AddCheck(service.Check{Name: "streams", Probe: b.Sound})
	p.Grace = max(p.Grace, cfg.Grace+5*time.Second) // the worker's own, and what it settles after
	return p.Run(ctx, service.Part{Name: "broker", Run: b.Run}, service.Part{Name: "decoder", Run: func(ctx context.Context) error {
		d, err := decoder.New(ctx, cfg, provider.All(), b, p.Log, p.Metrics) // waits for the broker
		if err != nil {
			return err
		}
		return d.Run(ctx)
	}})
}
