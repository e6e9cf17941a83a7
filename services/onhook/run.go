package onhook

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/pkg/dirlock"
	"github.com/onhook/onhook/pkg/natsembed"
	"github.com/onhook/onhook/pkg/provider"
	"github.com/onhook/onhook/pkg/service"
	"github.com/onhook/onhook/pkg/spool"
	"github.com/onhook/onhook/pkg/store"
	"github.com/onhook/onhook/services/crm"
	"github.com/onhook/onhook/services/decoder"
	"github.com/onhook/onhook/services/ingress"
	"github.com/onhook/onhook/services/storage"
)

type runCmd struct {
	Config string `help:"Read this file; without one, development sources are set up." placeholder:"FILE"`
	Data   string `help:"Keep everything below this folder." default:"data" placeholder:"DIR"`
	Listen string `help:"Take webhooks on this address, whatever the configuration says." placeholder:"HOST:PORT"`
	Admin  string `help:"Serve health, metrics and the operator's commands on this address, whatever the configuration says." placeholder:"HOST:PORT"`
}

// settings is every section that the services of one process read.
type settings struct {
	sources provider.Sources
	nats    bus.Config
	ingress ingress.Config
	decoder decoder.Config
	storage storage.Config
	crm     crm.Config
}

// loadSettings decodes every section over its defaults.
func loadSettings(f *config.File) (settings, error) {
	s := settings{
		nats:    bus.DefaultConfig(),
		ingress: ingress.DefaultConfig(),
		decoder: decoder.DefaultConfig(),
		storage: storage.DefaultConfig(),
		crm:     crm.Config{},
	}
	var err error
	s.sources, err = provider.LoadSources(f)
	return s, errors.Join(err,
		f.Section("nats", &s.nats),
		f.Section("ingress", &s.ingress),
		f.Section("decoder", &s.decoder),
		f.Section("storage", &s.storage),
		f.Section("crm", &s.crm),
	)
}

// Run runs the pipeline until it is told to stop.
func (c *runCmd) Run(ctx context.Context, t terminal) (err error) {
	p, err := service.NewProcess(service.Options{Config: c.Config, Admin: c.Admin}, t.err)
	if err != nil {
		return err
	}
	s, err := loadSettings(p.Config)
	if err != nil {
		return err
	}
	if c.Listen != "" {
		s.ingress.Listen = c.Listen
	}
	var dev *development
	if c.Config == "" {
		if dev, err = newDevelopment(s.ingress.Listen); err != nil {
			return err
		}
		s.sources = dev.sources()
	}
	if len(s.sources) == 0 {
		return &service.UsageError{Err: fmt.Errorf("%s has no sources; without one there is nobody to take webhooks from", c.Config)}
	}
	return compose(ctx, p, s, c.Data, func(in *ingress.Ingress) { banner(t.out, in.URL(), p.Admin.Addr(), c.Data, s.sources, dev) })
}

// compose builds every service over one bus and one store, and runs them. It embeds what s names no address for.
//
//	nats ◄─ bus ◄─┬─ storage ─► store
//	              ├─ crm ─► the configured sinks
//	              ├─ decoder
//	              ├─ spool ◄─ ingress
//	              └─ operator's API, on the admin listener
func compose(ctx context.Context, p *service.Process, s settings, data string, ready func(*ingress.Ingress)) (err error) {
	if s.nats.URL == "" || s.storage.DSN == "" {
		if err := checkSpoolDir(data, s.ingress.Spool.Dir); err != nil {
			return err
		}
		unlock, err := lockData(data)
		if err != nil {
			return err
		}
		defer unlock()
	}
	var parts []service.Part
	if s.nats.URL == "" {
		srv, err := natsembed.Start(natsembed.Config{Dir: filepath.Join(data, "nats"), Listen: s.nats.Listen, Relaxed: s.nats.Durability == bus.DurabilityRelaxed}, p.Log)
		if err != nil {
			return err
		}
		defer srv.Stop()
		s.nats.Server = srv
		parts = append(parts, service.Part{Name: "nats", Run: srv.Run})
	}
	if s.storage.DSN == "" {
		s.storage.DSN = config.Secret(dataDSN(data))
	}
	from, to, err := store.Migrate(ctx, s.storage.DSN.Reveal())
	if err != nil {
		return err
	}
	if from != to {
		p.Log.Info("database migrated", zap.Int64("from", from), zap.Int64("to", to))
	}
	db, err := store.Open(ctx, s.storage.DSN.Reveal())
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // every batch is committed by then
	b, err := bus.New(s.nats, "run", p.Log)
	if err != nil {
		return err
	}
	defer b.Close()
	if s.nats.Server != nil {
		var sinks []bus.Consumer
		for _, name := range s.crm.Names() {
			sinks = append(sinks, bus.CRM(name).From(s.crm[name].Start))
		}
		if err := migrateStreams(ctx, b, sinks, p.Log); err != nil {
			return err
		}
	}
	out, err := spool.New(s.ingress.Spool, b, p.Log, p.Metrics)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	in, err := ingress.New(s.ingress, s.sources, out, p.Log, p.Metrics)
	if err != nil {
		return err
	}
	p.Admin.AddCheck(service.Check{Name: "broker", Probe: out.Ready(b.Ready), Note: out.Note})
	p.Admin.AddCheck(service.Check{Name: "durability", Probe: out.Ready(b.Durable)})
	p.Admin.AddCheck(service.Check{Name: "streams", Probe: out.Ready(b.Sound)})
	p.Admin.AddCheck(service.Check{Name: "database", Probe: db.Ping})
	p.Admin.Handle("/v1/", newAPI(b, db, s.crm.Names(), p.Log))
	p.Grace = max(p.Grace, max(s.decoder.Grace, s.storage.Grace, s.crm.Grace())+5*time.Second) // a worker's own, and what it settles after
	ready(in)
	return p.Run(ctx, append(parts,
		service.Part{Name: "broker", Run: b.Run},
		service.Part{Name: "storage", Run: func(ctx context.Context) error {
			sto, err := storage.New(ctx, s.storage, db, b, p.Log, p.Metrics) // waits for the broker, as the decoder does
			if err != nil {
				return err
			}
			return sto.Run(ctx)
		}},
		service.Part{Name: "decoder", Run: func(ctx context.Context) error {
			dec, err := decoder.New(ctx, s.decoder, provider.All(), b, p.Log, p.Metrics)
			if err != nil {
				return err
			}
			return dec.Run(ctx)
		}},
		service.Part{Name: "crm", Run: func(ctx context.Context) error {
			sinks, err := crm.New(ctx, s.crm, b, p.Log, p.Metrics)
			if err != nil {
				return err
			}
			return sinks.Run(ctx)
		}},
		service.Part{Name: "spool", Run: out.Run},
		service.Part{Name: "ingress", Run: in.Run},
	)...)
}

// migrateStreams brings the embedded server's streams to this version's table, and makes the consumers: killed at any time
// later, the process owes each sink what it takes. What cannot be changed does not keep the process from starting: whoever is
// to mend it needs the server.
func migrateStreams(ctx context.Context, b *bus.Bus, sinks []bus.Consumer, log *zap.Logger) error {
	if err := b.Prepare(ctx); err != nil {
		return err
	}
	changed, err := b.Migrate(ctx)
	for _, d := range changed {
		log.Info("stream migrated", zap.String("stream", d.Stream), zap.String("setting", d.Setting), zap.String("was", d.Is), zap.String("is", d.ShouldBe))
	}
	if err != nil {
		log.Error("a stream could not be migrated", zap.Error(err))
	}
	return b.MakeConsumers(ctx, sinks)
}

// dataDSN is the database of an installation that names none.
func dataDSN(data string) string { return "sqlite:" + filepath.Join(data, "onhook.db") }

// checkSpoolDir refuses the data folder itself for the spool: each locks its folder, and would blame another process.
func checkSpoolDir(data, dir string) error {
	if dir == "" {
		return nil
	}
	a, aerr := os.Stat(data)
	b, berr := os.Stat(dir)
	same := aerr == nil && berr == nil && os.SameFile(a, b)
	if !same { // neither may be there yet
		whole, err := filepath.Abs(data)
		if err != nil {
			return err
		}
		other, err := filepath.Abs(dir)
		if err != nil {
			return err
		}
		same = whole == other
	}
	if !same {
		return nil
	}
	return &service.UsageError{Err: fmt.Errorf("ingress.spool.dir is the data folder %s; give the spool a folder of its own, such as %s", data, filepath.Join(data, "spool"))}
}

// lockData keeps a second process out of the data folder: two brokers over the same files would destroy them.
func lockData(dir string) (unlock func(), err error) {
	unlock, err = dirlock.Take(dir)
	if errors.Is(err, dirlock.ErrHeld) {
		return nil, fmt.Errorf("the data folder %s is in use by another onhook; stop it, or choose another folder with --data", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot write to the data folder; --data chooses another: %w", err)
	}
	return unlock, nil
}
