package charttest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// definitions are the modules that hold the custom resource definitions of what the chart can use.
var definitions = []struct{ module, files string }{
	{"github.com/kedacore/keda/v2@v2.21.0", "config/crd/bases/keda.sh_scaledobjects.yaml"},
	{"github.com/prometheus-operator/prometheus-operator@v0.85.0", "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml"},
	{"sigs.k8s.io/gateway-api@v1.6.1", "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"},
}

// kubectl runs it on the API server that ONHOOK_KUBE names, as kubectl's arguments, and returns both of its outputs.
func kubectl(t *testing.T, input string, args ...string) (out, said string, err error) {
	t.Helper()
	cmd := exec.Command("kubectl", append(strings.Fields(os.Getenv("ONHOOK_KUBE")), args...)...)
	cmd.Stdin = strings.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err = cmd.Run(); err != nil {
		err = fmt.Errorf("kubectl %s: %w: %s%s", strings.Join(args, " "), err, stderr.String(), stdout.String())
	}
	return stdout.String(), stderr.String(), err
}

func mustKubectl(t *testing.T, input string, args ...string) (out, said string) {
	t.Helper()
	out, said, err := kubectl(t, input, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out, said
}

// TestAPIServerTakesTheChart: each configuration is applied server-side without a warning, and applied again nothing changes.
// Then helm itself installs and upgrades it.
func TestAPIServerTakesTheChart(t *testing.T) {
	t.Parallel()
	helms(t)
	if os.Getenv("ONHOOK_KUBE") == "" {
		t.Skip("ONHOOK_KUBE names no API server; make chart-test sets it where one is built, or with ONHOOK_REQUIRE_KUBE=1")
	}
	for _, d := range definitions {
		raw, err := exec.Command("go", "mod", "download", "-json", d.module).Output()
		var module struct{ Dir, Error string }
		if jerr := json.Unmarshal(raw, &module); jerr != nil || module.Dir == "" {
			t.Fatalf("%s: %v %v %s", d.module, err, jerr, module.Error)
		}
		file := filepath.Join(module.Dir, d.files)
		mustKubectl(t, "", "apply", "--server-side", "--force-conflicts", "-f", file)
		mustKubectl(t, "", "wait", "--for", `jsonpath={.status.conditions[?(@.type=="Established")].status}=True`, "--timeout", "60s", "-f", file)
	}
	anyVersion := forAnyVersion(t)
	for _, c := range configurations {
		t.Run(c, func(t *testing.T) {
			t.Parallel()
			namespace := fmt.Sprintf("%s-%d", c, os.Getpid())
			mustKubectl(t, "", "create", "namespace", namespace)
			manifest, err := render(t, helms(t)[0], c)
			if err != nil {
				t.Fatal(err)
			}
			apply := func() map[string]string {
				out, said := mustKubectl(t, manifest, "apply", "--server-side", "--namespace", namespace, "--warnings-as-errors", "-o", "json", "-f", "-")
				if strings.TrimSpace(said) != "" {
					t.Errorf("the API server says: %s", said)
				}
				return versions(t, out)
			}
			first := apply()
			if n := strings.Count("\n"+manifest, "\nkind: "); len(first) != n {
				t.Errorf("%d objects were applied, %d rendered", len(first), n)
			}
			for name, version := range apply() {
				if first[name] != version {
					t.Errorf("%s: changed when it was applied again", name)
				}
			}
			if out, _, err := kubectl(t, manifest, "diff", "--server-side", "--namespace", namespace, "-f", "-"); err != nil {
				t.Errorf("%v%s", err, out)
			}
			t.Logf("%d objects applied, without a warning; applied again without a difference", len(first))
		})
		for _, binary := range helms(t) {
			t.Run(c+"/"+filepath.Base(binary), func(t *testing.T) {
				t.Parallel()
				namespace := fmt.Sprintf("%s-%s-%d", c, strings.ReplaceAll(filepath.Base(binary), ".", "-"), os.Getpid())
				server := strings.Fields(strings.NewReplacer("--server", "--kube-apiserver", "--token", "--kube-token",
					"--insecure", "--kube-insecure").Replace(os.Getenv("ONHOOK_KUBE")))
				for range 2 { // no node runs the migration, so without hooks
					if _, err := helm(t, binary, append([]string{"upgrade", "--install", "calls", anyVersion, "--namespace", namespace, "--create-namespace",
						"--no-hooks", "-f", values(c)}, server...)...); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	}
}

// forAnyVersion is the chart without the version of Kubernetes that it wants: an API server that is built from its module
// does not know its own.
func forAnyVersion(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(chart)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "Chart.yaml")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.Replace(raw, []byte("kubeVersion:"), []byte("#"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// versions are the resource versions in a list of objects that kubectl printed, by kind and name.
func versions(t *testing.T, out string) map[string]string {
	t.Helper()
	type one struct {
		Kind     string
		Metadata struct{ Name, ResourceVersion string }
		Items    []json.RawMessage
	}
	all := map[string]string{}
	for dec := json.NewDecoder(strings.NewReader(out)); dec.More(); {
		var o one
		if err := dec.Decode(&o); err != nil {
			t.Fatal(err)
		}
		if o.Kind != "List" {
			all[o.Kind+"/"+o.Metadata.Name] = o.Metadata.ResourceVersion
		}
		for _, raw := range o.Items {
			var item one
			if err := json.Unmarshal(raw, &item); err != nil {
				t.Fatal(err)
			}
			all[item.Kind+"/"+item.Metadata.Name] = item.Metadata.ResourceVersion
		}
	}
	return all
}
