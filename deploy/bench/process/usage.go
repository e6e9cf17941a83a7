package process

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Usage is what a process has used.
type Usage struct {
	CPU      float64 // seconds, of user and system
	Resident int64   // bytes
}

// ticks is how many clock ticks the kernel counts in a second, for programs: 100 on every platform that Go knows.
const ticks = 100

// Usage reads what the process has used until now.
func (p *Process) Usage() (Usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return Usage{}, fmt.Errorf("%s is gone: %w; the end of its log:\n%s", p.Name, err, p.Tail())
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return Usage{}, err
	}
	return parse(stat, status)
}

// parse reads /proc/<pid>/stat and /proc/<pid>/status.
func parse(stat, status []byte) (Usage, error) {
	end := bytes.LastIndexByte(stat, ')') // the program's name before it may hold anything
	fields := strings.Fields(string(stat[end+1:]))
	if end < 0 || len(fields) < 13 {
		return Usage{}, fmt.Errorf("unknown form of /proc/<pid>/stat: %q", stat)
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return Usage{}, err
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	if err != nil {
		return Usage{}, err
	}
	u := Usage{CPU: float64(user+system) / ticks}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			u.Resident = kib << 10
			return u, err
		}
	}
	return Usage{}, fmt.Errorf("no VmRSS in /proc/<pid>/status")
}
