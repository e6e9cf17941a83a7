package slowdisk_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onhook/onhook/deploy/bench/slowdisk"
)

const serves = "ONHOOK_SLOWDISK" // the folders of a process that serves them: one that uses a file system of its own can wait for itself

func TestMain(m *testing.M) {
	if disk, at, ok := strings.Cut(os.Getenv(serves), "\n"); ok {
		ctx, stop := context.WithCancel(context.Background())
		go func() {
			_, _ = os.Stdin.Read(make([]byte, 1)) // until it is closed
			stop()
		}()
		if err := slowdisk.Serve(ctx, disk, at, 50*time.Millisecond); err != nil {
			panic(err)
		}
		return
	}
	os.Exit(m.Run())
}

func TestOnlySyncsTakeLonger(t *testing.T) {
	t.Parallel()
	if err := slowdisk.Able(); err != nil {
		t.Skip(err)
	}
	disk, at := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(disk, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), serves+"="+disk+"\n"+at)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(at, "file")
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); ; <-tick.C {
		if _, err := os.Stat(path); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("it is not mounted")
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const times = 10
	began := time.Now()
	for range times {
		if _, err := f.WriteString("written\n"); err != nil {
			t.Fatal(err)
		}
	}
	written := time.Since(began)
	began = time.Now()
	for range times {
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			t.Fatal(err)
		}
	}
	synced := time.Since(began)
	if synced < times*50*time.Millisecond || written > synced/2 {
		t.Errorf("%d writes took %v, as many syncs %v", times, written, synced)
	}
	data, err := os.ReadFile(filepath.Join(disk, "file"))
	if err != nil || string(data) != strings.Repeat("written\n", times) {
		t.Errorf("the disk has %q, %v", data, err)
	}
}
