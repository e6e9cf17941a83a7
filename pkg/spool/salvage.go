package spool

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
)

// load opens the folder's file, making one if there is none, and takes over what any others hold: those that are damaged
// are set aside then, and those that are whole, which somebody has put there, are deleted.
func (s *Spool) load() error {
	err := s.loadFiles()
	if err != nil && s.file != nil {
		_ = s.file.close() // err says more
	}
	return err
}

func (s *Spool) loadFiles() error {
	paths, err := s.files()
	if err != nil {
		return err
	}
	var whole []string
	damaged := map[string]error{}
	for _, path := range paths {
		f, err := openFile(path, false)
		switch {
		case errors.Is(err, errDamaged):
			damaged[path] = err
		case err != nil:
			return err
		case s.file == nil:
			s.file = f
		default:
			whole = append(whole, path)
			if err := f.close(); err != nil {
				return err
			}
		}
	}
	if s.file == nil {
		path := filepath.Join(s.dir, filePrefix+newNumber()+fileSuffix)
		if err := createFile(path); err != nil {
			return err
		}
		if s.file, err = openFile(path, false); err != nil {
			return err
		}
	}
	s.tally = s.file.holds
	if err := s.file.takeBack(); err != nil {
		return err
	}
	for _, path := range whole {
		if err := s.merge(path); err != nil {
			return err
		}
	}
	for _, path := range slices.Sorted(maps.Keys(damaged)) {
		if err := s.setAside(path, damaged[path]); err != nil {
			return err
		}
	}
	return nil
}

// files are the folder's, without any that was being made when the process ended: nothing is in it yet.
func (s *Spool) files() ([]string, error) {
	half, err := filepath.Glob(filepath.Join(s.dir, filePrefix+"*"+fileSuffix+".new"))
	if err != nil {
		return nil, err
	}
	for _, path := range half {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	return filepath.Glob(filepath.Join(s.dir, filePrefix+"*"+fileSuffix))
}

func newNumber() string {
	b := make([]byte, numberSize)
	_, _ = rand.Read(b) // it does not fail
	return hex.EncodeToString(b)
}

// merge moves the deliveries of another file into this one.
func (s *Spool) merge(path string) error {
	f, err := openFile(path, true)
	if err != nil {
		return err
	}
	var all []*bus.Delivery
	err = f.each(func(d *bus.Delivery, _ int64, _ bool) error {
		all = append(all, d)
		return nil
	})
	if err := errors.Join(err, f.close(), s.takeOver(all)); err != nil {
		return err
	}
	s.log.Info("another spool file was in the folder, and is taken over", zap.String("path", path), zap.Int("deliveries", len(all)))
	return errors.Join(os.Remove(path), syncDir(s.dir))
}

// setAside takes over what can be read of a damaged file and renames it.
func (s *Spool) setAside(path string, reason error) error {
	all, err := salvage(path)
	if err != nil {
		return err
	}
	if err := s.takeOver(all); err != nil {
		return err
	}
	to, err := asideName(path)
	if err != nil {
		return err
	}
	if err := errors.Join(os.Rename(path, to), syncDir(s.dir)); err != nil {
		return err
	}
	s.log.Error("a spool file is damaged and was set aside; what of it can be read is forwarded, some of it perhaps for the second time",
		zap.String("path", to), zap.Int("deliveries", len(all)), zap.Error(reason))
	return nil
}

// asideName is a name that nothing has yet.
func asideName(path string) (string, error) {
	for n := 1; ; n++ {
		to := path + ".damaged"
		if n > 1 {
			to = fmt.Sprintf("%s-%d", to, n)
		}
		if _, err := os.Lstat(to); errors.Is(err, os.ErrNotExist) {
			return to, nil
		} else if err != nil {
			return "", err
		}
	}
}

// takeOver appends ds, whatever max_size says: they were acknowledged.
func (s *Spool) takeOver(ds []*bus.Delivery) error {
	changes := make([]*change, len(ds))
	for i, d := range ds {
		changes[i] = &change{put: s.file.value(d), at: d.ReceivedAt}
	}
	if len(changes) == 0 {
		return nil
	}
	if err := s.file.apply(changes); err != nil {
		return err
	}
	s.count(changes, nil)
	return nil
}

const window = 1 << 20 // bytes of a damaged file that are looked through at once

// salvage finds every delivery whose record is whole, wherever in the file it lies, in the order in which they were
// received. Some may have been forwarded before: their pages were free, but not overwritten yet.
func salvage(path string) ([]*bus.Delivery, error) {
	number, ok := fileNumber(path)
	if !ok {
		return nil, nil // not ours: it is set aside as it is
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	found := map[string]*bus.Delivery{}
	buf := make([]byte, window)
	for at := int64(0); ; {
		n, err := f.ReadAt(buf, at)
		i := bytes.Index(buf[:n], number)
		switch {
		case i >= 0:
			at += int64(i)
			length := int64(1)
			if d, size := recordAt(f, at+numberSize); d != nil {
				found[d.ID] = d
				length = numberSize + size
			}
			at += length
		case err != nil && !errors.Is(err, io.EOF):
			at += window // a part of the disk that cannot be read
			if end, serr := f.Seek(0, io.SeekEnd); serr != nil || at >= end {
				return inOrder(found), nil
			}
		case n < numberSize || errors.Is(err, io.EOF):
			return inOrder(found), nil
		default:
			at += int64(n - numberSize + 1)
		}
	}
}

// recordAt reads the record at a place of a file, and says how long it is.
func recordAt(f io.ReaderAt, at int64) (*bus.Delivery, int64) {
	head := make([]byte, 12)
	if _, err := f.ReadAt(head, at); err != nil {
		return nil, 0
	}
	size := int64(len(head)) + int64(binary.LittleEndian.Uint32(head[4:]))
	if size > maxRecord {
		return nil, 0
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, at); err != nil && !errors.Is(err, io.EOF) {
		return nil, 0
	}
	d, n, err := bus.ReadRecord(b)
	if err != nil {
		return nil, 0
	}
	return d, int64(n)
}

const maxRecord = 80 << 20 // bytes; a body of the largest message that there is, and what is around it

// inOrder sorts by delivery id, which grows with time.
func inOrder(found map[string]*bus.Delivery) []*bus.Delivery {
	all := make([]*bus.Delivery, 0, len(found))
	for _, d := range found {
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b *bus.Delivery) int { return cmp.Compare(a.ID, b.ID) })
	return all
}
