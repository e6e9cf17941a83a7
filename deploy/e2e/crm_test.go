//go:build linux

package e2e

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// fakeCRMs are the addresses of fakes of every kind of CRM, which hold what they were given, by kind.
type fakeCRMs struct {
	t   *testing.T
	url map[string]string
}

// startCRMs starts the fakes.
func startCRMs(t *testing.T, s *suite) *fakeCRMs {
	t.Helper()
	f := &fakeCRMs{t: t, url: map[string]string{}}
	var addresses []string
	for _, kind := range []string{"hubspot", "salesforce", "webhook"} {
		addr := freeAddr(t)
		addresses, f.url[kind] = append(addresses, addr), "http://"+addr
	}
	startProcess(t, "crmfakes", f.url["webhook"]+"/fake/records", filepath.Join(s.bin, "crmfakes"), "-listen", strings.Join(addresses, ",")).awaitReady()
	return f
}

// sinks is the section crm with a sink for each fake.
func (f *fakeCRMs) sinks() map[string]any {
	return map[string]any{
		"hubspot": map[string]any{"kind": "hubspot", "url": f.url["hubspot"], "token": "fake", "create_missing": "contact",
			"fields": map[string]any{"onhook_campaign": "call.?campaign.?contact_status"}},
		"salesforce": map[string]any{"kind": "salesforce", "url": f.url["salesforce"], "client_id": "client-id", "client_secret": "client-secret"},
		"webhook": map[string]any{"kind": "webhook", "url": f.url["webhook"], "allow_private": true,
			"secrets": []string{"whsec_" + strings.Repeat("ZmFrZSBz", 4)}},
	}
}

// records is how many records a fake has of each call, by key.
func (f *fakeCRMs) records(kind string) map[string]int {
	f.t.Helper()
	resp, err := http.Get(f.url[kind] + "/fake/records") //nolint:noctx // a fake of our own
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	n := map[string]int{}
	if err := json.NewDecoder(resp.Body).Decode(&n); err != nil {
		f.t.Fatalf("the records of %s: %v", kind, err)
	}
	return n
}

// property sends a request about a property of calls as HubSpot's administrator would.
func (f *fakeCRMs) property(method, name, body string) {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), method, f.url["hubspot"]+"/crm/properties/2026-09/calls/"+name, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer fake")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		f.t.Fatalf("%s of property %s: %s", method, name, resp.Status)
	}
}

// send has `onhook send` send deliveries of a provider's and returns the keys of the calls that were acknowledged.
// What was refused while a process was away is not among them.
func send(t *testing.T, s *suite, in *installation, provider string, count int, more ...string) map[string]int {
	t.Helper()
	file := filepath.Join(t.TempDir(), "acked") // a line for each acknowledged call
	cmd := exec.Command(filepath.Join(s.bin, "onhook"), append([]string{"send", provider, "--url", in.hooks[0], "--count", strconv.Itoa(count), "--acked", file}, more...)...)
	cmd.Env = append(os.Environ(), "ONHOOK_DEV_SECRET="+secret, "ONHOOK_DEV_TOKEN="+token)
	out, err := cmd.CombinedOutput()
	t.Logf("onhook send %s: %s(%v)", provider, out, err)
	acked, err := os.ReadFile(file)
	if err != nil {
		t.Error(err)
	}
	keys := map[string]int{}
	for id := range strings.Lines(string(acked)) {
		keys[provider+":"+provider+":"+strings.TrimSpace(id)] = 1
	}
	return keys
}

// command runs a command of the operator's and returns what it prints.
func (in *installation) command(s *suite, args ...string) string {
	in.t.Helper()
	out, err := exec.Command(filepath.Join(s.bin, "onhook"), append(args, "--server", in.api)...).CombinedOutput()
	if err != nil {
		in.t.Fatalf("onhook %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestEachCRMHoldsEachCallOnceThroughKills sends to an `onhook run` with a sink for each kind of CRM, and kills it while it
// takes calls and again while it delivers them.
func TestEachCRMHoldsEachCallOnceThroughKills(t *testing.T) {
	s := newSuite(t, "crmfakes", "onhook")
	crms := startCRMs(t, s)
	in := together(t, s, sections{"crm": crms.sinks()})
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(in.command(s, "status")) // what waits where
		}
	})
	total := s.count(1000, 10_000)
	sent := make(chan map[string]int)
	go func() { sent <- send(t, s, in, "altur", total, "--duplicates", "10", "--rate", "250") }() // so slow that a restart is not most of it
	await(t, "the first calls in a CRM", func() bool { return len(crms.records("webhook")) > total/20 })
	in.onhook.kill()
	want := <-sent
	in.onhook.kill()
	in.awaitReady()
	if len(want) < total/2 {
		t.Fatalf("only %d of %d calls were acknowledged", len(want), total)
	}
	for kind := range crms.url {
		var has map[string]int
		await(t, "every call in "+kind, func() bool { has = crms.records(kind); return missing(want, has) == 0 })
		doubled := 0
		for _, n := range has {
			doubled += n - 1
		}
		t.Logf("%s: %d calls, %d acknowledged calls missing, %d doubled", kind, len(has), missing(want, has), doubled)
		// A call may be there whose acknowledgement was cut off.
		if doubled != 0 || len(has) > total {
			t.Errorf("%s: %d calls of %d sent, %d doubled", kind, len(has), total, doubled)
		}
	}
	for key := range want {
		source, id, _ := strings.Cut(strings.TrimPrefix(key, "altur:"), ":")
		var shown string
		await(t, "its timeline", func() bool {
			shown = in.command(s, "calls", "show", source, id)
			return strings.Count(shown, "delivered") == len(crms.url)
		})
		t.Logf("onhook calls show %s %s\n%s", source, id, shown)
		break
	}
	await(t, "the same calls everywhere", func() bool {
		has := crms.records("hubspot")
		return maps.Equal(has, crms.records("salesforce")) && maps.Equal(has, crms.records("webhook"))
	})
	if dead := in.command(s, "dead", "list"); strings.Contains(dead, "crm-") {
		t.Errorf("dead messages:\n%s", dead)
	}
}

func missing(want, has map[string]int) (n int) {
	for key := range want {
		if has[key] == 0 {
			n++
		}
	}
	return n
}

// TestARemovedPropertyKillsTheCallsThatCarryItAndARedriveLandsThem removes a property of HubSpot while calls come, which
// the calls of one provider carry and those of another do not.
func TestARemovedPropertyKillsTheCallsThatCarryItAndARedriveLandsThem(t *testing.T) {
	s := newSuite(t, "crmfakes", "onhook")
	crms := startCRMs(t, s)
	in := together(t, s, sections{"crm": crms.sinks()})
	before := send(t, s, in, "altur", 20)
	await(t, "the calls", func() bool { return missing(before, crms.records("hubspot")) == 0 })

	crms.property(http.MethodDelete, "onhook_campaign", "")
	affected, others := send(t, s, in, "altur", 20), send(t, s, in, "cllr", 20)
	await(t, "the others", func() bool { return missing(others, crms.records("hubspot")) == 0 })
	var dead string
	await(t, "the affected to be dead", func() bool {
		dead = in.command(s, "dead", "list", "--consumer", "crm-hubspot")
		return strings.Count(dead, "crm-hubspot") == len(affected)
	})
	if missing(affected, crms.records("hubspot")) != len(affected) {
		t.Error("calls are there that have a property which is not")
	}
	await(t, "the affected in another CRM", func() bool { return missing(affected, crms.records("salesforce")) == 0 })
	_, first, _ := strings.Cut(dead, "\n")
	seq := strings.Fields(first)[0]
	t.Logf("onhook dead list\n%s", dead)
	t.Logf("onhook dead show %s\n%s", seq, in.command(s, "dead", "show", seq))
	if !strings.Contains(dead, "onhook_campaign") || !strings.Contains(dead, "correlation") {
		t.Error("the reason names neither the property nor a correlation id")
	}

	crms.property(http.MethodPost, "", `{"name": "onhook_campaign", "type": "string", "fieldType": "text", "groupName": "call"}`)
	t.Log(in.command(s, "dead", "redrive", "--consumer", "crm-hubspot"))
	await(t, "the redriven", func() bool { return missing(affected, crms.records("hubspot")) == 0 })
}
