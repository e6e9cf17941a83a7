//go:build !unix

package dirlock

import "os"

// lockFile does nothing where there is no such lock.
func lockFile(*os.File, bool) error { return nil }
