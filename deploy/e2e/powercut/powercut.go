//go:build linux

package powercut

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// FS is a mounted file system.
type FS struct {
	server *fuse.Server

	mu    sync.Mutex
	files map[uint64]*file // by inode number, which nobody else gets as long as the file is open here
	delay time.Duration
	gone  chan struct{} // closed at the cut
}

// Mount shows the folder disk at the folder at, both of which must be there. It needs root and /dev/fuse.
func Mount(disk, at string) (*FS, error) {
	if _, err := os.Stat("/dev/fuse"); err != nil {
		return nil, fmt.Errorf("there is no FUSE here: %w", err)
	}
	plain, err := fs.NewLoopbackRoot(disk)
	if err != nil {
		return nil, err
	}
	f := &FS{files: map[uint64]*file{}, gone: make(chan struct{})}
	root := &node{LoopbackNode: plain.(*fs.LoopbackNode), fs: f}
	root.RootData.RootNode = root
	f.server, err = fs.Mount(at, root, &fs.Options{MountOptions: fuse.MountOptions{
		DirectMountStrict: true, DisableXAttrs: true, MaxWrite: 1 << 20, FsName: "powercut", Name: "powercut",
	}})
	if err != nil {
		return nil, fmt.Errorf("cannot mount at %s: %w", at, err)
	}
	return f, nil
}

// Cut cuts the power: what was not synced is gone, and every operation fails from now on.
func (f *FS) Cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.isGone() {
		return
	}
	close(f.gone)
	for ino, file := range f.files {
		file.mu.Lock() // a sync that has begun comes to its end
		_ = file.disk.Close()
		file.mu.Unlock()
		delete(f.files, ino)
	}
}

// Unmount takes the file system away. What was not synced is gone then too.
func (f *FS) Unmount() error {
	f.Cut()
	return f.server.Unmount()
}

// Sync syncs every file, as the kernel does by itself now and then.
func (f *FS) Sync() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for _, file := range f.files {
		errs = append(errs, file.sync())
	}
	return errors.Join(errs...)
}

// SlowSync makes each sync from now on take so much longer.
func (f *FS) SlowSync(by time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delay = by
}

func (f *FS) isGone() bool {
	select {
	case <-f.gone:
		return true
	default:
		return false
	}
}

// errno is EIO after the cut, whatever the operation had come to.
func (f *FS) errno(err error) syscall.Errno {
	if f.isGone() || errors.Is(err, os.ErrClosed) {
		return syscall.EIO
	}
	return fs.ToErrno(err)
}

// open opens the file at path on the disk, or joins those who have it open. A file with unsynced content is here even
// if nobody has it open.
func (f *FS) open(path string) (*file, uint64, error) {
	disk, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, 0, err
	}
	var st syscall.Stat_t
	if err := syscall.Fstat(int(disk.Fd()), &st); err != nil {
		return nil, 0, errors.Join(err, disk.Close())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.isGone() {
		return nil, 0, errors.Join(syscall.EIO, disk.Close())
	}
	known, ok := f.files[st.Ino]
	if ok {
		_ = disk.Close()
	} else {
		known = &file{disk: disk, dirty: map[int64][]byte{}, size: st.Size, kept: st.Size}
		f.files[st.Ino] = known
	}
	known.opens++
	return known, st.Ino, nil
}

// forget closes the files that nobody has open and nothing would be lost with.
func (f *FS) forget(ino uint64, closed int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	file, ok := f.files[ino]
	if !ok {
		return
	}
	if file.opens -= closed; file.opens == 0 && file.needless() {
		_ = file.disk.Close()
		delete(f.files, ino)
	}
}

// sync syncs a file, as slowly as was asked for.
func (f *FS) sync(file *file) syscall.Errno {
	f.mu.Lock()
	delay := f.delay
	f.mu.Unlock()
	if delay > 0 {
		t := time.NewTimer(delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-f.gone:
		}
	}
	if f.isGone() {
		return syscall.EIO
	}
	return f.errno(file.sync())
}

// resize puts the length that users see into a file's attributes.
func (f *FS) resize(a *fuse.Attr, ino uint64) {
	f.mu.Lock()
	file := f.files[ino]
	f.mu.Unlock()
	if file != nil {
		a.Size = uint64(file.length())
	}
}

// handle is an open file.
type handle struct {
	fs   *FS
	file *file
	ino  uint64
}

// Read implements fs.FileReader.
func (h *handle) Read(_ context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	n, err := h.file.read(dest, off)
	return fuse.ReadResultData(dest[:n]), h.fs.errno(err)
}

// Write implements fs.FileWriter.
func (h *handle) Write(_ context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	if errno := h.fs.errno(h.file.write(data, off)); errno != 0 {
		return 0, errno
	}
	return uint32(len(data)), 0
}

// Fsync implements fs.FileFsyncer.
func (h *handle) Fsync(context.Context, uint32) syscall.Errno { return h.fs.sync(h.file) }

// Release implements fs.FileReleaser.
func (h *handle) Release(context.Context) syscall.Errno {
	h.fs.forget(h.ino, 1)
	return 0
}

// stat is the attributes of an open file, which may have no name any more.
func (h *handle) stat(out *fuse.Attr) syscall.Errno {
	var st syscall.Stat_t
	if err := syscall.Fstat(int(h.file.disk.Fd()), &st); err != nil {
		return h.fs.errno(err)
	}
	out.FromStat(&st)
	out.Size = uint64(h.file.length())
	return h.fs.errno(nil)
}

// node is a file or folder: go-fuse's own pass-through, but for the content and the length of files.
type node struct {
	*fs.LoopbackNode
	fs *FS
}

// WrapChild implements fs.NodeWrapChilder.
func (n *node) WrapChild(_ context.Context, ops fs.InodeEmbedder) fs.InodeEmbedder {
	return &node{LoopbackNode: ops.(*fs.LoopbackNode), fs: n.fs}
}

func (n *node) path(name ...string) string {
	return filepath.Join(append([]string{n.RootData.Path, n.Path(n.Root())}, name...)...)
}
