// Package dirlock keeps a folder for one process at a time.
package dirlock

import (
	"errors"
	"os"
	"path/filepath"
)

// ErrHeld says that another process has the folder.
var ErrHeld = errors.New("another process has it")

// Take takes dir, making it if need be, until release is called or the process ends, however it does. An error is
// ErrHeld, or says why the folder cannot be used.
func Take(dir string) (release func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	return lock(f, true)
}

// Look keeps those who Take dir out of it for as long, and changes nothing in it: its disk may be read-only. A folder that
// nobody ever took is an error of the file system.
func Look(dir string) (release func(), err error) {
	f, err := os.Open(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	return lock(f, false)
}

func lock(f *os.File, alone bool) (release func(), err error) {
	if err := lockFile(f, alone); err != nil {
		return nil, errors.Join(ErrHeld, f.Close())
	}
	return func() { _ = f.Close() }, nil
}
