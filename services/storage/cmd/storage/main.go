// Command storage writes the calls in NATS to a database.
package main

import (
	"context"
	"errors"
	"os"
	"time"
	_ "time/tzdata" // an image from scratch has none

	_ "golang.org/x/crypto/x509roots/fallback" // where the system has no root certificates: an image from scratch

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/service"
	"github.com/onhook/onhook/pkg/store"
	"github.com/onhook/onhook/services/storage"
)

func main() { service.Main("storage", run) }

func run(ctx context.Context) error {
	service.CollectRarely()
	opts, err := service.ParseOptions("storage", os.Args[1:], os.Stdout, nil)
	if err != nil {
		return err
	}
	p, err := service.NewProcess(opts, os.Stderr)
	if err != nil {
		return err
	}
	cfg, nats := storage.DefaultConfig(), bus.DefaultConfig()
	if err := errors.Join(p.Config.Section("storage", &cfg), p.Config.Section("nats", &nats)); err != nil {
		return err
	}
	db, err := store.Open(ctx, cfg.DSN.Reveal())
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // every batch is committed by then
	b, err := bus.New(nats, "storage", p.Log)
	if err != nil {
		return err
	}
	defer b.Close()
	p.Admin.AddCheck(service.Check{Name: "broker", Probe: b.Ready})
	p.Admin.AddCheck(service.Check{Name: "database", Probe: db.Ping})
	p.Grace = max(p.Grace, cfg.Grace+5*time.Second) // the worker's own, and what it settles after
	return p.Run(ctx, service.Part{Name: "broker", Run: b.Run}, service.Part{Name: "storage", Run: func(ctx context.Context) error {
		s, err := storage.New(ctx, cfg, db, b, p.Log, p.Metrics) // waits for the broker
		if err != nil {
			return err
		}
		return s.Run(ctx)
	}})
}
