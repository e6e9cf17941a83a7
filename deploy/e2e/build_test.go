//go:build linux

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// binaries is what the suite runs: where each is built, from which package there.
var binaries = []struct{ name, dir, pkg string }{
	{"crm", "../../services/crm", "./cmd/crm"},
	{"crmfakes", "../../services/crm", "./internal/crmtest/cmd/crmfakes"},
	{"decoder", "../../services/decoder", "./cmd/decoder"},
	{"ingress", "../../services/ingress", "./cmd/ingress"},
	{"nats-server", ".", "github.com/nats-io/nats-server/v2"},
	{"onhook", "../../services/onhook", "./cmd/onhook"},
	{"storage", "../../services/storage", "./cmd/storage"},
}

// newSuite builds some of the binaries, in the form that the environment asks for.
func newSuite(t *testing.T, names ...string) *suite {
	t.Helper()
	if testing.Short() {
		t.Skip("takes minutes")
	}
	s := &suite{long: os.Getenv("ONHOOK_TORTURE") == "long", bin: t.TempDir()}
	s.build(t, names...)
	return s
}

// build builds binaries. Each module builds its own, with or without a workspace around it.
func (s *suite) build(t *testing.T, names ...string) {
	t.Helper()
	for _, b := range binaries {
		if !slices.Contains(names, b.name) {
			continue
		}
		cmd := exec.Command("go", "build", "-o", filepath.Join(s.bin, b.name), b.pkg)
		cmd.Dir = b.dir
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			t.Fatalf("go build %s in %s: %v", b.pkg, b.dir, err)
		}
	}
}
