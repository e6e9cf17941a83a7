package spool

import (
	"bytes"
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
	n, err := s.takeOver(f.each)
	if err := errors.Join(err, f.close()); err != nil {
		return err
	}
	s.log.Info("another spool file was in the folder, and is taken over", zap.String("path", path), zap.Int("deliveries", n))
	return errors.Join(os.Remove(path), syncDir(s.dir))
}

// setAside takes over what can be read of a damaged file and renames it.
func (s *Spool) setAside(path string, reason error) error {
	n, err := s.takeOver(func(do func(bus.RecordHead, []byte) error) error { return salvage(path, do) })
	if err != nil {
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
		zap.String("path", to), zap.Int("deliveries", n), zap.Error(reason))
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

// takeOver appends every record that each comes by, whatever max_size says: they were acknowledged. It writes some at a
// time, as they may be more than fits into memory. What is here already stays one: the last start may have ended between two
// of these writes. n is how many came.
func (s *Spool) takeOver(each func(func(bus.RecordHead, []byte) error) error) (n int, err error) {
	here := map[string]bool{}
	err = s.file.each(func(h bus.RecordHead, _ []byte) error {
		here[h.ID] = true
		return nil
	})
	if err != nil {
		return 0, err
	}
	var changes []*change
	size := 0
	write := func() error {
		if len(changes) == 0 {
			return nil
		}
		if err := s.file.apply(changes); err != nil {
			return err
		}
		s.count(changes, nil)
		changes, size = nil, 0
		return nil
	}
	err = each(func(h bus.RecordHead, record []byte) error {
		n++
		if here[h.ID] {
			return nil
		}
		here[h.ID] = true
		changes, size = append(changes, &change{put: slices.Concat(s.file.number, record), at: h.ReceivedAt}), size+len(record)
		if len(changes) < batch && size < batchDecoded {
			return nil
		}
		return write()
	})
	if err == nil {
		err = write()
	}
	return n, err
}

const window = 1 << 20 // bytes of a damaged file that are looked through at once

// salvage calls do for every delivery whose record is whole, wherever in the file it lies, in the order in which they
// were received. Some may have been forwarded before: their pages were free, but not overwritten yet.
func salvage(path string, do func(bus.RecordHead, []byte) error) error {
	number, ok := fileNumber(path)
	if !ok {
		return nil // not ours: it is set aside as it is
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	places := find(f, number)
	for _, id := range slices.Sorted(maps.Keys(places)) { // a delivery id grows with time
		if h, record := recordAt(f, places[id]); record != nil {
			if err := do(h, record); err != nil {
				return err
			}
		}
	}
	return nil
}

// find is where in f the record of each delivery begins, by its id.
func find(f *os.File, number []byte) map[string]int64 {
	places := map[string]int64{}
	buf := make([]byte, window)
	for at := int64(0); ; {
		n, err := f.ReadAt(buf, at)
		i := bytes.Index(buf[:n], number)
		switch {
		case i >= 0:
			at += int64(i)
			length := int64(1)
			if h, record := recordAt(f, at+numberSize); record != nil {
				places[h.ID] = at + numberSize
				length = numberSize + int64(len(record))
			}
			at += length
		case err != nil && !errors.Is(err, io.EOF):
			at += window // a part of the disk that cannot be read
			if end, serr := f.Seek(0, io.SeekEnd); serr != nil || at >= end {
				return places
			}
		case n < numberSize || errors.Is(err, io.EOF):
			return places
		default:
			at += int64(n - numberSize + 1)
		}
	}
}

// recordAt reads the record at a place of a file; nil if none is there.
func recordAt(f io.ReaderAt, at int64) (h bus.RecordHead, record []byte) {
	head := make([]byte, 12)
	if _, err := f.ReadAt(head, at); err != nil {
		return h, nil
	}
	size := int64(len(head)) + int64(binary.LittleEndian.Uint32(head[4:]))
	if size > maxRecord {
		return h, nil
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, at); err != nil && !errors.Is(err, io.EOF) {
		return h, nil
	}
	h, err := bus.ReadRecordHead(b)
	if err != nil {
		return h, nil
	}
	return h, b[:h.Length]
}

const maxRecord = 80 << 20 // bytes; a body of the largest message that there is, and what is around it
