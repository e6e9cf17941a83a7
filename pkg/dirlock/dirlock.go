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
	if err := lockFile(f); err != nil {
		return nil, errors.Join(ErrHeld, f.Close())
	}
	return func() { _ = f.Close() }, nil
}
