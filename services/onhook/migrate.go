package onhook

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/pkg/service"
	"github.com/onhook/onhook/pkg/store"
	"github.com/onhook/onhook/services/storage"
)

type migrateCmd struct {
	Config string `help:"Migrate the database and the streams that this file names." placeholder:"FILE"`
	Data   string `help:"Without one in the file, migrate the SQLite database in this folder." default:"data" placeholder:"DIR"`
	JSON   bool   `help:"Print JSON." name:"json"`
}

// migration is what a migration did.
type migration struct {
	From    int64            `json:"from"` // versions of the database
	To      int64            `json:"to"`
	Streams []bus.Difference `json:"streams"` // what was changed
}

// Run migrates the database, then the streams, for which it waits, and makes the consumers that are not there. An embedded server's are migrated by `onhook run`.
func (c *migrateCmd) Run(ctx context.Context, t terminal) error {
	f := config.Empty()
	if c.Config != "" {
		var err error
		if f, err = config.Load(c.Config); err != nil {
			return err
		}
	}
	sto, nats, logging := storage.DefaultConfig(), bus.DefaultConfig(), service.DefaultLogConfig()
	if err := errors.Join(f.Section("storage", &sto), f.Section("nats", &nats), f.Section("log", &logging)); err != nil {
		return err
	}
	sinks, err := sinkConsumers(f)
	if err != nil {
		return err
	}
	log, err := service.NewLogger(logging.Level, t.err)
	if err != nil {
		return err
	}
	if sto.DSN == "" {
		sto.DSN = config.Secret(dataDSN(c.Data))
	}
	done := migration{Streams: []bus.Difference{}}
	if done.From, done.To, err = store.Migrate(ctx, sto.DSN.Reveal()); err != nil {
		return err
	}
	if !c.JSON {
		printDatabase(t, done)
	}
	if nats.URL != "" {
		changed, serr := changeStreams(ctx, nats, sinks, log)
		done.Streams, err = append(done.Streams, changed...), serr
	}
	if c.JSON {
		return errors.Join(err, printJSON(t.out, done))
	}
	for _, d := range done.Streams {
		_, _ = fmt.Fprintf(t.out, "stream %s: %s went from %s to %s\n", d.Stream, d.Setting, d.Is, d.ShouldBe)
	}
	if err == nil && nats.URL != "" && len(done.Streams) == 0 {
		_, err = fmt.Fprintln(t.out, "the streams are as they should be already")
	}
	return err
}

func printDatabase(t terminal, done migration) {
	if done.From == done.To {
		_, _ = fmt.Fprintf(t.out, "the database is at version %d already\n", done.To)
	} else {
		_, _ = fmt.Fprintf(t.out, "the database went from version %d to %d\n", done.From, done.To)
	}
}

// sinkConsumers are those of section crm, each beginning where the section says, without the sinks' secrets.
func sinkConsumers(f *config.File) (all []bus.Consumer, err error) {
	for _, name := range f.Names("crm") {
		begin := bus.StartNew()
		if err := bus.CheckCRMName(name); err != nil {
			return nil, fmt.Errorf("crm.%s: %w", name, err)
		}
		if err := f.Value(&begin, "crm", name, "start"); err != nil {
			return nil, err
		}
		all = append(all, bus.CRM(name).From(begin))
	}
	return all, nil
}

func changeStreams(ctx context.Context, nats bus.Config, sinks []bus.Consumer, log *zap.Logger) ([]bus.Difference, error) {
	b, err := bus.Connect(ctx, nats, "migrate", log)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	changed, err := b.Migrate(ctx)
	return changed, errors.Join(err, b.MakeConsumers(ctx, sinks))
}
