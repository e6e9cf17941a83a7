package onhook_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/call"
)

func TestOneCallOfEachProviderHoweverOftenItIsSent(t *testing.T) {
	t.Parallel()
	p := startAnywhere(t)
	samples := map[string][]byte{
		"altur":     example(t, "altur", "documented-v2"),
		"cllr":      example(t, "cllr", "documented"),
		"synthflow": example(t, "synthflow", "documented-2024"),
	}
	for range 2 {
		for name, body := range samples {
			if got := p.post(name, body); got != http.StatusOK {
				t.Errorf("%s: %d", name, got)
			}
		}
	}
	p.waitDrained()
	var ids []string
	for _, c := range p.calls() {
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", c.Key, err)
		}
		ids = append(ids, c.Key)
	}
	slices.Sort(ids)
	want := []string{"altur:altur:cll_gBoLtd02pUI50QwXkFjB", "cllr:cllr:693bff62619c51fac21acf50", "synthflow:synthflow:1711646262471x768387119913843100"}
	if !slices.Equal(ids, want) {
		t.Errorf("stored %q", ids)
	}
	for name := range samples {
		if n := p.metric(fmt.Sprintf(`onhook_decoded_total{provider=%q,result="duplicate"}`, name)); n != 1 {
			t.Errorf("%s: %v duplicates counted", name, n)
		}
	}
	one := query[call.Call](p, "calls", "show", "altur", "cll_gBoLtd02pUI50QwXkFjB")
	if one.Auth != call.AuthVerifiedBody || one.CustomerPhone.E164 != "+521234567890" || one.BodyRef == "" {
		t.Errorf("%+v", one)
	}
	if got := p.stop(); got != 0 {
		t.Errorf("exit status %d; %s", got, p.logs)
	}
}

// The promise of the product: what got its 200 is a stored call, once, even when the process is killed at that moment.
func TestKilledUnderLoadLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	p := start(t, data, "127.0.0.1:0", "127.0.0.1:0")
	acked := filepath.Join(t.TempDir(), "acked")
	sent := make(chan error, 1)
	go func() {
		_, err := run(t, "send", "altur", "--url", "http://"+p.listen, "--count", "5000", "--rate", "1000", "--duplicates", "10", "--acked", acked)
		sent <- err
	}()
	waitFor(t, "a thousand acknowledgements", func() bool { return len(lines(t, acked)) > 1000 })
	p.kill()
	if err := <-sent; err == nil {
		t.Fatal("the kill came too late: every delivery was acknowledged before it")
	}
	ids := lines(t, acked)
	p = start(t, data, p.listen, p.admin) // the same addresses, as after a crash
	p.waitDrained()
	stored := map[string]int{}
	for _, c := range p.calls() {
		stored[c.CallID]++
	}
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		if stored[id] != 1 {
			t.Errorf("%s got 200 and is stored %d times", id, stored[id])
		}
	}
	for id, n := range stored {
		if n != 1 {
			t.Errorf("%s is stored %d times", id, n)
		}
	}
	if dead := query[[]bus.Dead](p, "dead", "list"); len(dead) != 0 {
		t.Errorf("dead: %+v", dead)
	}
}

func lines(t *testing.T, path string) []string {
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []string
	for s := bufio.NewScanner(f); s.Scan(); {
		all = append(all, s.Text())
	}
	return all
}

func TestTenThousandCopiesAtOnceAreOneCall(t *testing.T) {
	t.Parallel()
	copies := 10_000
	if testing.Short() {
		copies = 1000
	}
	p := startAnywhere(t)
	body := example(t, "altur", "full-v2")
	var ok atomic.Int64
	var wg sync.WaitGroup
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 128, MaxIdleConnsPerHost: 128}}
	for range 128 {
		wg.Go(func() {
			for range copies/128 + 1 {
				resp, err := client.Do(p.request("altur", body))
				if err != nil {
					t.Error(err)
					return
				}
				_ = resp.Body.Close()
				if resp.StatusCode == http.StatusOK {
					ok.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := ok.Load(); n != int64(copies/128+1)*128 {
		t.Errorf("%d of %d got 200", n, copies)
	}
	p.waitDrained()
	if calls := p.calls(); len(calls) != 1 {
		t.Errorf("%d calls", len(calls))
	}
	if n := p.metric(`onhook_decoded_total{provider="altur",result="duplicate"}`); n != float64(ok.Load()-1) {
		t.Errorf("%v duplicates counted of %d", n, ok.Load()-1)
	}
}

func TestBadInputIsAnsweredAndNothingIsLost(t *testing.T) {
	t.Parallel()
	p := startAnywhere(t)
	random := make([]byte, 2<<20)
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	deep := strings.Repeat(`{"callId":`, 10_000) + `1` + strings.Repeat("}", 10_000)
	for _, tt := range []struct {
		name, body string
		calls      int // of the delivery
	}{
		{"2 MiB of random bytes", string(random), 0},
		{"truncated JSON", `{"callId":"truncated","callerDetails":{`, 0},
		{"10,000 levels", deep, 0},
		{"no call id", `{"callerDetails":{"name":"A"}}`, 0},
		{"null", `null`, 0},
		{"duplicate keys", `{"callId":"first","callId":"last"}`, 1},
		{"invalid UTF-8", "{\"callId\":\"utf8\xff\",\"callerDetails\":{\"name\":\"\xc3\"}}", 1},
		{"an id of 10 kB", `{"callId":"` + strings.Repeat("x", 10_000) + `"}`, 1},
		{"an id of subject syntax", `{"callId":"a.b.*.> /c"}`, 1},
		{"an id of emoji", `{"callId":"👍🏽"}`, 1},
		{"an id with NUL", `{"callId":"nul\u0000nul"}`, 1},
	} {
		before := len(p.calls()) + len(query[[]bus.Dead](p, "dead", "list"))
		if got := p.post("cllr", []byte(tt.body)); got != http.StatusOK {
			t.Errorf("%s: %d", tt.name, got) // cllr never sends twice: stored first, judged later
		}
		p.waitDrained()
		dead := query[[]bus.Dead](p, "dead", "list")
		if after := len(p.calls()) + len(dead); after != before+1 {
			t.Errorf("%s: neither call nor dead", tt.name)
		}
		if tt.calls == 0 && !strings.Contains(dead[len(dead)-1].Reason, "cllr: $") {
			t.Errorf("%s: reason %q has no JSON path", tt.name, dead[len(dead)-1].Reason)
		}
	}
	if n := len(p.calls()); n != 6 {
		t.Errorf("%d calls", n)
	}
	c := query[call.Call](p, "calls", "show", "cllr", "a.b.*.> /c")
	if c.CallID != "a.b.*.> /c" {
		t.Errorf("%q", c.CallID)
	}
	shown := query[struct {
		Consumer, Reason, Body string
		Attempts               int
	}](p, "dead", "show", "2")
	if shown.Consumer != "decoder" || shown.Attempts != 1 || shown.Body != `{"callId":"truncated","callerDetails":{` {
		t.Errorf("%+v", shown)
	}
}

func TestCampaignEventsAreIgnoredAndInboundCallsRefused(t *testing.T) {
	t.Parallel()
	p := startAnywhere(t)
	if got := p.post("altur", example(t, "altur", "campaign-status-changed.ignored")); got != http.StatusOK {
		t.Errorf("%d", got)
	}
	p.waitDrained()
	if n := p.metric(`onhook_decoded_total{provider="altur",result="ignored"}`); n != 1 {
		t.Errorf("%v ignored", n)
	}
	inbound := example(t, "synthflow", "call-inbound-event.refused")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+p.listen+"/v1/webhooks/synthflow", strings.NewReader(string(inbound)))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("call_inbound: %d", resp.StatusCode)
	}
	if n := len(p.calls()); n != 0 {
		t.Errorf("%d calls", n)
	}
}

func TestNoSecretOrPhoneNumberInTheLogs(t *testing.T) {
	t.Parallel()
	p := startAnywhere(t)
	if got := p.post("altur", example(t, "altur", "documented-v2")); got != http.StatusOK {
		t.Errorf("%d", got)
	}
	for _, path := range []string{"cllr/dev-token", "cllr/dev-token-wrong", "altur"} {
		resp, err := http.Post("http://"+p.listen+"/v1/webhooks/"+path, "application/json", strings.NewReader(`{"callId":7,"callerDetails":{"phoneNumber":"+1-555-123-4567"}`))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	p.waitDrained()
	if got := p.stop(); got != 0 {
		t.Errorf("exit status %d", got)
	}
	logs := p.logs.String()
	for _, secret := range []string{"dev-secret", "dev-token", "+521234567890", "555-123", "John Doe", "Sofía"} {
		if strings.Contains(logs, secret) {
			t.Errorf("%q is in the logs", secret)
		}
	}
	if !strings.Contains(logs, `"outcome":"accepted"`) || !strings.Contains(logs, `"msg":"dead"`) {
		t.Errorf("the logs do not show what happened: %s", logs)
	}
}

func TestASecondProcessOnTheSameFolderIsRefused(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	start(t, data, "127.0.0.1:0", "127.0.0.1:0")
	_, err := run(t, "run", "--data", data, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	if err == nil || !strings.Contains(err.Error(), "in use by another onhook") {
		t.Errorf("%v", err)
	}
}
