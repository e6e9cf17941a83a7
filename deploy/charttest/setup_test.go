package charttest

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

const chart = "../chart"

// configurations are the files in testdata, by name.
var configurations = []string{"minimal", "everything", "external-nats", "route-keda"}

// kubeVersion is what the chart is rendered for; a helm that is built from its module names an old one itself.
const kubeVersion = "1.36.0"

// helms are the helm binaries to render with.
func helms(t *testing.T) []string {
	t.Helper()
	given := strings.Fields(os.Getenv("ONHOOK_HELM"))
	if len(given) == 0 {
		t.Skip("ONHOOK_HELM names no helm; make chart-test builds some and runs this")
	}
	return given
}

func values(name string) string { return "testdata/" + name + ".yaml" }

// helm runs it and returns what it prints.
func helm(t *testing.T, binary string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), "HELM_CACHE_HOME="+t.TempDir(), "HELM_CONFIG_HOME="+t.TempDir(), "HELM_DATA_HOME="+t.TempDir())
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", &failure{binary, args, errs.String() + out.String()}
	}
	return out.String(), nil
}

type failure struct {
	name string
	args []string
	said string
}

func (f *failure) Error() string {
	return filepath.Base(f.name) + " " + strings.Join(f.args, " ") + ": " + f.said
}

// render is the chart as helm would send it, hooks among it.
func render(t *testing.T, binary, configuration string, args ...string) (string, error) {
	t.Helper()
	return helm(t, binary, append([]string{"template", "calls", chart, "--namespace", "onhook", "--kube-version", kubeVersion, "-f", values(configuration)}, args...)...)
}

// object is what the tests look at of a manifest. Its keys are found whatever their case.
type object struct {
	Kind     string
	Metadata struct {
		Name        string
		Labels      map[string]string
		Annotations map[string]string
	}
	Data map[string]string
	Spec struct {
		Replicas        *int
		MinReplicas     int
		MinReplicaCount int
		MaxReplicaCount int
		ScaleTargetRef  struct{ Kind, Name string }
		Fallback        struct{ Replicas int }
		Triggers        []struct {
			Type     string
			Metadata map[string]string
		}
		PodSelector struct{ MatchLabels map[string]string }
		PolicyTypes []string
		Egress      []struct {
			Ports []struct{ Port any }
			To    []map[string]any
		}
		Template             podTemplate
		VolumeClaimTemplates []any
	}
}

type podTemplate struct {
	Metadata struct {
		Labels      map[string]string
		Annotations map[string]string
	}
	Spec struct {
		AutomountServiceAccountToken  *bool
		TerminationGracePeriodSeconds int
		SecurityContext               map[string]any
		InitContainers                []any
		Containers                    []container
		Volumes                       []struct {
			Name   string
			Secret *struct{ SecretName string }
		}
		TopologySpreadConstraints []any
	}
}

type container struct {
	Image           string
	Args            []string
	Env             []variableOf
	SecurityContext map[string]any
	Resources       struct{ Requests, Limits map[string]string }
	Lifecycle       struct {
		PreStop struct{ Sleep struct{ Seconds int } }
	}
	LivenessProbe, ReadinessProbe, StartupProbe *struct{ HTTPGet struct{ Path, Port string } }
	VolumeMounts                                []struct{ Name, MountPath string }
}

type variableOf struct {
	Name, Value string
	ValueFrom   *struct{ SecretKeyRef struct{ Name, Key string } }
}

// objects parses what helm rendered, by kind and name.
func objects(t *testing.T, rendered string) map[string]object {
	t.Helper()
	all := map[string]object{}
	for doc := range strings.SplitSeq("\n"+rendered, "\n---\n") {
		raw, err := yaml.YAMLToJSON([]byte(doc))
		if err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		var o object
		if err := json.Unmarshal(raw, &o); err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		if o.Kind == "" {
			continue
		}
		key := o.Kind + "/" + o.Metadata.Name
		if _, ok := all[key]; ok {
			t.Errorf("%s is rendered twice", key)
		}
		all[key] = o
	}
	return all
}

// mustRender is the objects of a configuration.
func mustRender(t *testing.T, configuration string, args ...string) map[string]object {
	t.Helper()
	out, err := render(t, helms(t)[0], configuration, args...)
	if err != nil {
		t.Fatal(err)
	}
	return objects(t, out)
}

// hasPods reports whether the object makes pods.
func (o object) hasPods() bool { return len(o.Spec.Template.Spec.Containers) > 0 }

// component is what the pods of an object are part of: ingress, crm-zapier.
func (o object) component() string { return o.Metadata.Labels["app.kubernetes.io/component"] }
