// Command crm delivers the calls in NATS to CRMs and webhooks.
package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"time"
	_ "time/tzdata" // an image from scratch has none

	_ "golang.org/x/crypto/x509roots/fallback" // where the system has no root certificates: an image from scratch

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/service"
	"github.com/onhook/onhook/services/crm"
)

func main() { service.Main("crm", run) }

func run(ctx context.Context) error {
	var only string
	opts, err := service.ParseOptions("crm", os.Args[1:], os.Stdout, func(f *flag.FlagSet) {
		f.StringVar(&only, "only", "", "run this `sink` alone, and leave the others to other processes")
	})
	if err != nil {
		return err
	}
	p, err := service.NewProcess(opts, os.Stderr)
	if err != nil {
		return err
	}
	file, name := p.Config, "crm"
	if only != "" {
		name = bus.CRM(only).Name
		if file, err = file.Keep("crm", only); err != nil { // without the other sinks' secrets
			return &service.UsageError{Err: err}
		}
	}
	cfg, nats := crm.Config{}, bus.DefaultConfig()
	if err := errors.Join(file.Section("crm", &cfg), file.Section("nats", &nats)); err != nil {
		return err
	}
	b, err := bus.New(nats, name, p.Log)
	if err != nil {
		return err
	}
	defer b.Close()
	p.Admin.AddCheck(service.Check{Name: "broker", Probe: b.Ready})
	p.Grace = max(p.Grace, cfg.Grace()+5*time.Second) // a worker's own, and what it settles after
	return p.Run(ctx, service.Part{Name: "broker", Run: b.Run}, service.Part{Name: "crm", Run: func(ctx context.Context) error {
		c, err := crm.New(ctx, cfg, b, p.Log, p.Metrics) // waits for the broker
		if err != nil {
			return err
		}
		return c.Run(ctx)
	}})
}
