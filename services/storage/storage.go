// Package storage is the sink that writes calls to a database: it reads CALLS and saves each batch in one statement.
package storage

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/pkg/store"
	"github.com/onhook/onhook/pkg/worker"
)

// saver is what the sink needs of a store.
type saver interface {
	Save(ctx context.Context, calls []*call.Call) []error
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

// Storage is the worker over CALLS.
type Storage struct {
	*worker.Worker
	store   saver
	timeout time.Duration
	ages    *worker.Ages
}

// New opens the sink's consumer.
func New(ctx context.Context, cfg Config, store saver, b *bus.Bus, log *zap.Logger, reg prometheus.Registerer) (*Storage, error) {
	s := &Storage{store: store, timeout: cfg.SaveTimeout}
	var err error
	if s.ages, err = worker.NewAges(bus.Storage.Name, reg); err != nil {
		return nil, err
	}
	s.Worker, err = worker.New(ctx, b, bus.Storage, s.handle, cfg.Config, log, reg)
	return s, err
}

// handle saves a batch.
func (s *Storage) handle(ctx context.Context, batch []*bus.Message) []error {
	errs := make([]error, len(batch))
	calls := make([]*call.Call, 0, len(batch))
	at := make([]int, 0, len(batch)) // where in batch each call stands
	for i, m := range batch {
		c, err := m.Call()
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
			s.ages.Observe(calls[i])
		}
	}
	return errs
}
