//go:build linux

package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a program that is started again when it has ended, as Kubernetes would.
//
//	start ─► supervise ─► run ─► run ─► …
//	kill ─────────────────┘ SIGKILL; halt also keeps it from being started again
type process struct {
	name  string
	t     *testing.T
	path  string
	args  []string
	ready string // a URL that answers 200 when the process can work
	logs  string // the path of a file

	mu     sync.Mutex
	cmd    *exec.Cmd     // runs; nil: none
	exited chan struct{} // closed when cmd has ended
	down   chan struct{} // while the process is to stay down, closed when it need not any more; else nil
	over   bool          // the test has ended
	runs   int
	ends   int // of runs that nobody killed
	killed bool
	left   error // how the last run ended
}

// The pause before a process is started again: longer each time that it ends at once.
const (
	restartMin = 100 * time.Millisecond
	restartMax = 2 * time.Second
)

// startProcess starts a program and sees to it until the test ends. On a failure the end of its log is shown.
func startProcess(t *testing.T, name, ready, path string, args ...string) *process {
	t.Helper()
	p := &process{name: name, t: t, path: path, args: args, ready: ready, logs: filepath.Join(t.ArtifactDir(), name+".log")}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // not unlocked: with this thread the kernel ends the process, see run
		p.supervise()
	}()
	t.Cleanup(func() {
		p.mu.Lock()
		p.over = true
		p.release()
		p.signalLocked(syscall.SIGKILL)
		p.mu.Unlock()
		<-ended
		if t.Failed() {
			t.Logf("the last of %s:\n%s", p.name, tail(p.logs, 4000))
		}
	})
	return p
}

func (p *process) supervise() {
	for pause := restartMin; ; {
		p.mu.Lock()
		down := p.down
		p.mu.Unlock()
		if down != nil {
			<-down
		}
		began := time.Now()
		p.run()
		p.mu.Lock()
		over := p.over
		p.mu.Unlock()
		if over {
			return
		}
		if pause = min(2*pause, restartMax); time.Since(began) > 5*time.Second {
			pause = restartMin
		}
		last(pause)
	}
}

// run runs the program once, unless it is to stay down.
func (p *process) run() {
	log, err := os.OpenFile(p.logs, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Errorf("%s: %v", p.name, err)
		return
	}
	defer log.Close()
	p.mu.Lock()
	if p.over || p.down != nil {
		p.mu.Unlock()
		return
	}
	cmd := exec.Command(p.path, p.args...)
	cmd.Stdout, cmd.Stderr = log, log
	// A Ctrl-C is for the suite, which ends them; and no suite that is killed leaves any behind.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		p.mu.Unlock()
		p.t.Errorf("%s: %v", p.name, err)
		return
	}
	exited := make(chan struct{})
	p.cmd, p.exited, p.killed = cmd, exited, false
	p.runs++
	p.mu.Unlock()

	left := cmd.Wait() // its log says why it ended
	p.mu.Lock()
	p.cmd, p.left = nil, left
	if !p.killed {
		p.ends++
	}
	p.mu.Unlock()
	close(exited)
}

// kill ends the process with SIGKILL; it is started again. It waits for one that is about to be.
func (p *process) kill() {
	p.t.Helper()
	var exited chan struct{}
	await(p.t, p.name+" to be there, to be killed", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		exited = p.exited
		return p.signalLocked(syscall.SIGKILL)
	})
	<-exited
}

// halt ends the process with SIGKILL, and it stays down until start. It does not wait for the end.
func (p *process) halt() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down == nil {
		p.down = make(chan struct{})
	}
	p.signalLocked(syscall.SIGKILL)
}

// retire tells the process to stop and waits until it has, which it must do in good order. It is not started again.
func (p *process) retire() (took time.Duration) {
	p.t.Helper()
	began := time.Now()
	p.mu.Lock()
	exited, there := p.exited, p.signalLocked(syscall.SIGTERM)
	p.down, p.killed = make(chan struct{}), true
	p.mu.Unlock()
	if !there {
		p.t.Fatalf("%s is not there to be told to stop", p.name)
	}
	await(p.t, p.name+" to stop", func() bool {
		select {
		case <-exited:
			return true
		default:
			return false
		}
	})
	if p.left != nil {
		p.t.Errorf("%s stopped with %v", p.name, p.left)
	}
	return time.Since(began)
}

// awaitDown waits until the process has ended.
func (p *process) awaitDown() {
	p.mu.Lock()
	exited := p.exited
	p.mu.Unlock()
	if exited != nil {
		<-exited
	}
}

// start starts the process after halt.
func (p *process) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.release()
}

func (p *process) release() {
	if p.down != nil {
		close(p.down)
		p.down = nil
	}
}

// signal sends the process a signal and reports whether it was there to get it.
func (p *process) signal(sig syscall.Signal) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.signalLocked(sig)
}

func (p *process) signalLocked(sig syscall.Signal) bool {
	if p.cmd == nil {
		return false
	}
	if sig == syscall.SIGKILL {
		p.killed = true
	}
	return !errors.Is(p.cmd.Process.Signal(sig), os.ErrProcessDone)
}

// pid is the process's id, or 0.
func (p *process) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// ended is how often the process ended although nobody killed it.
func (p *process) ended() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ends
}

// admin is the URL of the process's admin listener.
func (p *process) admin() string { return strings.TrimSuffix(p.ready, "/readyz") }

// awaitReady waits until the process can work.
func (p *process) awaitReady() {
	p.t.Helper()
	await(p.t, p.name+" to be ready", func() bool { return get(p.ready) == 200 })
}

// tail is the end of a file.
func tail(path string, n int) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	_, lines, _ := strings.Cut(string(b[max(0, len(b)-n):]), "\n")
	return lines
}
