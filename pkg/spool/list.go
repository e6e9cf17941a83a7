package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/dirlock"
)

// Held is a delivery that lies in a spool.
type Held struct {
	ID         string    `json:"delivery_id"`
	Provider   string    `json:"provider"`
	Source     string    `json:"source"`
	ReceivedAt time.Time `json:"received_at"`
	Bytes      int64     `json:"bytes"`             // of its body
	Damaged    bool      `json:"damaged,omitempty"` // its file is, but it can be read
}

// List reads a spool that no process has open, and changes nothing in it.
func List(dir string) ([]Held, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("cannot read the spool: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "lock")); err == nil { // none: it was copied without
		unlock, err := dirlock.Look(dir)
		if errors.Is(err, dirlock.ErrHeld) {
			return nil, errHeld(dir)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the spool: %w", err)
		}
		defer unlock()
	}
	paths, err := filepath.Glob(filepath.Join(dir, filePrefix+"*"+fileSuffix))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("%s holds no spool; give the folder that ingress.spool.dir named", dir)
	}
	var all []Held
	for _, path := range paths {
		held, err := listFile(path)
		if err != nil {
			return nil, err
		}
		all = append(all, held...)
	}
	return all, nil
}

func listFile(path string) (all []Held, err error) {
	add := func(h bus.RecordHead, damaged bool) {
		all = append(all, Held{ID: h.ID, Provider: h.Provider, Source: h.Source, ReceivedAt: h.ReceivedAt, Bytes: h.BodySize, Damaged: damaged})
	}
	f, err := openFile(path, true)
	if errors.Is(err, errDamaged) {
		return all, salvage(path, func(h bus.RecordHead, _ []byte) error {
			add(h, true)
			return nil
		})
	}
	if err != nil {
		return nil, err
	}
	err = f.each(func(h bus.RecordHead, _ []byte) error {
		add(h, false)
		return nil
	})
	return all, errors.Join(err, f.close())
}
