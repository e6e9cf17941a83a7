// Package slowdisk is a folder whose disk takes longer to sync, and is as fast as ever at all else. It needs root and
// /dev/fuse.
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

// Fsync implements fs.NodeFsyncer.
func (n *node) Fsync(ctx context.Context, f fs.FileHandle, flags uint32) syscall.Errno {
	left := unix.NsecToTimespec(n.longer.Nanoseconds()) // by the kernel's clock, as Go's is a millisecond late at times
	for unix.Nanosleep(&left, &left) != nil {
	}
	file, ok := f.(fs.FileFsyncer)
	if !ok { // a folder
		return 0
	}
	return file.Fsync(ctx, flags)
}
