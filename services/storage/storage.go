// Package storage is the sink that writes calls to a database, and what became of them at the CRM sinks: it reads CALLS and
// OUTCOMES and saves each batch in one statement.
package storage

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/pkg/store"
	"github.com/onhook/onhook/pkg/worker"
)

// saver is what the sink needs of a store.
type saver interface {
	Save(ctx context.Context, calls []*call.Raw) []error
	SaveOutcomes(ctx context.Context, outcomes []call.Outcome) []error
}

// Config is section storage of onhook.yaml.
type Config struct {
	DSN           config.Secret `yaml:"dsn"`          // postgres://… or sqlite:PATH; a secret, as it can hold a password
	DSNFile       string        `yaml:"dsn_file"`     // a file that holds it
	SaveTimeout   time.Duration `yaml:"save_timeout"` // for one batch
	worker.Config `yaml:",inline"`
}

// DefaultConfig suits a database that is near.
func DefaultConfig() Config {
	return Config{SaveTimeout: 30 * time.Second, Config: worker.DefaultConfig()}
}

// Validate reads the DSN's file and says, without connecting, what is wrong with c.
func (c *Config) Validate() error {
	var errs []error
	var given config.Secrets
	if c.DSN != "" {
		given = config.Secrets{c.DSN}
	}
	key := "dsn"
	if c.DSNFile != "" {
		key = "dsn_file"
	}
	dsn, err := given.OrFile(c.DSNFile)
	if err == nil && len(dsn) > 0 {
		c.DSN, c.DSNFile = dsn[0], ""
		err = store.CheckDSN(c.DSN.Reveal())
	}
	if err != nil {
		errs = append(errs, config.At(err, key))
	}
	if c.SaveTimeout <= 0 {
		errs = append(errs, config.At(errors.New("give a positive time"), "save_timeout"))
	}
	return errors.Join(append(errs, c.Config.Validate())...)
}

// Storage is the workers over CALLS and OUTCOMES.
type Storage struct {
	calls, outcomes *worker.Worker

	store   saver
	timeout time.Duration
	ages    *worker.Ages
}

// New opens the sink's consumers.
func New(ctx context.Context, cfg Config, store saver, b *bus.Bus, log *zap.Logger, reg prometheus.Registerer) (*Storage, error) {
	s := &Storage{store: store, timeout: cfg.SaveTimeout}
	var err error
	if s.ages, err = worker.NewAges(bus.Storage.Name, reg); err != nil {
		return nil, err
	}
	if s.calls, err = worker.New(ctx, b, bus.Storage, s.handle, cfg.Config, log, reg); err != nil {
		return nil, err
	}
	cfg.Concurrency = 1 // a call has one outcome per CRM sink, and is not waited for
	s.outcomes, err = worker.New(ctx, b, bus.Outcomes, s.handleOutcomes, cfg.Config, log, reg)
	return s, err
}

// Run works until ctx ends.
func (s *Storage) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.calls.Run(ctx) })
	g.Go(func() error { return s.outcomes.Run(ctx) })
	return g.Wait()
}

// handleOutcomes saves a batch of outcomes.
func (s *Storage) handleOutcomes(ctx context.Context, batch []*bus.Message) []error {
	errs := make([]error, len(batch))
	var outcomes []call.Outcome
	var at []int // where in batch each outcome stands
	for i, m := range batch {
		o, err := m.Outcome()
		if err != nil {
			errs[i] = err
			continue
		}
		outcomes, at = append(outcomes, o), append(at, i)
	}
	if len(outcomes) == 0 {
		return errs
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	for i, err := range s.store.SaveOutcomes(ctx, outcomes) {
		errs[at[i]] = err
	}
	return errs
}

// handle saves a batch.
func (s *Storage) handle(ctx context.Context, batch []*bus.Message) []error {
	errs := make([]error, len(batch))
	calls := make([]*call.Raw, 0, len(batch))
	at := make([]int, 0, len(batch)) // where in batch each call stands
	for i, m := range batch {
		c, err := m.RawCall()
		if err != nil {
			errs[i] = err
			continue
		}
		calls, at = append(calls, c), append(at, i)
	}
	if len(calls) == 0 {
		return errs
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	for i, err := range s.store.Save(ctx, calls) {
		errs[at[i]] = err
		if err == nil {
			s.ages.Observe(&calls[i].Call)
		}
	}
	return errs
}
