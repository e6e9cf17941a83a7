package charttest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// build builds the services' binaries, each in its own module, and returns their folder.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	var wg sync.WaitGroup
	for _, name := range []string{"crm", "decoder", "ingress", "onhook", "storage"} {
		wg.Go(func() {
			cmd := exec.Command("go", "build", "-o", filepath.Join(dir, name), "./cmd/"+name)
			cmd.Dir = "../../services/" + name
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", name, err, out)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return dir
}

// secretValue is what a Secret may hold, by what it is for.
func secretValue(name string) string {
	switch {
	case strings.Contains(name, "url"):
		return "https://example.com/hook"
	case strings.Contains(name, "zapier"), strings.Contains(name, "hooks"):
		return "whsec_" + strings.Repeat("A", 32)
	case strings.Contains(name, "dsn"):
		return "postgres://onhook:x@127.0.0.1:1/onhook"
	}
	return "a-secret"
}

var secretPath = regexp.MustCompile(`/run/secrets/([^/\s]+)/(\S+)`)

// pod puts what a pod's container would find on this machine: its arguments, its environment, and in dir the ConfigMap and
// the Secrets that it mounts. Nothing listens where it connects to.
func pod(t *testing.T, o object, configMap string) (args, env []string) {
	t.Helper()
	dir := t.TempDir()
	in := o.Spec.Template.Spec.Containers[0]
	for _, e := range in.Env {
		value := e.Value
		if e.ValueFrom != nil {
			value = secretValue(e.ValueFrom.SecretKeyRef.Name + "/" + e.ValueFrom.SecretKeyRef.Key)
		}
		env = append(env, e.Name+"="+value)
	}
	for _, path := range secretPath.FindAllStringSubmatch(configMap, -1) {
		for _, m := range in.VolumeMounts {
			if m.MountPath != "/run/secrets/"+path[1] {
				continue
			}
			if err := os.MkdirAll(filepath.Join(dir, path[1]), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, path[1], path[2]), []byte(secretValue(path[0])), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	text := strings.NewReplacer(
		"/run/secrets/", dir+"/",
		"/var/lib/onhook/spool", filepath.Join(dir, "spool"),
		":8080\n", "127.0.0.1:0\n", ":8081\n", "127.0.0.1:0\n", ":8090\n", "127.0.0.1:0\n",
		`":8080"`, "127.0.0.1:0", `":8081"`, "127.0.0.1:0", `":8090"`, "127.0.0.1:0",
		"db.data.svc:5432", "127.0.0.1:1",
	).Replace(configMap)
	text = regexp.MustCompile(`url: nats://.*`).ReplaceAllString(text, "url: nats://127.0.0.1:1")
	file := filepath.Join(dir, "onhook.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, a := range in.Args {
		args = append(args, strings.ReplaceAll(a, "/etc/onhook/onhook.yaml", file))
	}
	return args, env
}

// start runs a binary until it waits for the broker, or ends. It returns its exit status, -1 if it had to be stopped, and what
// it said.
func start(t *testing.T, binary string, args, env []string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env, cmd.Dir = env, t.TempDir()
	said := &until{text: "waiting for the broker", then: cancel}
	cmd.Stdout, cmd.Stderr = said, said
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), said.kept.String()
	}
	if err != nil && ctx.Err() == nil {
		t.Fatal(err)
	}
	return 0, said.kept.String()
}

// until keeps what is written to it, and calls then once that holds text.
type until struct {
	kept bytes.Buffer // not embedded: its ReadFrom would go by Write
	text string
	then func()
}

func (u *until) Write(p []byte) (int, error) {
	n, err := u.kept.Write(p)
	if strings.Contains(u.kept.String(), u.text) {
		u.then()
	}
	return n, err
}

// TestBinariesTakeTheConfigMap: each service reads the ConfigMap with no more than its own pods have of secrets, and goes on
// to where it wants NATS or the database.
func TestBinariesTakeTheConfigMap(t *testing.T) {
	t.Parallel()
	helms(t)
	bin := build(t)
	for _, c := range configurations {
		all := mustRender(t, c)
		for component, o := range workloads(all) {
			t.Run(c+"/"+component, func(t *testing.T) {
				t.Parallel()
				in := o.Spec.Template.Spec.Containers[0]
				image := in.Image[strings.LastIndex(in.Image, "/")+1 : strings.LastIndex(in.Image, ":")]
				configMap := "ConfigMap/" + strings.TrimSuffix(o.Metadata.Name, "-"+component)
				if component == "migrate" {
					configMap += "-migrate"
				}
				args, env := pod(t, o, all[configMap].Data["onhook.yaml"])
				status, said := start(t, filepath.Join(bin, image), args, env)
				want := "waiting for the broker"
				if component == "storage" || component == "ops" || component == "migrate" {
					want = "connection refused" // of the database, where they go first
				}
				if !strings.Contains(said, want) || status == 2 {
					t.Errorf("%s %q: exit status %d, and it does not say %q\n%s", image, args, status, want, said)
				}

				// And with less than that it is refused, so the ConfigMap and not a default is what was read.
				if len(env) == 0 || in.Env[len(in.Env)-1].ValueFrom == nil {
					return
				}
				missing := env[len(env)-1]
				status, said = start(t, filepath.Join(bin, image), args, env[:len(env)-1])
				if name, _, _ := strings.Cut(missing, "="); status != 2 || !strings.Contains(said, "environment variable "+name+" is not set") {
					t.Errorf("%s without %s: exit status %d\n%s", image, name, status, said)
				}
			})
		}
		t.Run(c+"/check", func(t *testing.T) {
			t.Parallel()
			var one object
			for _, o := range workloads(all) { // check wants the secrets of all
				one.Spec.Template.Spec.Containers = append(one.Spec.Template.Spec.Containers, o.Spec.Template.Spec.Containers...)
				first := &one.Spec.Template.Spec.Containers[0]
				if in := o.Spec.Template.Spec.Containers[0]; len(one.Spec.Template.Spec.Containers) > 1 {
					first.Env = append(first.Env, in.Env...)
					first.VolumeMounts = append(first.VolumeMounts, in.VolumeMounts...)
				}
			}
			one.Spec.Template.Spec.Containers[0].Args = []string{"check", "--config", "/etc/onhook/onhook.yaml"}
			name := "ConfigMap/calls-onhook"
			if c == "everything" {
				name = "ConfigMap/calls"
			}
			args, env := pod(t, one, all[name].Data["onhook.yaml"])
			if status, said := start(t, filepath.Join(bin, "onhook"), args, env); status != 0 || !strings.Contains(said, "is right") {
				t.Errorf("exit status %d\n%s", status, said)
			}
		})
	}
}
