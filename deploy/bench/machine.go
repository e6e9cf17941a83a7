package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onhook/onhook/deploy/bench/process"
	"github.com/onhook/onhook/deploy/bench/result"
)

// machine is where dir is measured.
func machine(dir string) []result.Fact {
	var uts unix.Utsname
	kernel := ""
	if unix.Uname(&uts) == nil {
		kernel = unix.ByteSliceToString(uts.Sysname[:]) + " " + unix.ByteSliceToString(uts.Release[:])
	}
	return []result.Fact{
		{Name: "CPU", Value: after("/proc/cpuinfo", "model name")},
		{Name: "cores", Value: fmt.Sprint(runtime.NumCPU())},
		{Name: "memory", Value: after("/proc/meminfo", "MemTotal")},
		{Name: "kernel", Value: kernel},
		{Name: "file system", Value: fileSystem(dir)},
	}
}

// after is what follows a name and a colon in a file of /proc, where it stands first.
func after(path, name string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// cpuSeconds is how long this machine's cores have worked since it started, and of that, for others of its host.
func cpuSeconds() (busy, stolen float64) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	// cpu user nice system idle iowait irq softirq steal …
	f := strings.Fields(string(data))
	for _, i := range []int{1, 2, 3, 6, 7, 8} {
		if i >= len(f) {
			return 0, 0
		}
		ticks, err := strconv.ParseFloat(f[i], 64)
		if err != nil {
			return 0, 0
		}
		stolen = ticks / 100
		busy += stolen
	}
	return busy, stolen
}

// fileSystem is the kind of the mount that dir is on.
func fileSystem(dir string) string {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return ""
	}
	data, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return ""
	}
	var longest, kind string
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) < 3 || len(f[1]) < len(longest) {
			continue
		}
		if rel, err := filepath.Rel(f[1], dir); err == nil && rel != ".." && !strings.HasPrefix(rel, "../") {
			longest, kind = f[1], f[2]
		}
	}
	return kind
}

// settings is how it is measured.
func settings(o options, rounds int) []result.Fact {
	pinned := "shared by the programs and the loader: there are fewer than four"
	if len(process.Pinned.Loader) > 0 {
		pinned = fmt.Sprintf("programs on %v, loader on %v", process.Pinned.Programs, process.Pinned.Loader)
	}
	return []result.Fact{
		{Name: "rounds", Value: fmt.Sprintf("%d, every row once in each; the idle one in the first alone, what depends on retained calls one after another", rounds)},
		{Name: "each row", Value: fmt.Sprintf("%v, after a warm-up of %v", o.duration, warm(o.duration))},
		{Name: "CPUs", Value: pinned},
		{Name: "PostgreSQL", Value: strings.Join(postgresSettings, " ")},
		{Name: "logs", Value: "onhook from warn on, Redpanda Connect errors, the handlers none"},
	}
}
