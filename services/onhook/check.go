package onhook

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/pkg/service"
	"github.com/onhook/onhook/pkg/store"
	"github.com/onhook/onhook/services/storage"
)

type checkCmd struct {
	Config string `help:"The file to check." default:"onhook.yaml" placeholder:"FILE"`
	JSON   bool   `help:"Print JSON." name:"json"`
}

// finding is what a check found wrong.
type finding struct {
	Message string `json:"message"`
}

// Run reads every section as the services do, and says all that is wrong.
func (c *checkCmd) Run(t terminal) error {
	s, err := checkFile(c.Config)
	if c.JSON {
		found := []finding{}
		if err != nil {
			for line := range strings.Lines(err.Error()) {
				found = append(found, finding{strings.TrimSpace(line)})
			}
		}
		if perr := printJSON(t.out, map[string]any{"ok": err == nil, "findings": found}); perr != nil {
			return perr
		}
	}
	if err != nil {
		return errors.New(err.Error()) // no longer a *config.Error: the command line is right, the check failed
	}
	if !c.JSON {
		_, err = fmt.Fprintf(t.out, "%s is right: %d sources (%s)\n", c.Config, len(s.sources), strings.Join(slices.Sorted(maps.Keys(s.sources)), ", "))
		if len(s.crm) > 0 {
			_, err = fmt.Fprintf(t.out, "%d CRM sinks (%s)\n", len(s.crm), strings.Join(s.crm.Names(), ", "))
		}
	}
	return err
}

func checkFile(path string) (settings, error) {
	f, err := config.Load(path)
	if err != nil {
		return settings{}, err
	}
	s, err := loadSettings(f)
	logging, admin, operators := service.DefaultLogConfig(), service.DefaultAdminConfig(), defaultOpsConfig()
	err = errors.Join(err, f.Section("log", &logging), f.Section("admin", &admin), f.Section("ops", &operators))
	if err == nil && len(s.sources) == 0 {
		err = fmt.Errorf("%s: no sources; without one there is nobody to take webhooks from", path)
	}
	return s, err
}

type migrateCmd struct {
	Config string `help:"Migrate the database that this file names." placeholder:"FILE"`
	Data   string `help:"Without one in the file, migrate the SQLite database in this folder." default:"data" placeholder:"DIR"`
	JSON   bool   `help:"Print JSON." name:"json"`
}

// Run migrates the database.
func (c *migrateCmd) Run(ctx context.Context, t terminal) error {
	f := config.Empty()
	if c.Config != "" {
		var err error
		if f, err = config.Load(c.Config); err != nil {
			return err
		}
	}
	cfg := storage.DefaultConfig()
	if err := f.Section("storage", &cfg); err != nil {
		return err
	}
	if cfg.DSN == "" {
		cfg.DSN = config.Secret(dataDSN(c.Data))
	}
	from, to, err := store.Migrate(ctx, cfg.DSN.Reveal())
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(t.out, map[string]int64{"from": from, "to": to})
	}
	if from == to {
		_, err = fmt.Fprintf(t.out, "the database is at version %d already\n", to)
	} else {
		_, err = fmt.Fprintf(t.out, "the database went from version %d to %d\n", from, to)
	}
	return err
}
