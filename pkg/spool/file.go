package spool

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/onhook/onhook/pkg/bus"
)

// file is one bbolt file. Its buckets map a sequence number to a value: the file's number, which its name has too, and
// then the delivery as an envelope's record (see pkg/bus). By the number a damaged file's values are found among whatever
// its bytes are; as nobody outside knows it, none can be forged by what a sender puts into a body.
type file struct {
	path   string
	number []byte
	db     *bolt.DB
	holds  tally // when it was opened
}

// entry is one delivery of a file.
type entry struct {
	seq  uint64
	size int64         // in bytes, as it counts against max_size
	d    *bus.Delivery // nil: it cannot be read
}

var (
	waitingBucket = []byte("deliveries")
	refusedBucket = []byte("refused") // where an older version kept what the broker would not take
)

const (
	numberSize = 16
	filePrefix = "spool-"
	fileSuffix = ".db"

	batch        = 256
	batchBytes   = 512 << 10 // as they lie in the file
	batchDecoded = 4 << 20   // of bodies, which may be a thousandth of that in the file; one may be larger
)

var errDamaged = errors.New("the file is damaged")

// fileNumber is that of a file's name.
func fileNumber(path string) ([]byte, bool) {
	name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), filePrefix), fileSuffix)
	number, err := hex.DecodeString(name)
	return number, err == nil && len(number) == numberSize
}

// guard turns what bbolt does about a page that makes no sense, a panic or a memory fault, into an error.
func guard(do func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer debug.SetPanicOnFault(old)
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: %v", errDamaged, v)
		}
	}()
	return do()
}

// createFile makes an empty file under path, whole or not at all.
func createFile(path string) error {
	fresh := path + ".new"
	db, err := bolt.Open(fresh, 0o600, &bolt.Options{Timeout: time.Second})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucket(waitingBucket)
		if err == nil {
			_, err = tx.CreateBucket(refusedBucket)
		}
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := os.Rename(fresh, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" { // where a folder cannot be synced
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// openFile opens a file and reads all of it. Its error is errDamaged if something in it makes no sense.
func openFile(path string, readOnly bool) (*file, error) {
	number, ok := fileNumber(path)
	if !ok {
		return nil, fmt.Errorf("%w: no spool names a file so", errDamaged)
	}
	f := &file{path: path, number: number}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() == 0 { // bbolt would take it for a new one
		return nil, fmt.Errorf("%w: it is empty", errDamaged)
	}
	var handle *os.File
	err = guard(func() error {
		f.db, err = bolt.Open(path, 0o600, &bolt.Options{
			Timeout: time.Second, ReadOnly: readOnly, PreLoadFreelist: true, FreelistType: bolt.FreelistMapType, NoStatistics: true,
			OpenFile: func(name string, flag int, perm os.FileMode) (*os.File, error) {
				handle, err = os.OpenFile(name, flag, perm)
				return handle, err
			},
		})
		if err != nil {
			return err
		}
		return f.check()
	})
	if err == nil {
		return f, nil
	}
	if f.db != nil {
		_ = guard(f.db.Close) // nothing was written
	} else if handle != nil {
		_ = handle.Close() // bbolt panicked, or has closed it
	}
	if !errors.Is(err, errDamaged) && !fromOutside(err) {
		err = fmt.Errorf("%w: %w", errDamaged, err)
	}
	return nil, err
}

// fromOutside reports that err is the system's, not the file's.
func fromOutside(err error) bool {
	_, path := errors.AsType[*fs.PathError](err)
	_, errno := errors.AsType[syscall.Errno](err)
	return path || errno || errors.Is(err, bolterrors.ErrTimeout)
}

// check reads everything, so that damage is found at the start.
func (f *file) check() error {
	return f.db.View(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{waitingBucket, refusedBucket} {
			b := tx.Bucket(name)
			if b == nil {
				return fmt.Errorf("%w: bucket %s is missing", errDamaged, name)
			}
			err := b.ForEach(func(k, v []byte) error {
				h, ok := f.head(v)
				if !ok {
					return fmt.Errorf("%w: the record under %x cannot be read", errDamaged, k)
				}
				f.holds.deliveries, f.holds.bytes = f.holds.deliveries+1, f.holds.bytes+int64(len(v))
				if f.holds.oldest.IsZero() {
					f.holds.oldest = h.ReceivedAt
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		var wrong error
		for err := range tx.Check() { // read to its end, as it waits for its reader
			wrong = errors.Join(wrong, fmt.Errorf("%w: %w", errDamaged, err))
		}
		return wrong
	})
}

// value is d as it is stored.
func (f *file) value(d *bus.Delivery) []byte {
	return bus.AppendRecord(bytes.Clone(f.number), d)
}

// head is what the value v says of its delivery; not ok if it cannot be read.
func (f *file) head(v []byte) (h bus.RecordHead, ok bool) {
	record, ok := bytes.CutPrefix(v, f.number)
	if !ok {
		return h, false
	}
	h, err := bus.ReadRecordHead(record)
	return h, err == nil && h.Length == len(record)
}

// entryOf decodes the value v, whose head is h.
func entryOf(seq uint64, v []byte, h bus.RecordHead) entry {
	e := entry{seq: seq, size: int64(len(v))}
	d, _, err := bus.ReadRecord(v[numberSize:])
	if err != nil {
		return e
	}
	if !h.Packed {
		d.Body = bytes.Clone(d.Body) // it lies in the file's pages, which are another's after the transaction
	}
	e.d = d
	return e
}

// first is the oldest entries that wait and are not to be skipped, at most a batch of them, and when the oldest of all
// was received.
func (f *file) first(skip map[uint64]time.Time) (entries []entry, oldest time.Time, err error) {
	err = guard(func() error {
		return f.db.View(func(tx *bolt.Tx) error {
			size, decoded := 0, int64(0)
			c := tx.Bucket(waitingBucket).Cursor()
			for k, v := c.First(); k != nil && len(entries) < batch; k, v = c.Next() {
				seq := sequence(k)
				_, skipped := skip[seq]
				if skipped && !oldest.IsZero() {
					continue
				}
				h, ok := f.head(v)
				if oldest.IsZero() {
					oldest = h.ReceivedAt
				}
				if skipped {
					continue
				}
				size, decoded = size+len(v), decoded+h.BodySize
				if len(entries) > 0 && (size > batchBytes || decoded > batchDecoded) {
					return nil
				}
				e := entry{seq: seq, size: int64(len(v))}
				if ok {
					e = entryOf(seq, v, h)
				}
				entries = append(entries, e)
			}
			return nil
		})
	})
	return entries, oldest, err
}

// apply makes all changes, or none.
func (f *file) apply(changes []*change) error {
	return guard(func() error {
		return f.db.Update(func(tx *bolt.Tx) error {
			waiting := tx.Bucket(waitingBucket)
			waiting.FillPercent = 1 // sequence numbers only grow
			for _, c := range changes {
				if c.put != nil {
					if err := put(waiting, c.put); err != nil {
						return err
					}
				}
				for _, e := range c.remove {
					if err := waiting.Delete(key(e.seq)); err != nil {
						return err
					}
				}
			}
			return nil
		})
	})
}

// takeBack lets wait again what an older version kept apart, some at a time: what a transaction changes is in memory.
func (f *file) takeBack() error {
	for more := true; more; {
		err := guard(func() error {
			return f.db.Update(func(tx *bolt.Tx) error {
				waiting, refused := tx.Bucket(waitingBucket), tx.Bucket(refusedBucket)
				size := 0
				k, v := refused.Cursor().First()
				for ; k != nil && size <= batchBytes; k, v = refused.Cursor().First() {
					size += len(v)
					if err := errors.Join(put(waiting, bytes.Clone(v)), refused.Delete(k)); err != nil {
						return err
					}
				}
				more = k != nil
				return nil
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func put(b *bolt.Bucket, value []byte) error {
	seq, err := b.NextSequence()
	if err != nil {
		return err
	}
	return b.Put(key(seq), value)
}

func key(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

func sequence(key []byte) uint64 {
	if len(key) != 8 {
		return 0 // which no delivery has
	}
	return binary.BigEndian.Uint64(key)
}

// each calls do for every delivery in order. The record is valid until do returns.
func (f *file) each(do func(h bus.RecordHead, record []byte) error) error {
	return guard(func() error {
		return f.db.View(func(tx *bolt.Tx) error {
			for _, name := range [][]byte{waitingBucket, refusedBucket} {
				err := tx.Bucket(name).ForEach(func(k, v []byte) error {
					h, ok := f.head(v)
					if !ok {
						return fmt.Errorf("%w: the record under %x cannot be read", errDamaged, k)
					}
					return do(h, v[numberSize:])
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
}

func (f *file) close() error { return guard(f.db.Close) }
