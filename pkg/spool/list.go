package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/onhook/onhook/pkg/bus"
)

// Held is a delivery that lies in a spool.
type Held struct {
	ID         string    `json:"delivery_id"`
	Provider   string    `json:"provider"`
	Source     string    `json:"source"`
	ReceivedAt time.Time `json:"received_at"`
	Bytes      int       `json:"bytes"`             // of its body
	Refused    bool      `json:"refused,omitempty"` // by the broker; it is tried again at the next start
	Damaged    bool      `json:"damaged,omitempty"` // its file is, but it can be read
}

// List reads a spool that no process has open, and changes nothing in it.
func List(dir string) ([]Held, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("cannot read the spool: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "lock")); err == nil { // none: it was copied without
		unlock, err := lockDir(dir)
		if err != nil {
			return nil, err
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
	add := func(d *bus.Delivery, refused, damaged bool) {
		all = append(all, Held{ID: d.ID, Provider: d.Provider, Source: d.Source, ReceivedAt: d.ReceivedAt, Bytes: len(d.Body), Refused: refused, Damaged: damaged})
	}
	f, err := openFile(path, true)
	if errors.Is(err, errDamaged) {
		found, err := salvage(path)
		for _, d := range found {
			add(d, false, true)
		}
		return all, err
	}
	if err != nil {
		return nil, err
	}
	err = f.each(func(d *bus.Delivery, _ int64, refused bool) error {
		add(d, refused, false)
		return nil
	})
	return all, errors.Join(err, f.close())
}
