//go:build linux

package powercut_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/onhook/onhook/deploy/e2e/powercut"
)

func TestMain(m *testing.M) {
	if powercut.Serve() {
		return
	}
	os.Exit(m.Run())
}

// mount returns a file system, where it is mounted, and its disk.
func mount(t *testing.T) (fs *powercut.Process, at, disk string) {
	t.Helper()
	at, disk = t.TempDir(), t.TempDir()
	fs, err := powercut.Start(disk, at)
	if err != nil {
		t.Skipf("needs FUSE and root: %v", err)
	}
	t.Cleanup(func() {
		if err := fs.Unmount(); err != nil {
			t.Errorf("unmount: %v", err)
			_ = syscall.Unmount(at, syscall.MNT_DETACH)
		}
	})
	return fs, at, disk
}

func create(t *testing.T, path string, flags int) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|flags, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func write(t *testing.T, f *os.File, off int64, text string) {
	t.Helper()
	if _, err := f.WriteAt([]byte(text), off); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, path string)
		seen string // before the cut
		want string // after it
	}{
		{"synced stays", func(t *testing.T, path string) {
			f := create(t, path, 0)
			write(t, f, 0, "one")
			must(t, f.Sync())
		}, "one", "one"},
		{"unsynced is gone", func(t *testing.T, path string) {
			write(t, create(t, path, 0), 0, "one")
		}, "one", ""},
		{"closing is no sync", func(t *testing.T, path string) {
			must(t, os.WriteFile(path, []byte("one"), 0o600))
		}, "one", ""},
		{"what came after the sync is gone", func(t *testing.T, path string) {
			f := create(t, path, 0)
			write(t, f, 0, "one")
			must(t, f.Sync())
			write(t, f, 3, "two")
			write(t, f, 0, "O")
		}, "Onetwo", "one"},
		{"an open for sync is one", func(t *testing.T, path string) {
			write(t, create(t, path, os.O_SYNC), 0, "one")
		}, "one", "one"},
		{"a truncation is no sync", func(t *testing.T, path string) {
			f := create(t, path, 0)
			write(t, f, 0, "one")
			must(t, f.Sync())
			must(t, f.Truncate(1))
		}, "o", "one"},
		{"a truncation at opening is none either", func(t *testing.T, path string) {
			f := create(t, path, 0)
			write(t, f, 0, "one")
			must(t, f.Sync())
			write(t, create(t, path, os.O_TRUNC), 0, "x")
		}, "x", "one"},
		{"what is cut off does not come back", func(t *testing.T, path string) {
			f := create(t, path, 0)
			write(t, f, 0, "onetwo")
			must(t, f.Sync())
			must(t, f.Truncate(1))
			must(t, f.Truncate(4))
			must(t, f.Sync())
		}, "o\x00\x00\x00", "o\x00\x00\x00"},
		{"a rename takes what is synced with it", func(t *testing.T, path string) {
			f := create(t, path+".tmp", 0)
			write(t, f, 0, "one")
			must(t, f.Sync())
			write(t, f, 3, "two")
			must(t, os.Rename(path+".tmp", path))
		}, "onetwo", "one"},
		{"a rename over another", func(t *testing.T, path string) {
			must(t, os.WriteFile(path, []byte("old and unsynced"), 0o600))
			f := create(t, path+".tmp", os.O_SYNC)
			write(t, f, 0, "one")
			must(t, f.Close())
			must(t, os.Rename(path+".tmp", path))
		}, "one", "one"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			fs, at, disk := mount(t)
			path := filepath.Join(at, "file")
			tt.do(t, path)
			seen, err := os.ReadFile(path)
			if err != nil || string(seen) != tt.seen {
				t.Errorf("before the cut: %q, %v; want %q", seen, err, tt.seen)
			}
			must(t, fs.Cut())
			if _, err := os.ReadFile(path); !errors.Is(err, syscall.EIO) {
				t.Errorf("after the cut: %v, want an I/O error", err)
			}
			if got, err := os.ReadFile(filepath.Join(disk, "file")); err != nil || string(got) != tt.want {
				t.Errorf("on the disk: %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

// Whatever is done to a file, it reads as one on a common file system does, and a sync puts all of it on the disk.
func TestReadsAsAnyFile(t *testing.T) {
	t.Parallel()
	_, at, disk := mount(t)
	r := rand.New(rand.NewPCG(1, 2))
	ours, theirs := create(t, filepath.Join(at, "file"), 0), create(t, filepath.Join(t.TempDir(), "file"), 0)
	read := func(path string) []byte {
		b, err := os.ReadFile(path)
		must(t, err)
		return b
	}
	for i := range 500 {
		switch r.IntN(6) {
		case 0:
			size := r.Int64N(100_000)
			must(t, ours.Truncate(size))
			must(t, theirs.Truncate(size))
		case 1:
			must(t, ours.Sync())
			if !bytes.Equal(read(filepath.Join(disk, "file")), read(theirs.Name())) {
				t.Fatalf("after step %d, a sync, the disk has something else", i)
			}
		default:
			b := make([]byte, r.IntN(20_000))
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			off := r.Int64N(80_000)
			write(t, ours, off, string(b))
			write(t, theirs, off, string(b))
		}
		if !bytes.Equal(read(ours.Name()), read(theirs.Name())) {
			t.Fatalf("after step %d the file reads differently", i)
		}
	}
}

func TestRemovedFileIsReadableUntilClosed(t *testing.T) {
	t.Parallel()
	_, at, _ := mount(t)
	f := create(t, filepath.Join(at, "file"), 0)
	write(t, f, 0, "one")
	must(t, os.Remove(f.Name()))
	b := make([]byte, 3)
	if _, err := f.ReadAt(b, 0); err != nil || string(b) != "one" {
		t.Errorf("%q, %v", b, err)
	}
	if info, err := f.Stat(); err != nil || info.Size() != 3 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestSyncOfAllFiles(t *testing.T) {
	t.Parallel()
	fs, at, disk := mount(t)
	must(t, os.WriteFile(filepath.Join(at, "file"), []byte("one"), 0o600))
	must(t, fs.Sync())
	must(t, fs.Cut())
	if got, err := os.ReadFile(filepath.Join(disk, "file")); err != nil || string(got) != "one" {
		t.Errorf("on the disk: %q, %v", got, err)
	}
}

func TestSlowSync(t *testing.T) {
	t.Parallel()
	fs, at, _ := mount(t)
	f := create(t, filepath.Join(at, "file"), 0)
	write(t, f, 0, "one")
	const delay = 50 * time.Millisecond
	must(t, fs.SlowSync(delay))
	began := time.Now()
	must(t, f.Sync())
	if took := time.Since(began); took < delay {
		t.Errorf("a sync took %v", took)
	}
}
