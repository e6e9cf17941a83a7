//go:build linux

package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// What the load signs with, and what `onhook ops` is asked with.
const (
	secret   = "torture-secret"
	token    = "torture-token"
	opsToken = "torture-ops"
)

// sections is what a fault wants in onhook.yaml beyond what every installation has: section, key, value.
type sections map[string]map[string]any

// installation is onhook, running: in one process or apart.
type installation struct {
	t       *testing.T
	dir     string // of its data
	dsn     string
	api     string // URL of the operator's API
	hooks   []string
	admins  []string // URLs of the admin listeners of what takes webhooks
	broker  *process // nil where it is not the installation's own
	onhook  *process // `onhook run`, or nil
	ingress []*process
	decoder []*process
	storage []*process
	crm     []*process
	ops     []*process

	launch map[string]func() *process // starts one more of a service
}

// all is every process but the broker.
func (in *installation) all() []*process {
	var all []*process
	if in.onhook != nil {
		all = append(all, in.onhook)
	}
	all = append(all, in.ingress...)
	all = append(all, in.decoder...)
	all = append(all, in.storage...)
	all = append(all, in.crm...)
	return append(all, in.ops...)
}

func (in *installation) awaitReady() {
	in.t.Helper()
	if in.broker != nil {
		in.broker.awaitReady()
	}
	for _, p := range in.all() {
		p.awaitReady()
	}
}

// together starts `onhook run` over a folder of its own.
func together(t *testing.T, s *suite, more sections) *installation {
	t.Helper()
	return togetherIn(t, s, t.TempDir(), more)
}

// togetherIn starts `onhook run` over dir.
func togetherIn(t *testing.T, s *suite, dir string, more sections) *installation {
	t.Helper()
	listen, admin := freeAddr(t), freeAddr(t)
	config := writeConfig(t, merge(sections{"ingress": {"listen": listen}, "admin": {"listen": admin}}, more))
	in := &installation{
		t: t, dir: dir, dsn: "sqlite:" + filepath.Join(dir, "onhook.db"),
		api: "http://" + admin, hooks: []string{"http://" + listen}, admins: []string{"http://" + admin},
	}
	in.onhook = startProcess(t, "onhook", "http://"+admin+"/readyz", filepath.Join(s.bin, "onhook"), "run", "--config", config, "--data", dir)
	in.awaitReady()
	return in
}

// layout says how the services run apart. Its zero value is one of each, over a broker and a SQLite file of their own.
type layout struct {
	nats                       string // URL of a broker that is there; empty: one is started
	brokerDir                  string // of the broker that is started
	brokerSync                 string // its sync_interval; always if not given
	dsn                        string // of a database that is there; empty: a SQLite file
	ingress, decoders, storage int    // how many
	ingressBinary              string // in place of the suite's own
	more                       sections
	eachIngress                func(i int) sections // for one ingress alone; nil: nothing
}

// apart starts the services as processes of their own.
func apart(t *testing.T, s *suite, lay layout) *installation {
	t.Helper()
	in := &installation{t: t, dir: t.TempDir(), dsn: lay.dsn}
	base := sections{}
	if lay.nats == "" {
		lay.nats = in.startBroker(s, cmp.Or(lay.brokerDir, filepath.Join(in.dir, "nats")), cmp.Or(lay.brokerSync, "always"), base)
		in.broker.awaitReady()
	}
	if in.dsn == "" {
		in.dsn = "sqlite:" + filepath.Join(in.dir, "onhook.db")
	}
	base = merge(base, sections{"nats": {"url": lay.nats}, "storage": {"dsn": in.dsn}})
	base = merge(base, lay.more)
	common := writeConfig(t, base)
	if out, err := exec.Command(filepath.Join(s.bin, "onhook"), "migrate", "--config", common).CombinedOutput(); err != nil {
		t.Fatalf("onhook migrate: %v\n%s", err, out)
	}
	started := map[string]int{}
	start := func(service, path string, args ...string) *process {
		admin := freeAddr(t)
		name := fmt.Sprintf("%s-%d", service, started[service])
		started[service]++
		return startProcess(t, name, "http://"+admin+"/readyz", path, append(args, "--admin", admin)...)
	}
	worker := func(program string) func() *process {
		return func() *process { return start(program, filepath.Join(s.bin, program), "--config", common) }
	}
	in.launch = map[string]func() *process{
		"crm": worker("crm"), "decoder": worker("decoder"), "storage": worker("storage"),
		"ingress": func() *process {
			listen := freeAddr(t)
			own := merge(base, sections{"ingress": {"listen": listen}})
			if lay.eachIngress != nil {
				own = merge(own, lay.eachIngress(started["ingress"]))
			}
			p := start("ingress", cmp.Or(lay.ingressBinary, filepath.Join(s.bin, "ingress")), "--config", writeConfig(t, own))
			in.hooks, in.admins = append(in.hooks, "http://"+listen), append(in.admins, p.admin())
			return p
		},
		"ops": func() *process {
			listen := freeAddr(t)
			in.api = "http://" + listen
			return start("ops", filepath.Join(s.bin, "onhook"), "ops", "--config", common, "--listen", listen)
		},
	}
	several := func(service string, n int) (all []*process) {
		for range max(1, n) {
			all = append(all, in.launch[service]())
		}
		return all
	}
	in.storage = several("storage", lay.storage)
	in.decoder = several("decoder", lay.decoders)
	in.ingress = several("ingress", lay.ingress)
	if lay.more["crm"] != nil {
		in.crm = several("crm", 1)
	}
	in.ops = several("ops", 1)
	in.awaitReady()
	return in
}

// startBroker starts a nats-server over dir and returns its URL.
func (in *installation) startBroker(s *suite, dir, sync string, more sections) string {
	in.t.Helper()
	listen, monitor := freeAddr(in.t), freeAddr(in.t)
	conf := filepath.Join(in.t.TempDir(), "nats.conf")
	// Without a bound of its own the server takes 75 % of the disk, and a full disk is never seen.
	text := fmt.Sprintf("listen: %q\nhttp: %q\nmax_payload: 8MB\njetstream { store_dir: %q, sync_interval: %s, max_file_store: 1TB }\n", listen, monitor, dir, sync)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		in.t.Fatal(err)
	}
	more["nats"] = map[string]any{"monitor_url": "http://" + monitor}
	in.broker = startProcess(in.t, "nats-server", "http://"+monitor+"/healthz", filepath.Join(s.bin, "nats-server"), "-c", conf)
	return "nats://" + listen
}

// merge is a with what b says beside or in place of it.
func merge(a, b sections) sections {
	out := sections{}
	for _, from := range []sections{a, b} {
		for name, keys := range from {
			if out[name] == nil {
				out[name] = map[string]any{}
			}
			maps.Copy(out[name], keys)
		}
	}
	return out
}

// writeConfig writes an onhook.yaml: JSON is YAML.
func writeConfig(t *testing.T, s sections) string {
	t.Helper()
	s = merge(sections{
		"sources": {
			"altur":     map[string]any{"provider": "altur", "secrets": []string{secret}},
			"cllr":      map[string]any{"provider": "cllr", "token": token},
			"synthflow": map[string]any{"provider": "synthflow", "secrets": []string{secret}},
		},
		"ops":  {"token": opsToken},
		"nats": {"ack_wait": "5s"}, // or each test waits for the half a minute after which the work of the dead is given away
	}, s)
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "onhook.yaml")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
