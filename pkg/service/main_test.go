package service_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/pkg/service"
	"go.uber.org/goleak"
)

// childEnv makes the test binary one of the children: a process of its own, as exit statuses and signals need one.
const childEnv = "ONHOOK_SERVICE_TEST_CHILD"

var children = map[string]func(ctx context.Context) error{
	"ok":     func(context.Context) error { return nil },
	"failed": func(context.Context) error { return errBroker },
	"joined": func(context.Context) error { return errors.Join(errBroker, errors.New("and so is the disk")) },
	"usage": func(context.Context) error {
		return fmt.Errorf("send: %w", &service.UsageError{Err: errors.New("how many?")})
	},
	"config": func(context.Context) error { _, err := config.Parse("onhook.yaml", []byte("natz: {}")); return err },
	"bad flag": func(context.Context) error {
		return second(service.ParseOptions("child", []string{"--nope"}, io.Discard, nil))
	},
	"argument": func(context.Context) error {
		return second(service.ParseOptions("child", []string{"now"}, io.Discard, nil))
	},
	"help": func(context.Context) error {
		return second(service.ParseOptions("child", []string{"-h"}, os.Stdout, nil))
	},
	"bad admin": func(context.Context) error {
		return second(service.NewProcess(service.Options{Admin: "bogus"}, io.Discard))
	},
	"waits": func(ctx context.Context) error {
		fmt.Println("started")
		<-ctx.Done()
		fmt.Println(context.Cause(ctx))
		return nil
	},
	"never ends": func(ctx context.Context) error {
		fmt.Println("started")
		<-ctx.Done()
		fmt.Println("stopping")
		_, err := io.Copy(io.Discard, os.Stdin) // until the test lets go
		return err
	},
	"process": func(ctx context.Context) error {
		opts, err := service.ParseOptions("child", []string{"--config", os.Getenv("CHILD_CONFIG"), "--admin", "127.0.0.1:0"}, os.Stdout, nil)
		if err != nil {
			return err
		}
		p, err := service.NewProcess(opts, os.Stderr)
		if err != nil {
			return err
		}
		return p.Run(ctx, service.Part{Name: "worker", Run: func(ctx context.Context) error {
			fmt.Println(p.Admin.Addr())
			<-ctx.Done()
			return nil
		}})
	},
}

func TestMain(m *testing.M) {
	if child, ok := children[os.Getenv(childEnv)]; ok {
		service.Main("child", child)
	}
	goleak.VerifyTestMain(m)
}

func second[T any](_ T, err error) error { return err }

func child(t *testing.T, name string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // a child that hangs is killed and fails its test
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+name)
	return cmd
}

func TestMainExits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status         int
		stdout, stderr string
	}{
		"ok":       {0, "", ""},
		"failed":   {1, "", "child: broker is gone\n"},
		"joined":   {1, "", "child: broker is gone\nchild: and so is the disk\n"},
		"usage":    {2, "", "child: send: how many?\n"},
		"config":   {2, "", "child: onhook.yaml:1: unknown section \"natz\"; did you mean \"nats\"?\n"},
		"bad flag": {2, "", "child: flag provided but not defined: -nope; --help shows the flags\n"},
		"argument": {2, "", "child: unexpected argument \"now\"; --help shows the flags\n"},
		"help":     {0, "Usage of child:\n", ""},
		// It once exited with 1, as if trying again were of use.
		"bad admin": {2, "", "child: --admin \"bogus\": want host:port, such as 127.0.0.1:8081\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := child(t, name)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := cmd.Run()
			if status := cmd.ProcessState.ExitCode(); status != c.status {
				t.Errorf("status %d, want %d: %v", status, c.status, err)
			}
			if stderr.String() != c.stderr {
				t.Errorf("stderr %q, want %q", stderr.String(), c.stderr)
			}
			if !strings.HasPrefix(stdout.String(), c.stdout) || c.stdout == "" && stdout.Len() > 0 {
				t.Errorf("stdout %q, want %q", stdout.String(), c.stdout)
			}
		})
	}
}

func TestSignals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		child  string
		first  syscall.Signal
		stdout string
		second bool
		want   string
	}{
		"SIGTERM stops":       {"waits", syscall.SIGTERM, "received signal terminated\n", false, "exit status 0"},
		"SIGINT stops":        {"waits", syscall.SIGINT, "received signal interrupt\n", false, "exit status 0"},
		"a second one kills":  {"never ends", syscall.SIGTERM, "stopping\n", true, "signal: terminated"},
		"also SIGTERM on INT": {"never ends", syscall.SIGINT, "stopping\n", true, "signal: terminated"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := child(t, c.child)
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			defer stdin.Close()
			lines := start(t, cmd)
			expect(t, lines, "started\n")
			signalChild(t, cmd, c.first)
			expect(t, lines, c.stdout)
			if c.second {
				signalChild(t, cmd, syscall.SIGTERM)
			}
			_ = cmd.Wait() // what it says is in the state
			if got := cmd.ProcessState.String(); got != c.want {
				t.Errorf("the process ended with %q, want %q", got, c.want)
			}
		})
	}
}

// TestProcess is a main as the services have them, from its flags to its end.
func TestProcess(t *testing.T) {
	t.Parallel()
	cmd := child(t, "process")
	path := filepath.Join(t.TempDir(), "onhook.yaml")
	if err := os.WriteFile(path, []byte("log: {level: warn}\nadmin: {listen: \"127.0.0.1:1\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(cmd.Env, "CHILD_CONFIG="+path)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	addr, err := start(t, cmd).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	status, body := get(t, "http://"+strings.TrimSpace(addr)+"/readyz")
	if status != http.StatusOK || body != `{"ready":true,"checks":[]}` {
		t.Errorf("%d %s", status, body)
	}
	signalChild(t, cmd, syscall.SIGTERM)
	if err := cmd.Wait(); err != nil || stderr.Len() > 0 {
		t.Errorf("%v; stderr at level warn: %s", err, stderr.String())
	}
}

func start(t *testing.T, cmd *exec.Cmd) *bufio.Reader {
	t.Helper()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return bufio.NewReader(stdout)
}

func expect(t *testing.T, lines *bufio.Reader, want string) {
	t.Helper()
	if got, err := lines.ReadString('\n'); err != nil || got != want {
		t.Fatalf("the process prints %q, %v, want %q", got, err, want)
	}
}

func signalChild(t *testing.T, cmd *exec.Cmd, s os.Signal) {
	t.Helper()
	if err := cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func TestParseOptions(t *testing.T) {
	t.Parallel()
	var only string
	got, err := service.ParseOptions("crm", []string{"--config=a.yaml", "-admin", ":1", "--only", "x"}, io.Discard, func(f *flag.FlagSet) {
		f.StringVar(&only, "only", "", "run this one")
	})
	if want := (service.Options{Config: "a.yaml", Admin: ":1"}); err != nil || got != want || only != "x" {
		t.Errorf("got %+v, %q, %v", got, only, err)
	}
}

func TestNewProcessRefuses(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	for name, c := range map[string]struct{ yaml, want string }{
		"level":          {"log: {level: loud}", "FILE:1: log: unknown level; want one of debug, info, warn, error"},
		"address":        {"\nadmin: {listen: 8081}", "FILE:2: admin: listen: want host:port, such as 127.0.0.1:8081"},
		"unknown key":    {"admin: {lisen: x}", `FILE:1: unknown key "lisen" in admin; did you mean "listen"?`},
		"unknown twice":  {"log: {lvl: x}\nadmin: {address: x}", "FILE:1: unknown key \"lvl\" in log; there are level\nFILE:2: unknown key \"address\" in admin; there are listen"},
		"not a file":     {"", "FILE: cannot read the configuration: no such file or directory"},
		"port":           {"admin: {listen: \"127.0.0.1:99999\"}", "FILE:1: admin: listen: want host:port, such as 127.0.0.1:8081"},
		"address in use": {"admin: {listen: \"" + taken.Addr().String() + "\"}", "admin listener: cannot listen on " + taken.Addr().String() + ": bind: address already in use; --admin changes the address"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "onhook.yaml")
			if c.yaml != "" {
				if err := os.WriteFile(path, []byte(c.yaml), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, err := service.NewProcess(service.Options{Config: path}, io.Discard)
			if want := strings.ReplaceAll(c.want, "FILE", path); err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}

// TestAdminFlagThatIsNoAddress: it is the command line that is wrong, and no listener.
func TestAdminFlagThatIsNoAddress(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"bogus", "127.0.0.1", "::1", "127.0.0.1:99999", "127.0.0.1:no-such-service"} {
		_, err := service.NewProcess(service.Options{Admin: addr}, io.Discard)
		if _, ok := errors.AsType[*service.UsageError](err); !ok || !strings.Contains(err.Error(), "--admin") {
			t.Errorf("%s: error %v, want a usage error that names --admin", addr, err)
		}
	}
}
