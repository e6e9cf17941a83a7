package main

import (
	"context"
	"debug/buildinfo"
	_ "embed" // the configurations of Redpanda Connect
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/onhook/onhook/deploy/bench/result"
)

// connectProgram is Redpanda Connect. It has a module of its own: nothing of ours is to share its dependencies.
const connectProgram = "redpanda-connect"

//go:embed connect-ingress.yaml
var connectConfig string

// programs is every program that is measured, and the module that tells its version.
var programs = []struct{ name, folder, pkg, module string }{
	{"decoder", ".", "github.com/onhook/onhook/services/decoder/cmd/decoder", ""},
	{"ingress", ".", "github.com/onhook/onhook/services/ingress/cmd/ingress", "github.com/nats-io/nats.go"},
	{"nats-server", ".", "github.com/nats-io/nats-server/v2", "github.com/nats-io/nats-server/v2"},
	{"onhook", ".", "github.com/onhook/onhook/services/onhook/cmd/onhook", ""},
	{connectProgram, "connect", ".", "github.com/redpanda-data/connect/v4"},
	{"storage", ".", "github.com/onhook/onhook/services/storage/cmd/storage", "github.com/jackc/pgx/v5"},
}

// build builds the programs into bin.
func build(ctx context.Context, bin string) error {
	for _, p := range programs {
		cmd := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(bin, p.name), p.pkg) //nolint:gosec // of the table above
		cmd.Dir, cmd.Stderr = p.folder, os.Stderr
		if p.folder != "." {
			cmd.Env = append(os.Environ(), "GOWORK=off")
		}
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("go build %s in %s, which must be below deploy/bench: %w", p.pkg, p.folder, err)
		}
	}
	return nil
}

// versions is what the programs were built of.
func versions(ctx context.Context, bin string) []result.Fact {
	var all []result.Fact
	if out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--abbrev=12").Output(); err == nil {
		all = append(all, result.Fact{Name: "onhook", Value: strings.TrimSpace(string(out))})
	}
	first := true
	for _, p := range programs {
		info, err := buildinfo.ReadFile(filepath.Join(bin, p.name))
		if err != nil {
			all = append(all, result.Fact{Name: p.name, Value: err.Error()})
			continue
		}
		if first {
			all, first = append(all, result.Fact{Name: "Go", Value: info.GoVersion}), false
		}
		var of []string
		for _, dep := range append(info.Deps, &info.Main) {
			if dep.Path == p.module {
				of = append(of, dep.Path+" "+dep.Version)
			}
		}
		if len(of) > 0 {
			all = append(all, result.Fact{Name: p.name, Value: strings.Join(of, ", ")})
		}
	}
	return all
}
