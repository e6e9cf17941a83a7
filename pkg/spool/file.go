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
	refusedBucket = []byte("refused")
)

const (
	numberSize = 16
	filePrefix = "spool-"
	fileSuffix = ".db"

	batch      = 256
	batchBytes = 512 << 10
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
				e := f.entry(k, v)
				if e.d == nil {
					return fmt.Errorf("%w: the record under %x cannot be read", errDamaged, k)
				}
				f.holds.deliveries, f.holds.bytes = f.holds.deliveries+1, f.holds.bytes+e.size
				if f.holds.oldest.IsZero() {
					f.holds.oldest = e.d.ReceivedAt
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

func (f *file) entry(k, v []byte) entry {
	e := entry{size: int64(len(v))}
	if len(k) == 8 {
		e.seq = binary.BigEndian.Uint64(k)
	}
	record, ok := bytes.CutPrefix(v, f.number)
	if !ok {
		return e
	}
	d, n, err := bus.ReadRecord(record)
	if err == nil && n == len(record) {
		d.Body = bytes.Clone(d.Body) // it may lie in the file's pages, which are another's after the transaction
		e.d = d
	}
	return e
}

// first is the oldest entries that wait, at most a batch of them.
func (f *file) first() (entries []entry, err error) {
	err = guard(func() error {
		return f.db.View(func(tx *bolt.Tx) error {
			size := 0
			c := tx.Bucket(waitingBucket).Cursor()
			for k, v := c.First(); k != nil && len(entries) < batch && (size == 0 || size+len(v) <= batchBytes); k, v = c.Next() {
				entries, size = append(entries, f.entry(k, v)), size+len(v)
			}
			return nil
		})
	})
	return entries, err
}

// apply makes all changes, or none.
func (f *file) apply(changes []*change) error {
	return guard(func() error {
		return f.db.Update(func(tx *bolt.Tx) error {
			waiting, refused := tx.Bucket(waitingBucket), tx.Bucket(refusedBucket)
			waiting.FillPercent = 1 // sequence numbers only grow
			for _, c := range changes {
				if c.put != nil {
					if err := put(waiting, c.put); err != nil {
						return err
					}
				}
				for _, e := range c.refuse {
					if err := put(refused, bytes.Clone(waiting.Get(key(e.seq)))); err != nil {
						return err
					}
					if err := waiting.Delete(key(e.seq)); err != nil {
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

// takeBack lets what was refused wait again.
func (f *file) takeBack() error {
	return guard(func() error {
		return f.db.Update(func(tx *bolt.Tx) error {
			waiting, refused := tx.Bucket(waitingBucket), tx.Bucket(refusedBucket)
			if k, _ := refused.Cursor().First(); k == nil {
				return nil
			}
			if err := refused.ForEach(func(_, v []byte) error { return put(waiting, bytes.Clone(v)) }); err != nil {
				return err
			}
			if err := tx.DeleteBucket(refusedBucket); err != nil {
				return err
			}
			_, err := tx.CreateBucket(refusedBucket)
			return err
		})
	})
}

func put(b *bolt.Bucket, value []byte) error {
	seq, err := b.NextSequence()
	if err != nil {
		return err
	}
	return b.Put(key(seq), value)
}

func key(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

// each calls do for every delivery in order: those that wait, then those that were refused.
func (f *file) each(do func(d *bus.Delivery, size int64, refused bool) error) error {
	return guard(func() error {
		return f.db.View(func(tx *bolt.Tx) error {
			for i, name := range [][]byte{waitingBucket, refusedBucket} {
				err := tx.Bucket(name).ForEach(func(k, v []byte) error {
					e := f.entry(k, v)
					return do(e.d, e.size, i == 1)
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
