// Package process runs the programs under test, each as a process of its own, and reads what they use from /proc.
package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a program that runs.
type Process struct {
	Name   string
	logs   string // the path of its log
	cmd    *exec.Cmd
	exited chan struct{} // closed when it has ended
}

// CPUs are those that the programs and the loader may run on; none while they must share.
type CPUs struct{ Programs, Loader []int }

// Pinned is how the CPUs of this machine are divided.
var Pinned = divide(runtime.NumCPU())

// divide gives the loader a third of the CPUs from four on.
func divide(n int) (c CPUs) {
	if n < 4 {
		return c
	}
	for i := range n {
		if i < n-n/3 {
			c.Programs = append(c.Programs, i)
		} else {
			c.Loader = append(c.Loader, i)
		}
	}
	return c
}

// Pin lets every thread of a process run on cpus only; on none it does nothing.
func Pin(pid int, cpus []int) error {
	if len(cpus) == 0 {
		return nil
	}
	var set unix.CPUSet
	for _, c := range cpus {
		set.Set(c)
	}
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil {
		return err
	}
	for _, t := range threads {
		var tid int
		if _, err := fmt.Sscan(filepath.Base(t), &tid); err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(tid, &set); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("process %d cannot be kept to CPUs %v: %w", pid, cpus, err)
		}
	}
	return nil
}

// Start starts a program. What it says goes to name.log in dir, which is also where it runs.
func Start(name, dir, path string, args ...string) (*Process, error) {
	p := &Process{Name: name, logs: filepath.Join(dir, name+".log"), exited: make(chan struct{})}
	log, err := os.Create(p.logs)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	p.cmd = exec.Command(path, args...) //nolint:gosec // what runs is the suite's to say
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s does not start: %w", name, err)
	}
	if err := Pin(p.cmd.Process.Pid, Pinned.Programs); err != nil {
		return nil, errors.Join(err, p.cmd.Process.Kill())
	}
	go func() {
		_ = p.cmd.Wait() // its log says why it ended
		close(p.exited)
	}()
	return p, nil
}

// Stop asks the process to end, and after a while makes it.
func (p *Process) Stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
}

// Kill ends the process as kill -9 does.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// AwaitReady waits until url answers 200.
func (p *Process) AwaitReady(ctx context.Context, url string) error {
	return p.Await(ctx, url+" to answer 200", func() error {
		resp, err := http.Get(url) //nolint:gosec,noctx // the suite's own address
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	})
}

// AwaitPort waits until addr takes connections.
func (p *Process) AwaitPort(ctx context.Context, addr string) error {
	return p.Await(ctx, addr+" to take connections", func() error {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		return c.Close()
	})
}

// Await waits until try succeeds, for at most a minute. It fails at once when the process ends.
func (p *Process) Await(ctx context.Context, what string, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.exited:
			return fmt.Errorf("%s ended while it was to be ready; the end of its log:\n%s", p.Name, p.Tail())
		case <-ctx.Done():
			return fmt.Errorf("waited in vain for %s (%w); the end of the log of %s:\n%s", what, err, p.Name, p.Tail())
		}
	}
}

// Tail is the end of the log.
func (p *Process) Tail() string {
	data, err := os.ReadFile(p.logs)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(data[max(0, len(data)-2000):]))
}

// FreeAddrs are addresses of the loopback whose ports were free a moment ago.
func FreeAddrs(n int) ([]string, error) {
	addrs := make([]string, n)
	for i := range addrs {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }()
		addrs[i] = l.Addr().String()
	}
	return addrs, nil
}
