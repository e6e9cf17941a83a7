//go:build unix

package dirlock

import (
	"os"
	"syscall"
)

// lockFile takes the lock that goes with the process, however it ends: alone, or with others who do not want it alone.
func lockFile(f *os.File, alone bool) error {
	how := syscall.LOCK_SH
	if alone {
		how = syscall.LOCK_EX
	}
	return syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
}
