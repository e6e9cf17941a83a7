//go:build linux

package powercut

import (
	"context"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// Lookup implements fs.NodeLookuper.
func (n *node) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	inode, errno := n.LoopbackNode.Lookup(ctx, name, out)
	if errno == 0 {
		n.fs.resize(&out.Attr, out.Attr.Ino)
	}
	return inode, n.after(errno)
}

// after is EIO after the cut.
func (n *node) after(errno syscall.Errno) syscall.Errno {
	if n.fs.isGone() {
		return syscall.EIO
	}
	return errno
}

// Open implements fs.NodeOpener.
func (n *node) Open(_ context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	file, ino, err := n.fs.open(n.path())
	if err != nil {
		return nil, 0, n.fs.errno(err)
	}
	if flags&syscall.O_TRUNC != 0 {
		file.truncate(0)
	}
	return &handle{n.fs, file, ino}, 0, 0
}

// Create implements fs.NodeCreater.
func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	if n.fs.isGone() {
		return nil, nil, 0, syscall.EIO
	}
	inode, plain, _, errno := n.LoopbackNode.Create(ctx, name, flags&^syscall.O_TRUNC, mode, out)
	if errno != 0 {
		return nil, nil, 0, errno
	}
	if errno := plain.(*fs.LoopbackFile).Release(ctx); errno != 0 { // it is ours to open
		return nil, nil, 0, errno
	}
	file, ino, err := n.fs.open(n.path(name))
	if err != nil {
		return nil, nil, 0, n.fs.errno(err)
	}
	if flags&syscall.O_TRUNC != 0 {
		file.truncate(0)
	}
	out.Size = uint64(file.length())
	return inode, &handle{n.fs, file, ino}, 0, 0
}

// Getattr implements fs.NodeGetattrer.
func (n *node) Getattr(ctx context.Context, fh fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	if h, ok := fh.(*handle); ok {
		return h.stat(&out.Attr)
	}
	errno := n.LoopbackNode.Getattr(ctx, nil, out)
	if errno == 0 {
		n.fs.resize(&out.Attr, out.Ino)
	}
	return n.after(errno)
}

// Setattr implements fs.NodeSetattrer.
func (n *node) Setattr(ctx context.Context, fh fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if size, ok := in.GetSize(); ok {
		h, ok := fh.(*handle)
		if ok {
			h.file.truncate(int64(size))
		} else {
			file, ino, err := n.fs.open(n.path())
			if err != nil {
				return n.fs.errno(err)
			}
			file.truncate(int64(size))
			n.fs.forget(ino, 1)
		}
		in.Valid &^= fuse.FATTR_SIZE
	}
	if h, ok := fh.(*handle); ok && in.Valid&^(fuse.FATTR_FH|fuse.FATTR_LOCKOWNER) == 0 {
		return h.stat(&out.Attr) // by its handle: it may have no name
	}
	errno := n.LoopbackNode.Setattr(ctx, nil, in, out)
	if errno == 0 {
		n.fs.resize(&out.Attr, out.Ino)
	}
	return n.after(errno)
}

// Fsync implements fs.NodeFsyncer, for folders too: what is in them is written through.
func (n *node) Fsync(ctx context.Context, fh fs.FileHandle, flags uint32) syscall.Errno {
	if h, ok := fh.(*handle); ok {
		return h.Fsync(ctx, flags)
	}
	return n.after(0)
}

// Mkdir implements fs.NodeMkdirer.
func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if n.fs.isGone() {
		return nil, syscall.EIO
	}
	return n.LoopbackNode.Mkdir(ctx, name, mode, out)
}

// Rmdir implements fs.NodeRmdirer.
func (n *node) Rmdir(ctx context.Context, name string) syscall.Errno {
	if n.fs.isGone() {
		return syscall.EIO
	}
	return n.LoopbackNode.Rmdir(ctx, name)
}

// Unlink implements fs.NodeUnlinker.
func (n *node) Unlink(ctx context.Context, name string) syscall.Errno {
	if n.fs.isGone() {
		return syscall.EIO
	}
	defer n.fs.forgetAt(n.path(name))()
	return n.LoopbackNode.Unlink(ctx, name)
}

// Rename implements fs.NodeRenamer.
func (n *node) Rename(ctx context.Context, name string, parent fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	if n.fs.isGone() {
		return syscall.EIO
	}
	if to, ok := parent.(*node); ok {
		defer n.fs.forgetAt(to.path(newName))()
	}
	return n.LoopbackNode.Rename(ctx, name, parent, newName, flags)
}

// forgetAt notes which file is at path, and forgets it once that is called which it returns.
func (f *FS) forgetAt(path string) func() {
	var st syscall.Stat_t
	if syscall.Lstat(path, &st) != nil {
		return func() {}
	}
	return func() { f.forget(st.Ino, 0) }
}
