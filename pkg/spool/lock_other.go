//go:build !unix

package spool

import "os"

// lockFile does nothing where there is no such lock.
func lockFile(*os.File) error { return nil }
