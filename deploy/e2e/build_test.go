//go:build linux

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// binaries is what the suite runs: where each is built, from which package there.
var binaries = []struct{ name, dir, pkg string }{
	{"decoder", "../../services/decoder", "./cmd/decoder"},
	{"ingress", "../../services/ingress", "./cmd/ingress"},
	{"nats-server", ".", "github.com/nats-io/nats-server/v2"},
	{"onhook", "../../services/onhook", "./cmd/onhook"},
	{"storage", "../../services/storage", "./cmd/storage"},
}

// build builds every binary. Each module builds its own, with or without a workspace around it.
func (s *suite) build(t *testing.T) {
	t.Helper()
	for _, b := range binaries {
		cmd := exec.Command("go", "build", "-o", filepath.Join(s.bin, b.name), b.pkg)
		cmd.Dir = b.dir
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			t.Fatalf("go build %s in %s: %v", b.pkg, b.dir, err)
		}
	}
}
