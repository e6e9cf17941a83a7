package bus_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/onhook/onhook/pkg/bus/bustest"
)

const (
	tracedEnv           = "ONHOOK_TEST_TRACED" // set in the process that strace watches
	beforeMark, endMark = "onhook-publishing-begins", "onhook-publishing-ends"
	tracedDeliveries    = 2000
)

// The kernel's own account of a group commit: the server syncs the stream's file once per message, however many
// deliveries share it, and a delivery that is alone costs one sync too.
func TestOneSyncPerEnvelope(t *testing.T) {
	if os.Getenv(tracedEnv) != "" {
		publishTraced(t)
		return
	}
	t.Parallel()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	trace := filepath.Join(t.TempDir(), "trace")
	// #nosec G204 -- strace and this test itself
	cmd := exec.CommandContext(t.Context(), strace, "-f", "-y", "-e", "trace=fsync,fdatasync,unlinkat", "-o", trace, os.Args[0], "-test.run=^TestOneSyncPerEnvelope$", "-test.v")
	cmd.Env = append(os.Environ(), tracedEnv+"=1")
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "Operation not permitted") {
		t.Skipf("strace may not watch a process here: %.200s", out)
	}
	if err != nil {
		t.Fatalf("%v\n%.3000s", err, out)
	}
	raw, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, begun := strings.Cut(string(raw), beforeMark)
	during, _, ended := strings.Cut(rest, endMark)
	if !begun || !ended {
		t.Fatal("the trace has no marks")
	}
	syncs := len(regexp.MustCompile(`f(data)?sync\(\d+<[^>]*/WEBHOOKS/msgs/`).FindAllString(during, -1))
	var messages int
	if _, err := fmt.Sscanf(string(out[strings.Index(string(out), "messages: "):]), "messages: %d", &messages); err != nil {
		t.Fatalf("%v\n%.3000s", err, out)
	}
	t.Logf("%d deliveries, %d messages, %d syncs", tracedDeliveries, messages, syncs)
	if syncs < messages {
		t.Errorf("%d syncs for %d messages: some were acknowledged without one", syncs, messages)
	}
	if syncs > messages+messages/20 { // a new block of the file has its own
		t.Errorf("%d syncs for %d messages", syncs, messages)
	}
	if messages > tracedDeliveries/4 {
		t.Errorf("%d messages for %d deliveries: no groups were made", messages, tracedDeliveries)
	}
}

// publishTraced publishes from a hundred goroutines, then from one.
func publishTraced(t *testing.T) {
	srv := bustest.StartServer(t)
	b := srv.Connect(t)
	publish := func(n int) {
		for range n {
			if err := b.PublishDelivery(t.Context(), newDelivery(strings.Repeat("x", 2000))); err != nil {
				t.Error(err)
			}
		}
	}
	_ = os.Remove(beforeMark)
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() { publish((tracedDeliveries - 100) / 100) })
	}
	wg.Wait()
	publish(100)
	_ = os.Remove(endMark)
	st, err := admin(t, srv).Stream(t.Context(), "WEBHOOKS")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("messages: %d\n", st.CachedInfo().State.Msgs)
}
