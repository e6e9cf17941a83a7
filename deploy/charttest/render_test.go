package charttest

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

func TestLint(t *testing.T) {
	t.Parallel()
	for _, binary := range helms(t) {
		for _, c := range configurations {
			if _, err := helm(t, binary, "lint", "--strict", chart, "-f", values(c)); err != nil {
				t.Errorf("%s: %v", c, err)
			}
		}
	}
}

// TestEachHelmRendersTheSame: and what is rendered is the same the second time, or each upgrade would start all anew.
func TestEachHelmRendersTheSame(t *testing.T) {
	t.Parallel()
	all := helms(t)
	for _, c := range configurations {
		first := mustRender(t, c)
		for _, binary := range append(all, all[0]) {
			out, err := render(t, binary, c)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(first, objects(t, out)); d != "" {
				t.Errorf("%s, %s and %s:\n%s", c, all[0], binary, d)
			}
		}
	}
}

func TestChartRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		set, want string
	}{
		{"config.nats.urk=nats://n", "urk"},
		{"ingress.terminationGracePeriodSeconds=20", "ack budget"},
		{"crm.sinks.zapir.scaling.max=2", "there is no config.crm.zapir"},
		{"scaling.workers=keda", "keda.monitoring"},
		{"fullnameOverride=a-name-of-thirty-two-letters-here", "is too long"},
	} {
		_, err := render(t, helms(t)[0], "external-nats", "--set", c.set, "--set", "config.crm.a-sink-with-a-name.kind=webhook")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.set, err)
		}
	}
}

// TestOddButLegal: values that are rare, and what becomes of them.
func TestOddButLegal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ set, object, want string }{
		{`defaults.env={"OTEL_BSP_MAX_QUEUE_SIZE":1000000}`, "Deployment/calls-onhook-decoder", `"value":"1000000"`},
		{`defaults.env={"OTEL_SDK_DISABLED":true}`, "Deployment/calls-onhook-decoder", `"value":"true"`},
		{`decoder.scaling.min=0`, "Deployment/calls-onhook-decoder", `"replicas":1`}, // scaling.workers is none here
		{`decoder={"tolerations":[]}`, "Deployment/calls-onhook-decoder", `"nodeSelector":{"a":"b"}, "topology`},
		{`decoder={"priorityClassName":""}`, "Deployment/calls-onhook-decoder", `"terminationGracePeriodSeconds":45, "security`},
		{`config.ingress={"tls":{"cert_file":"/a","key_file":"/b"}}`, "Service/calls-onhook-ingress", `"appProtocol":"https"`},
	} {
		out, err := render(t, helms(t)[0], "external-nats", "--set-json", `defaults={"nodeSelector":{"a":"b"},"tolerations":[{"operator":"Exists"}],"priorityClassName":"p"}`, "--set-json", c.set)
		if err != nil {
			t.Fatal(err)
		}
		for doc := range strings.SplitSeq("\n"+out, "\n---\n") {
			raw, err := yaml.YAMLToJSON([]byte(doc))
			if err != nil {
				t.Fatal(err)
			}
			if o := objects(t, doc)[c.object]; o.Kind != "" && !strings.Contains(strings.ReplaceAll(string(raw), `": `, `":`), c.want) {
				t.Errorf("%s: %s has no %s", c.set, raw, c.want)
			}
		}
		if _, ok := objects(t, out)[c.object]; !ok {
			t.Errorf("%s: there is no %s", c.set, c.object)
		}
	}
}

// TestAReleaseMayHaveADot, and a Service may not.
func TestAReleaseMayHaveADot(t *testing.T) {
	t.Parallel()
	out, err := helm(t, helms(t)[0], "template", "calls.mx", chart, "--kube-version", kubeVersion, "-f", values("minimal"))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := objects(t, out)["Service/calls-mx-onhook-ingress"]; !ok {
		t.Errorf("there are %q", slices.Sorted(maps.Keys(objects(t, out))))
	}
}

func TestEveryPodHasNoPrivileges(t *testing.T) {
	t.Parallel()
	for _, c := range configurations {
		for name, o := range mustRender(t, c) {
			if !o.hasPods() {
				continue
			}
			pod := o.Spec.Template.Spec
			if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
				t.Errorf("%s, %s: has a service account's token", c, name)
			}
			want := map[string]any{"runAsNonRoot": true, "runAsUser": 65532.0, "runAsGroup": 65532.0, "fsGroup": 65532.0,
				"fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": map[string]any{"type": "RuntimeDefault"}}
			if d := cmp.Diff(want, pod.SecurityContext); d != "" {
				t.Errorf("%s, %s:\n%s", c, name, d)
			}
			if len(pod.Containers) != 1 || len(pod.InitContainers) > 0 {
				t.Errorf("%s, %s: has other containers than one", c, name)
			}
			for _, in := range pod.Containers {
				want := map[string]any{"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
					"capabilities": map[string]any{"drop": []any{"ALL"}}}
				if d := cmp.Diff(want, in.SecurityContext); d != "" {
					t.Errorf("%s, %s:\n%s", c, name, d)
				}
				if in.Resources.Requests["cpu"] == "" || in.Resources.Limits["memory"] == "" && !strings.HasSuffix(name, "salesforce-main") {
					t.Errorf("%s, %s: has resources %+v", c, name, in.Resources)
				}
			}
		}
	}
}

// TestPodsStopAndStart: probes ask the admin listener, and ingress takes requests until load balancers know, with the ack
// budget after that.
func TestPodsStopAndStart(t *testing.T) {
	t.Parallel()
	for _, c := range configurations {
		for name, o := range mustRender(t, c) {
			if !o.hasPods() || o.Kind == "Job" {
				continue
			}
			pod := o.Spec.Template.Spec
			in := pod.Containers[0]
			if in.StartupProbe == nil || in.LivenessProbe == nil || in.ReadinessProbe == nil {
				t.Fatalf("%s, %s: has not all three probes", c, name)
			}
			got := []string{in.StartupProbe.HTTPGet.Path, in.LivenessProbe.HTTPGet.Path, in.ReadinessProbe.HTTPGet.Path, in.ReadinessProbe.HTTPGet.Port}
			if d := cmp.Diff([]string{"/healthz", "/healthz", "/readyz", "admin"}, got); d != "" {
				t.Errorf("%s, %s:\n%s", c, name, d)
			}
			const mostAckBudget, leastGrace = 10, 15 // seconds; ingress.Config and package service say so
			preStop := in.Lifecycle.PreStop.Sleep.Seconds
			if (preStop > 0) != (o.component() == "ingress") {
				t.Errorf("%s, %s: waits %d s before it stops", c, name, preStop)
			}
			if pod.TerminationGracePeriodSeconds <= preStop+max(mostAckBudget, leastGrace) {
				t.Errorf("%s, %s: is killed after %d s", c, name, pod.TerminationGracePeriodSeconds)
			}
			if len(pod.TopologySpreadConstraints) != 2 {
				t.Errorf("%s, %s: is not spread", c, name)
			}
		}
	}
}

// workloads are the objects that make pods, by component.
func workloads(all map[string]object) map[string]object {
	found := map[string]object{}
	for _, o := range all {
		if o.hasPods() {
			found[o.component()] = o
		}
	}
	return found
}

func TestEachServiceAndSinkHasItsOwn(t *testing.T) {
	t.Parallel()
	for c, want := range map[string][]string{
		"minimal":       {"decoder", "ingress", "migrate", "storage"},
		"everything":    {"crm-hubspot-main", "crm-salesforce-main", "crm-zapier", "decoder", "ingress", "migrate", "ops", "storage"},
		"external-nats": {"crm-hooks", "decoder", "ingress", "migrate", "storage"},
	} {
		all := mustRender(t, c)
		of := workloads(all)
		if d := cmp.Diff(want, slices.Sorted(maps.Keys(of))); d != "" {
			t.Errorf("%s:\n%s", c, d)
		}
		for component, o := range of {
			in := o.Spec.Template.Spec.Containers[0]
			if sink, ok := strings.CutPrefix(component, "crm-"); ok {
				if d := cmp.Diff([]string{"--config", "/etc/onhook/onhook.yaml", "--only", sink}, in.Args); d != "" {
					t.Error(d)
				}
			}
			if o.Kind == "Job" {
				continue
			}
			for _, kind := range []string{"PodDisruptionBudget", "NetworkPolicy"} {
				if _, ok := all[kind+"/"+o.Metadata.Name]; !ok {
					t.Errorf("%s, %s: has no %s", c, component, kind)
				}
			}
		}
		spool := of["ingress"]
		if stateful := c == "everything"; (spool.Kind == "StatefulSet") != stateful || (len(spool.Spec.VolumeClaimTemplates) == 1) != stateful {
			t.Errorf("%s: ingress is a %s", c, spool.Kind)
		}
	}
}

// TestSecretsReachTheirOwnersOnly: a service's pods refer to what its own part of the values names, and the ConfigMaps hold
// references alone.
func TestSecretsReachTheirOwnersOnly(t *testing.T) {
	t.Parallel()
	want := map[string][]string{
		"ingress":             {"onhook-altur", "onhook-cllr", "onhook-sources"},
		"decoder":             nil,
		"storage":             {"onhook-postgres"},
		"ops":                 {"onhook-ops", "onhook-postgres-readonly"},
		"migrate":             {"onhook-postgres-owner"},
		"crm-hubspot-main":    {"onhook-hubspot"},
		"crm-salesforce-main": {"onhook-salesforce"},
		"crm-zapier":          {"onhook-zapier"},
	}
	all := mustRender(t, "everything")
	for component, o := range workloads(all) {
		found := map[string]bool{}
		for _, e := range o.Spec.Template.Spec.Containers[0].Env {
			if e.ValueFrom != nil {
				found[e.ValueFrom.SecretKeyRef.Name] = true
			}
		}
		for _, v := range o.Spec.Template.Spec.Volumes {
			if v.Secret != nil {
				found[v.Secret.SecretName] = true
			}
		}
		if d := cmp.Diff(want[component], slices.Sorted(maps.Keys(found))); d != "" {
			t.Errorf("%s:\n%s", component, d)
		}
	}
	for name, o := range all {
		if o.Kind == "Secret" {
			t.Errorf("%s: the chart makes a Secret", name)
		}
	}
	migrate := all["ConfigMap/calls-migrate"].Data["onhook.yaml"]
	if strings.Contains(migrate, "sources:") || !strings.Contains(migrate, "storage:") {
		t.Errorf("the migration's configuration:\n%s", migrate)
	}
}

// TestAChangedSectionRollsWhoReadsIt and nobody else: a new rate limit of a sink is no reason to start ingress anew.
func TestAChangedSectionRollsWhoReadsIt(t *testing.T) {
	t.Parallel()
	everybody := []string{"crm-hubspot-main", "crm-salesforce-main", "crm-zapier", "decoder", "ingress", "migrate", "ops", "storage"}
	sum := func(o object) string { return o.Spec.Template.Metadata.Annotations["checksum/config"] }
	before := workloads(mustRender(t, "everything"))
	for set, want := range map[string][]string{
		"config.log.level=info":               everybody,
		"config.nats.ack_wait=40s":            everybody,
		"config.admin.listen=:9091":           {"crm-hubspot-main", "crm-salesforce-main", "crm-zapier", "decoder", "ingress", "ops", "storage"},
		"config.sources.leads-in.burst=7":     {"ingress"},
		"config.ingress.ack_budget=7s":        {"ingress"},
		"config.decoder.batch=64":             {"decoder"},
		"config.storage.batch=64":             {"migrate", "ops", "storage"},
		"config.crm.zapier.timeout=9s":        {"crm-zapier", "migrate"},
		"config.ops.listen=:9090":             {"ops"},
		"ingress.scaling.max=9":               nil,
		"networkPolicy.enabled=false":         nil,
		"config.crm.zapier.kind=webhook":      nil, // as it was
		"defaults.podAnnotations.rolled=once": nil, // rolls by itself
	} {
		var rolled []string
		for component, o := range workloads(mustRender(t, "everything", "--set", set)) {
			if sum(o) == "" {
				t.Errorf("%s: no checksum", component)
			}
			if sum(o) != sum(before[component]) {
				rolled = append(rolled, component)
			}
		}
		slices.Sort(rolled)
		if d := cmp.Diff(want, rolled); d != "" {
			t.Errorf("%s:\n%s", set, d)
		}
	}
}

// TestNetworkPolicies: ingress reaches NATS alone, storage NATS and the database, CRM sinks NATS and the internet without what
// is private. Names are resolved by all.
func TestNetworkPolicies(t *testing.T) {
	t.Parallel()
	for component, want := range map[string][]float64{
		"ingress": {53, 53, 4222}, "decoder": {53, 53, 4222}, "storage": {53, 53, 4222, 5432}, "migrate": {53, 53, 4222, 5432}, "crm-hooks": {53, 53, 4222, 443},
	} {
		all := mustRender(t, "external-nats")
		p, ok := all["NetworkPolicy/calls-onhook-"+component]
		if !ok {
			t.Fatalf("%s: no policy in %q", component, slices.Sorted(maps.Keys(all)))
		}
		if d := cmp.Diff([]string{"Ingress", "Egress"}, p.Spec.PolicyTypes); d != "" {
			t.Error(d)
		}
		pods := workloads(all)[component].Spec.Template.Metadata.Labels
		for key, value := range p.Spec.PodSelector.MatchLabels {
			if pods[key] != value {
				t.Errorf("%s: the policy selects %s=%s, its pods have %v", component, key, value, pods)
			}
		}
		var got []float64
		for _, rule := range p.Spec.Egress {
			for _, port := range rule.Ports {
				got = append(got, port.Port.(float64))
			}
			to, _ := json.Marshal(rule.To)
			switch rule.Ports[0].Port.(float64) {
			case 4222:
				if string(to) != `[{"ipBlock":{"cidr":"192.0.2.0/24"}}]` {
					t.Errorf("%s: NATS is at %s", component, to)
				}
			case 443:
				for _, private := range []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7"} {
					if !strings.Contains(string(to), private) {
						t.Errorf("%s reaches %s: %s", component, private, to)
					}
				}
			case 53:
				if len(to) < 10 {
					t.Errorf("%s reaches any name server", component)
				}
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s:\n%s", component, d)
		}
	}
}

// TestScaling: by KEDA each worker is scaled by each of its consumers, by their real names; without it by CPU; what has one pod
// at most, and ingress with KEDA, as without.
func TestScaling(t *testing.T) {
	t.Parallel()
	consumers := func(o object) []string {
		var all []string
		for _, trigger := range o.Spec.Triggers {
			if trigger.Type != "nats-jetstream" || trigger.Metadata["account"] != "ONHOOK" || trigger.Metadata["natsServerMonitoringEndpoint"] == "" {
				t.Errorf("%+v", trigger)
			}
			all = append(all, trigger.Metadata["stream"]+"/"+trigger.Metadata["consumer"]+"/"+trigger.Metadata["lagThreshold"])
		}
		return all
	}
	all := mustRender(t, "everything")
	for name, want := range map[string][]string{
		"decoder":          {"staging-WEBHOOKS/decoder/1000", "staging-REDRIVE/decoder/1000"},
		"storage":          {"staging-CALLS/storage/20000", "staging-OUTCOMES/outcomes/20000", "staging-REDRIVE/storage/20000", "staging-REDRIVE/outcomes/20000"},
		"crm-hubspot-main": {"staging-CALLS/crm-hubspot-main/2000", "staging-REDRIVE/crm-hubspot-main/2000"},
		"crm-zapier":       {"staging-CALLS/crm-zapier/500", "staging-REDRIVE/crm-zapier/500"},
	} {
		o := all["ScaledObject/calls-"+name]
		if d := cmp.Diff(want, consumers(o)); d != "" {
			t.Errorf("%s:\n%s", name, d)
		}
		if o.Spec.Fallback.Replicas < 1 || o.Spec.MaxReplicaCount <= o.Spec.MinReplicaCount {
			t.Errorf("%s: %+v", name, o.Spec)
		}
	}
	if o := all["ScaledObject/calls-crm-zapier"]; o.Spec.MinReplicaCount != 0 {
		t.Errorf("zapier has %d pods at least", o.Spec.MinReplicaCount)
	}
	hpa := all["HorizontalPodAutoscaler/calls-ingress"].Spec
	if hpa.ScaleTargetRef.Kind != "StatefulSet" || hpa.MinReplicas != 2 {
		t.Errorf("%+v", hpa)
	}
	if r := workloads(all)["crm-salesforce-main"].Spec.Replicas; r == nil || *r != 1 {
		t.Errorf("salesforce has %v pods", r)
	}

	// An autoscaler's pods are its own to count: a manifest that names a number would fight with it at each upgrade.
	for _, c := range configurations {
		all := mustRender(t, c)
		scaled := map[string]int{}
		for _, o := range all {
			if o.Spec.ScaleTargetRef.Name != "" {
				scaled[o.Spec.ScaleTargetRef.Name]++
			}
		}
		for component, o := range workloads(all) {
			if o.Kind == "Job" {
				continue
			}
			if n := scaled[o.Metadata.Name]; n > 1 || (n == 1) == (o.Spec.Replicas != nil) {
				t.Errorf("%s, %s: %d autoscalers, replicas %v", c, component, n, o.Spec.Replicas)
			}
		}
		if c == "external-nats" && len(scaled) > 0 {
			t.Errorf("scaling.workers is none, and %v are scaled", scaled)
		}
		if c == "minimal" && len(scaled) != 3 {
			t.Errorf("minimal: scaled are %v", scaled)
		}
	}
}

// TestMigrationComesFirst: what the Job needs is made before it, as the release's own objects do not exist yet.
func TestMigrationComesFirst(t *testing.T) {
	t.Parallel()
	all := mustRender(t, "minimal")
	for name, weight := range map[string]string{"ConfigMap": "-2", "NetworkPolicy": "-2", "Job": "-1"} {
		a := all[name+"/calls-onhook-migrate"].Metadata.Annotations
		if a["helm.sh/hook"] != "pre-install,pre-upgrade" || a["helm.sh/hook-weight"] != weight {
			t.Errorf("%s: %v", name, a)
		}
	}
	var secrets []string // those of storage
	for _, v := range all["Job/calls-onhook-migrate"].Spec.Template.Spec.Volumes {
		if v.Secret != nil {
			secrets = append(secrets, v.Secret.SecretName)
		}
	}
	if d := cmp.Diff([]string{"onhook-database"}, secrets); d != "" {
		t.Error(d)
	}
	for name, o := range mustRender(t, "minimal", "--set", "migrate.enabled=false") {
		if o.Metadata.Annotations["helm.sh/hook"] != "" {
			t.Errorf("%s is there without a migration", name)
		}
	}
}
