// Package slowdisk is a folder whose disk takes longer at fsync and fdatasync of files, and is as fast as ever at all else, such
// as syncs of folders and writes to files that are opened with O_SYNC. It needs root, /dev/fuse, and for that speed Linux 6.9.
// (The disk of deploy/e2e/powercut can be slow at syncing too, but holds back what is not synced, which costs more.)
package slowdisk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Able says why Serve would not work here, or nil.
func Able() error {
	if _, err := os.Stat("/dev/fuse"); err != nil || os.Geteuid() != 0 {
		return errors.New("it needs /dev/fuse and root")
	}
	return nil
}

// Serve shows the folder disk at the folder at until ctx ends. Each sync there takes so much longer.
func Serve(ctx context.Context, disk, at string, longer time.Duration) error {
	plain, err := fs.NewLoopbackRoot(disk)
	if err != nil {
		return err
	}
	root := &node{plain.(*fs.LoopbackNode), longer}
	root.RootData.RootNode = root
	server, err := fs.Mount(at, root, &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "slowdisk", Name: "slowdisk"}})
	if err != nil {
		return fmt.Errorf("cannot mount at %s: %w", at, err)
	}
	<-ctx.Done()
	return server.Unmount()
}

// node is a file or folder. The kernel reads and writes the file below by itself (FUSE passthrough, from Linux 6.9).
type node struct {
	*fs.LoopbackNode
	longer time.Duration
}

// WrapChild implements fs.NodeWrapChilder.
func (n *node) WrapChild(_ context.Context, child fs.InodeEmbedder) fs.InodeEmbedder {
	return &node{child.(*fs.LoopbackNode), n.longer}
}

// Fsync implements fs.NodeFsyncer. The syncs of folders pass it by.
func (n *node) Fsync(ctx context.Context, f fs.FileHandle, flags uint32) syscall.Errno {
	left := unix.NsecToTimespec(n.longer.Nanoseconds()) // by the kernel's clock, as Go's is a millisecond late at times
	for unix.Nanosleep(&left, &left) != nil {
	}
	const dataOnly = 1
	file, ok := f.(*fs.LoopbackFile)
	if !ok {
		return syscall.ENOTSUP
	}
	if fd, ok := file.PassthroughFd(); ok && flags&dataOnly != 0 {
		return fs.ToErrno(unix.Fdatasync(fd))
	}
	return file.Fsync(ctx, flags)
}
