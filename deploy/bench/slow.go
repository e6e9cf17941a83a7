package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/onhook/onhook/deploy/bench/load"
	"github.com/onhook/onhook/deploy/bench/result"
	"github.com/onhook/onhook/deploy/bench/slowdisk"
)

// slowSync is how much longer a sync takes on the slow disk.
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

// slowDisk is this program as a slow disk.
func slowDisk(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("slowdisk", flag.ContinueOnError)
	disk := flags.String("disk", "", "the `folder` that has the files")
	at := flags.String("at", "", "where to show it, a `folder`")
	sync := flags.Duration("sync", slowSync, "how much longer a sync takes")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return slowdisk.Serve(ctx, *disk, *at, *sync)
}
