package onhook_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A broker whose disk was full once writes nothing any more, room or not. The process must not live on half alive: it
// ends, says why, and started again it has all that it acknowledged.
func TestAFullDiskEndsTheProcessAndLosesNothing(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	if err := syscall.Mount("tmpfs", data, "tmpfs", 0, "size=24m"); err != nil {
		t.Skipf("needs to mount a small file system: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(data, syscall.MNT_DETACH) })
	p := start(t, data, "127.0.0.1:0", "127.0.0.1:0")
	acked := filepath.Join(t.TempDir(), "acked")
	if _, err := run(t, "send", "altur", "--url", "http://"+p.listen, "--count", "20000", "--connections", "4", "--acked", acked); err == nil {
		t.Fatal("20,000 deliveries found room on a disk of 24 MiB")
	}
	_ = p.cmd.Wait()
	if status := p.cmd.ProcessState.ExitCode(); status != 1 || !strings.Contains(p.logs.String(), "cannot write to "+filepath.Join(data, "nats")) {
		t.Fatalf("exit status %d; %s", status, tail(p.logs.String()))
	}
	if err := syscall.Mount("tmpfs", data, "tmpfs", syscall.MS_REMOUNT, "size=400m"); err != nil {
		t.Fatal(err)
	}
	p = start(t, data, "127.0.0.1:0", "127.0.0.1:0")
	if got := p.post("altur", example(t, "altur", "documented-v2")); got != http.StatusOK {
		t.Errorf("after there was room again: %d", got)
	}
	p.waitDrained()
	stored := map[string]bool{}
	for _, c := range p.calls() {
		stored[c.CallID] = true
	}
	for _, id := range lines(t, acked) {
		if !stored[id] {
			t.Errorf("%s got 200 and is not stored", id)
		}
	}
}

func tail(s string) string { return fmt.Sprintf("…%s", s[max(0, len(s)-2000):]) }
