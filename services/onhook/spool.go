package onhook

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/pkg/service"
	"github.com/onhook/onhook/pkg/spool"
)

type spoolCmd struct {
	List  spoolListCmd  `cmd:"" help:"List the deliveries in a spool, oldest first; nothing in it is changed."`
	Drain spoolDrainCmd `cmd:"" help:"Forward the deliveries in a spool to the broker of the configuration."`
}

type spoolListCmd struct {
	Dir  string `arg:"" help:"The spool's folder."`
	JSON bool   `help:"Print JSON." name:"json"`
}

// Run lists the deliveries.
func (c *spoolListCmd) Run(t terminal) error {
	held, err := spool.List(c.Dir)
	if err != nil {
		return err
	}
	if c.JSON {
		if held == nil {
			held = []spool.Held{}
		}
		return printJSON(t.out, held)
	}
	tw := table(t.out, "RECEIVED", "DELIVERY", "PROVIDER", "SOURCE", "BYTES", "NOTE")
	for _, h := range held {
		note := ""
		if h.Damaged {
			note = "from a damaged file"
		}
		row(tw, h.ReceivedAt.UTC().Format("2006-01-02 15:04:05Z"), h.ID, h.Provider, h.Source, strconv.FormatInt(h.Bytes, 10), note)
	}
	return tw.Flush()
}

type spoolDrainCmd struct {
	Dir    string `arg:"" help:"The spool's folder."`
	Config string `help:"Forward to the broker that this file names, with nats.url." required:"" placeholder:"FILE"`
	JSON   bool   `help:"Print JSON." name:"json"`
}

// Run forwards the deliveries.
func (c *spoolDrainCmd) Run(ctx context.Context, t terminal) (err error) {
	file, err := config.Load(c.Config)
	if err != nil {
		return err
	}
	nats, logging := bus.DefaultConfig(), service.DefaultLogConfig()
	if err := errors.Join(file.Section("nats", &nats), file.Section("log", &logging)); err != nil {
		return err
	}
	if nats.URL == "" {
		return &service.UsageError{Err: fmt.Errorf("%s has no nats.url; it says where to drain to. An `onhook run` that embeds its broker drains its own spool", c.Config)}
	}
	log, err := service.NewLogger(logging.Level, t.err)
	if err != nil {
		return err
	}
	if _, err := spool.List(c.Dir); err != nil { // before anything is made in a folder that is none
		return err
	}
	b, err := bus.Connect(ctx, nats, "spool-drain", log)
	if err != nil {
		return err
	}
	defer b.Close()
	cfg := spool.DefaultConfig()
	cfg.Dir = c.Dir
	p, err := spool.New(cfg, b, log, prometheus.NewRegistry())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	began := time.Now()
	n, err := p.Drain(ctx)
	if c.JSON {
		return errors.Join(err, printJSON(t.out, map[string]int{"forwarded": n}))
	}
	_, perr := fmt.Fprintf(t.out, "forwarded %d deliveries in %v\n", n, time.Since(began).Round(time.Millisecond))
	return errors.Join(err, perr)
}
