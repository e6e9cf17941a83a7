//go:build linux

package powercut

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// environment has the folders of a process that serves a file system, and of none other.
const environment = "ONHOOK_POWERCUT"

// Process is a file system that another process serves. A process that touches a file system of its own can come to wait
// for itself.
//
//	Process ── a line for each wish ──► Serve ─► FS
//	        ◄─ ok, or what went wrong ──
type Process struct {
	cmd    *exec.Cmd
	wishes io.WriteCloser
	said   *bufio.Reader
}

// Start runs this program once more, which must call Serve, and has it mount the folder disk at the folder at.
func Start(disk, at string) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &Process{cmd: exec.Command(self)} // #nosec G204 -- this program
	p.cmd.Env = append(os.Environ(), environment+"="+disk+"\n"+at)
	p.cmd.Stderr = os.Stderr
	if p.wishes, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.said = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if err := p.answer(); err != nil {
		return nil, errors.Join(err, p.end())
	}
	return p, nil
}

// Cut cuts the power: what was not synced is gone, and every operation fails from now on.
func (p *Process) Cut() error { return p.ask("cut") }

// Sync syncs every file, as the kernel does by itself now and then.
func (p *Process) Sync() error { return p.ask("sync") }

// SlowSync makes each sync from now on take so much longer.
func (p *Process) SlowSync(by time.Duration) error { return p.ask("slow " + by.String()) }

// Unmount takes the file system away. What was not synced is gone then too.
func (p *Process) Unmount() error {
	if err := p.ask("unmount"); err != nil {
		return err
	}
	return p.end()
}

func (p *Process) end() error { return errors.Join(p.wishes.Close(), p.cmd.Wait()) }

func (p *Process) ask(wish string) error {
	if _, err := fmt.Fprintln(p.wishes, wish); err != nil {
		return err
	}
	return p.answer()
}

const ok = "ok"

func (p *Process) answer() error {
	line, err := p.said.ReadString('\n')
	if err != nil {
		return fmt.Errorf("the process of the file system has ended: %w", err)
	}
	if line = strings.TrimSuffix(line, "\n"); line != ok {
		return errors.New(line)
	}
	return nil
}

// Serve serves a file system and reports true if this program was run by Start. Otherwise it does nothing.
func Serve() bool {
	folders := os.Getenv(environment)
	if folders == "" {
		return false
	}
	disk, at, _ := strings.Cut(folders, "\n")
	f, err := Mount(disk, at)
	tell(err)
	if err != nil {
		return true
	}
	wishes := bufio.NewScanner(os.Stdin)
	for wishes.Scan() {
		wish, with, _ := strings.Cut(wishes.Text(), " ")
		switch wish {
		case "cut":
			f.Cut()
			tell(nil)
		case "slow":
			by, err := time.ParseDuration(with)
			f.SlowSync(by)
			tell(err)
		case "sync":
			tell(f.Sync())
		case "unmount":
			tell(f.Unmount())
		}
	}
	_ = f.Unmount() // whoever started it is gone, or it was asked to already
	return true
}

func tell(err error) {
	said := ok
	if err != nil {
		said = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	_, _ = fmt.Fprintln(os.Stdout, said) // it is read, or nobody is left
}
