// Package spool keeps deliveries on the local disk while the broker is away, and forwards them when it is back, in order.
//
// A spool is a folder: a lock, and one bbolt file whose name ends in a number that only this file has:
//
//	DIR/lock
//	DIR/spool-<32 hex digits>.db           the deliveries
//	DIR/spool-<32 hex digits>.db.damaged   one that was set aside; what of it could be read is in the other
package spool

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/pkg/dirlock"
)

// Config is the key spool of section ingress.
type Config struct {
	Dir     string        `yaml:"dir"`      // the folder; empty: no spool
	After   time.Duration `yaml:"after"`    // how long a delivery waits for the broker before it is spooled
	MaxSize config.Size   `yaml:"max_size"` // of all deliveries in it
}

// DefaultConfig has no folder.
func DefaultConfig() Config { return Config{After: time.Second, MaxSize: 1 << 30} }

// Validate says what is wrong with c.
func (c *Config) Validate() error {
	var errs []error
	if c.After <= 0 {
		errs = append(errs, config.At(fmt.Errorf("it is %v; give a positive time", c.After), "after"))
	}
	if c.MaxSize < 1 {
		errs = append(errs, config.At(fmt.Errorf("it is %v; give a size such as 1GiB", c.MaxSize), "max_size"))
	}
	return errors.Join(errs...)
}

// ErrFull says that the spool holds max_size.
var ErrFull = errors.New("the spool is full")

var errClosed = errors.New("the spool is closed")

// Spool is an open spool. It is safe for concurrent use.
//
//	Append ─┐
//	Append ─┼─► waiting ─► write: one transaction for all that wait ─► the file
//	remove ─┘
type Spool struct {
	dir    string
	max    int64 // bytes
	log    *zap.Logger
	file   *file
	unlock func()
	done   chan struct{} // closed when write has ended

	mu      sync.Mutex
	waiting []*change
	wake    chan struct{} // holds a token while write has something to do
	filled  chan struct{} // holds a token after a delivery was written
	closed  bool
	tally   tally
	taken   int64                // bytes that are stored or about to be
	setBack map[uint64]time.Time // until when not to forward which; the disk does not know of it
	broken  error                // why the last write failed; nil if it did not
	failed  time.Time            // when that was
}

// tally is what a spool holds.
type tally struct {
	deliveries int // those that are set back among them
	setBack    int
	bytes      int64
	oldest     time.Time // when the first of them was received; zero without one
}

// change is what one caller wants written.
type change struct {
	put    []byte // a value; nil: none
	at     time.Time
	remove []entry // were forwarded
	done   chan error
}

// Open opens the spool in dir, making it if need be. A file that is damaged is set aside, and what of it can be read is
// taken over; the log says so. The error says why the folder cannot be used.
func Open(dir string, maxSize int64, log *zap.Logger) (*Spool, error) {
	unlock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	s := &Spool{dir: dir, max: maxSize, log: log.Named("spool"), unlock: unlock, done: make(chan struct{}),
		wake: make(chan struct{}, 1), filled: make(chan struct{}, 1), setBack: map[uint64]time.Time{}}
	if err := probe(dir); err != nil {
		unlock()
		return nil, err
	}
	if err := s.load(); err != nil {
		unlock()
		return nil, fmt.Errorf("cannot open the spool in %s: %w", dir, err)
	}
	s.taken = s.tally.bytes
	if s.tally.deliveries > 0 {
		s.log.Info("the spool has deliveries of before", zap.Int("deliveries", s.tally.deliveries), zap.Int64("bytes", s.tally.bytes))
		signal(s.filled)
	}
	go s.write()
	return s, nil
}

// lockDir keeps other processes out of dir.
func lockDir(dir string) (unlock func(), err error) {
	unlock, err = dirlock.Take(dir)
	if errors.Is(err, dirlock.ErrHeld) {
		return nil, errHeld(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot write to the spool folder; ingress.spool.dir names it: %w", err)
	}
	return unlock, nil
}

func errHeld(dir string) error {
	return fmt.Errorf("the spool folder %s belongs to another process that runs; stop it, or give this one a folder of its own with ingress.spool.dir", dir)
}

// probeSize is the room that a spool needs at its start: its first transactions.
const probeSize = 256 << 10

// probe writes to the disk, so that one that is full or read-only is found at the start and not in an outage.
func probe(dir string) error {
	path := filepath.Join(dir, "probe")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.Write(make([]byte, probeSize))
		err = errors.Join(err, f.Sync(), f.Close(), os.Remove(path))
	}
	if err != nil {
		return fmt.Errorf("cannot write to the spool folder %s; make room on its disk, or name another with ingress.spool.dir: %w", dir, err)
	}
	return nil
}

// Append returns nil once d is on the disk, or an error, after which it may be there all the same if ctx has ended.
func (s *Spool) Append(ctx context.Context, d *bus.Delivery) error {
	c := &change{put: s.file.value(d), at: d.ReceivedAt, done: make(chan error, 1)}
	s.mu.Lock()
	full := s.taken+int64(len(c.put)) > s.max
	if !full {
		s.taken += int64(len(c.put))
	}
	s.mu.Unlock()
	if full {
		return fmt.Errorf("%w: it holds ingress.spool.max_size (%v)", ErrFull, config.Size(s.max))
	}
	return s.do(ctx, c)
}

// do has write make the change.
func (s *Spool) do(ctx context.Context, c *change) error {
	s.mu.Lock()
	if s.closed {
		s.taken -= int64(len(c.put))
		s.mu.Unlock()
		return errClosed
	}
	s.waiting = append(s.waiting, c)
	s.mu.Unlock()
	signal(s.wake)
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// signal puts a token into c, unless it has one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// write makes change after change until the spool is closed, all that wait in one transaction.
func (s *Spool) write() {
	defer close(s.done)
	for range s.wake {
		s.mu.Lock()
		group := s.waiting
		s.waiting = nil
		closed := s.closed
		s.mu.Unlock()
		if len(group) > 0 {
			err := s.file.apply(group)
			s.count(group, err)
			for _, c := range group {
				c.done <- err
			}
		}
		if closed {
			return
		}
	}
}

// count keeps the tally.
func (s *Spool) count(group []*change, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &s.tally
	if s.broken = err; err != nil {
		s.failed = time.Now()
	}
	for _, c := range group {
		if err != nil {
			s.taken -= int64(len(c.put))
			continue
		}
		if c.put != nil {
			t.deliveries, t.bytes = t.deliveries+1, t.bytes+int64(len(c.put))
			if t.oldest.IsZero() {
				t.oldest = c.at
			}
			signal(s.filled)
		}
		for _, e := range c.remove {
			t.deliveries, t.bytes, s.taken = t.deliveries-1, t.bytes-e.size, s.taken-e.size
			delete(s.setBack, e.seq)
		}
	}
}

// next is the oldest deliveries that are to be forwarded now, at most an envelope's worth, and none if there are none.
func (s *Spool) next() ([]entry, error) {
	now := time.Now()
	s.mu.Lock()
	maps.DeleteFunc(s.setBack, func(_ uint64, until time.Time) bool { return !until.After(now) })
	if s.tally.deliveries == len(s.setBack) {
		if s.tally.deliveries == 0 {
			s.tally.oldest = time.Time{}
		}
		s.mu.Unlock()
		return nil, nil
	}
	skip := maps.Clone(s.setBack)
	s.mu.Unlock()
	entries, oldest, err := s.file.first(skip)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !oldest.IsZero() {
		s.tally.oldest = oldest
	}
	return entries, err
}

// skip has e left out until then.
func (s *Spool) skip(e entry, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setBack[e.seq] = until
}

// due is when the first of those that are set back is to be tried again; never, if there are none.
func (s *Spool) due() <-chan time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.setBack) == 0 {
		return nil
	}
	return time.After(time.Until(slices.MinFunc(slices.Collect(maps.Values(s.setBack)), time.Time.Compare)))
}

func (s *Spool) holds() tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tally
	t.setBack = len(s.setBack)
	return t
}

// distrust is how long a spool that could not be written to counts as without room. It is tried again then: nothing else
// would tell that its disk is mended.
const distrust = 10 * time.Second

// room says why no other delivery may be spooled, or nil.
func (s *Spool) room() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return errClosed
	case s.broken != nil && time.Since(s.failed) < distrust:
		return fmt.Errorf("the spool cannot be written to: %w", s.broken)
	case s.taken >= s.max:
		return ErrFull
	}
	return nil
}

// Close finishes what is being written and lets go of the folder.
func (s *Spool) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	signal(s.wake)
	<-s.done
	err := s.file.close()
	s.unlock()
	return err
}
