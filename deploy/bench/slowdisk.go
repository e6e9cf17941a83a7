package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/onhook/onhook/deploy/bench/load"
	"github.com/onhook/onhook/deploy/bench/result"
)

// slowSync is how much longer a sync takes on the slow disk. The volumes that clouds rent answer in about that time.
const slowSync = time.Millisecond

// slowRows are what a sync costs whom: receivers whose broker keeps its files on a disk that is slower at syncing, and at
// nothing else.
func slowRows() []row {
	const note = "the disk takes 1 ms longer to sync"
	var rows []row
	for _, size := range []int{kib2, kib20} {
		for _, r := range receivers {
			if !r.stored || r.servers != 1 || r.sync != always {
				continue
			}
			rows = append(rows, row{
				Row:  result.Row{Name: slowName(r.name, size), Connections: 256, Body: size, Unit: "acks/s", Note: note},
				slow: true,
				measure: func(ctx context.Context, e *env) (result.Sample, error) {
					return r.measure(ctx, e, load.Config{Connections: 256, Size: size})
				},
			})
		}
	}
	return append(rows, row{
		Row:     result.Row{Name: appendName(kib2) + slowSuffix, Body: kib2, Unit: "appends/s", Note: note},
		slow:    true,
		measure: func(ctx context.Context, e *env) (result.Sample, error) { return appends(ctx, e, kib2) },
	})
}

const slowSuffix = ", slow disk"

func slowName(what string, size int) string { return rowName(what, size, 256) + slowSuffix }

// canSlow says why there can be no slow disk here, or nil.
func canSlow() error {
	if _, err := os.Stat("/dev/fuse"); err != nil || os.Geteuid() != 0 {
		return errors.New("it needs /dev/fuse and root")
	}
	return nil
}

// slowDisk has what follows keep its data on a slow disk.
func (e *env) slowDisk(ctx context.Context) error {
	disk, at := filepath.Join(e.dir, "disk"), filepath.Join(e.dir, "slow")
	if err := errors.Join(os.Mkdir(disk, 0o700), os.Mkdir(at, 0o700)); err != nil {
		return err
	}
	p, err := e.start("slowdisk", "slowdisk", "-disk", disk, "-at", at, "-sync", slowSync.String())
	if err != nil {
		return err
	}
	e.data = at
	return p.Await(ctx, "a file system at "+at, func() error {
		mounts, err := os.ReadFile("/proc/self/mounts")
		if err == nil && !strings.Contains(string(mounts), " "+at+" ") {
			err = errors.New("not there")
		}
		return err
	})
}

// slowDisk shows one folder at another until ctx ends, where each sync takes longer.
func slowDisk(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("slowdisk", flag.ContinueOnError)
	disk := flags.String("disk", "", "the `folder` that has the files")
	at := flags.String("at", "", "where to show it, a `folder`")
	sync := flags.Duration("sync", slowSync, "how much longer a sync takes")
	if err := flags.Parse(args); err != nil {
		return err
	}
	plain, err := fs.NewLoopbackRoot(*disk)
	if err != nil {
		return err
	}
	root := &slowNode{plain.(*fs.LoopbackNode), *sync}
	root.RootData.RootNode = root
	server, err := fs.Mount(*at, root, &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "slowdisk", Name: "slowdisk"}})
	if err != nil {
		return fmt.Errorf("cannot mount at %s: %w", *at, err)
	}
	<-ctx.Done()
	return server.Unmount()
}

// slowNode is a file or folder. The kernel reads and writes the file below by itself (FUSE passthrough, from Linux 6.9).
type slowNode struct {
	*fs.LoopbackNode
	sync time.Duration
}

// WrapChild implements fs.NodeWrapChilder.
func (n *slowNode) WrapChild(_ context.Context, child fs.InodeEmbedder) fs.InodeEmbedder {
	return &slowNode{child.(*fs.LoopbackNode), n.sync}
}

// Fsync implements fs.NodeFsyncer.
func (n *slowNode) Fsync(ctx context.Context, f fs.FileHandle, flags uint32) syscall.Errno {
	left := unix.NsecToTimespec(n.sync.Nanoseconds()) // by the kernel's clock, as Go's is a millisecond late at times
	for unix.Nanosleep(&left, &left) != nil {
	}
	file, ok := f.(fs.FileFsyncer)
	if !ok { // a folder
		return 0
	}
	return file.Fsync(ctx, flags)
}
