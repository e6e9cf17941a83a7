//go:build linux

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"testing"
	"time"
)

// patience is how long the suite waits for what must happen.
const patience = 2 * time.Minute

// await waits until done, and fails the test if that takes longer than patience.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	if !within(patience, done) {
		t.Fatalf("waited %s in vain for %s", patience, what)
	}
}

// within reports whether done came true in time.
func within(d time.Duration, done func() bool) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); <-tick.C {
		if done() {
			return true
		}
	}
	return done()
}

// last lets a fault last, for so long as it is said to.
func last(d time.Duration) { <-time.After(d) }

// get returns the status of a GET, or 0 without an answer.
func get(url string) int {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// freeAddr is an address for a process, until the test ends. It lies below the ports that connections get by themselves,
// one of which could take it while its process is down, and the UDP port of its number is the mark that it is taken.
func freeAddr(t *testing.T) string {
	t.Helper()
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(20000))
		mark, err := net.ListenPacket("udp", addr)
		if err != nil {
			continue
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			_ = mark.Close()
			continue
		}
		_ = l.Close()
		t.Cleanup(func() { _ = mark.Close() })
		return addr
	}
	t.Fatal("no port is free")
	return ""
}
