//go:build linux

package powercut

import (
	"maps"
	"os"
	"slices"
	"sync"
	"syscall"
)

// page is the unit in which content is kept in memory.
const page = 4096

// file is one file's content beyond what is synced.
type file struct {
	mu    sync.Mutex
	disk  *os.File
	opens int              // guarded by FS.mu
	dirty map[int64][]byte // by page number
	size  int64            // as its users see it
	kept  int64            // of the disk's bytes, as many from the start are still its content
}

// read fills b from off on and returns how much there was.
func (f *file) read(b []byte, off int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if off >= f.size {
		return 0, nil
	}
	b = b[:min(int64(len(b)), f.size-off)]
	clear(b)
	if off < f.kept {
		if n, err := f.disk.ReadAt(b[:min(int64(len(b)), f.kept-off)], off); n == 0 && err != nil {
			return 0, err
		}
	}
	for p := off / page; p*page < off+int64(len(b)); p++ {
		content, ok := f.dirty[p]
		if !ok {
			continue
		}
		from := p*page - off
		if from < 0 {
			content, from = content[-from:], 0
		}
		copy(b[from:], content)
	}
	return len(b), nil
}

func (f *file) write(b []byte, off int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for at := off; len(b) > 0; {
		p := at / page
		content, ok := f.dirty[p]
		if !ok {
			content = make([]byte, page)
			if n := min(page, f.kept-p*page); n > 0 {
				if _, err := f.disk.ReadAt(content[:n], p*page); err != nil {
					return err
				}
			}
			f.dirty[p] = content
		}
		n := copy(content[at-p*page:], b)
		b, at = b[n:], at+int64(n)
		f.size = max(f.size, at)
	}
	return nil
}

func (f *file) truncate(size int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.size, f.kept = size, min(f.kept, size)
	for p, content := range f.dirty {
		if p*page >= size {
			delete(f.dirty, p)
		} else if end := size - p*page; end < page {
			clear(content[end:])
		}
	}
}

// sync writes to the disk what is not there. The disk itself need not sync: it is this file system that fails, and not
// the machine.
func (f *file) sync() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.clean() {
		return nil
	}
	if err := f.disk.Truncate(f.kept); err != nil {
		return err
	}
	for _, p := range slices.Sorted(maps.Keys(f.dirty)) {
		content := f.dirty[p]
		if _, err := f.disk.WriteAt(content[:min(page, f.size-p*page)], p*page); err != nil {
			return err
		}
	}
	if err := f.disk.Truncate(f.size); err != nil {
		return err
	}
	clear(f.dirty)
	f.kept = f.size
	return nil
}

// clean reports that all of the file is on the disk.
func (f *file) clean() bool { return len(f.dirty) == 0 && f.kept == f.size && f.onDisk() == f.size }

func (f *file) onDisk() int64 {
	info, err := f.disk.Stat()
	if err != nil {
		return -1
	}
	return info.Size()
}

// length is the size that users of the file see.
func (f *file) length() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.size
}

// needless reports that nothing would be lost with f: it is clean, or nobody can open it any more.
func (f *file) needless() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.clean() {
		return true
	}
	var st syscall.Stat_t
	return syscall.Fstat(int(f.disk.Fd()), &st) == nil && st.Nlink == 0
}
