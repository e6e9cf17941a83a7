package onhook

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/pkg/service"
)

type checkCmd struct {
	Config string `help:"The file to check." default:"onhook.yaml" placeholder:"FILE"`
	JSON   bool   `help:"Print JSON." name:"json"`
}

// finding is what a check found wrong.
type finding struct {
	Message string `json:"message"`
}

// Run reads every section as the services do, looks at the streams, and says all that is wrong.
func (c *checkCmd) Run(ctx context.Context, t terminal) error {
	s, err := checkFile(c.Config)
	var notes []string
	if err == nil && s.nats.URL != "" {
		notes, err = checkStreams(ctx, s)
	}
	if c.JSON {
		found := []finding{}
		if err != nil {
			for line := range strings.Lines(err.Error()) {
				found = append(found, finding{strings.TrimSpace(line)})
			}
		}
		if perr := printJSON(t.out, map[string]any{"ok": err == nil, "findings": found, "notes": append([]string{}, notes...)}); perr != nil {
			return perr
		}
	} else {
		for _, n := range notes {
			_, _ = fmt.Fprintln(t.out, n)
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

// checkPatience is how long a check waits for the broker, which need not be there.
const checkPatience = 3 * time.Second

// checkStreams says in what the streams differ from what they should be; notes are what need not be mended.
func checkStreams(ctx context.Context, s settings) (notes []string, err error) {
	b, err := bus.New(s.nats, "check", zap.NewNop())
	if err != nil {
		return nil, err
	}
	defer b.Close()
	ctx, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	found, missing, err := b.Drift(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return []string{fmt.Sprintf("streams: not looked at: %v", err)}, nil
	}
	if err != nil {
		return nil, err
	}
	for _, name := range missing {
		notes = append(notes, fmt.Sprintf("stream %s: does not exist yet; the first service to start creates it", name))
	}
	var errs []error
	for _, d := range found {
		if d.Kind == bus.DriftAllowed {
			notes = append(notes, fmt.Sprintf("%s; that is yours to set", d))
		} else {
			errs = append(errs, fmt.Errorf("%s; `onhook migrate` puts it right", d))
		}
	}
	if len(missing) == 0 {
		orphans, err := b.Orphans(ctx, s.crm.Names())
		for _, name := range orphans {
			notes = append(notes, fmt.Sprintf("consumer %s: an orphan, as there is no sink crm.%s; calls wait for it until `onhook crm remove %s`", bus.CRM(name).Name, name, name))
		}
		errs = append(errs, err)
	}
	return notes, errors.Join(errs...)
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
