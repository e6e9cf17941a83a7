package ingress

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"

	"github.com/onhook/onhook/pkg/bus"
)

// Nothing that a sender knows and others must not may be told by a log line, at whatever level, a metric or an answer:
// neither secrets and tokens, right or almost right, nor what stands in a body.
func TestNoSecretIsTold(t *testing.T) {
	t.Parallel()
	away := false
	f := setup(t, fake{publish: func(context.Context, *bus.Delivery) error {
		if away {
			return errors.New("not connected")
		}
		return nil
	}}, options{config: func(c *Config) { c.MaxBody = 64 << 10 }})

	const almost = "almost-the-token-1b2c"
	const phone = "+5215512345678"
	body := fmt.Appendf(nil, `{"id":"1","callId":"1","to_number":%q,"call":{"call_id":"1"}}`, phone)
	signature := sign(t, "altur", body, newSecret, "hex")
	var answers strings.Builder
	do := func(method, path string, header http.Header, body string, want int) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+f.Addr()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = header.Clone()
		got := f.do(t, r)
		if got.status != want {
			t.Errorf("%s %s: %d, want %d", method, path, got.status, want)
		}
		fmt.Fprintln(&answers, got.header, string(got.body))
	}
	requests := func(ok int) {
		do("POST", "/v1/webhooks/cllr/"+newToken, nil, string(body), ok)
		do("POST", "/v1/webhooks/cllr/"+oldToken, nil, string(body), ok)
		do("POST", "/v1/webhooks/altur", signature, string(body), ok)
		do("POST", "/v1/webhooks/altur-both/"+newToken, signature, string(body), ok)
	}
	requests(http.StatusOK)
	for _, token := range []string{newToken, almost} {
		do("GET", "/v1/webhooks/cllr/"+token, nil, "", 405)
		do("POST", "/v1/webhooks/"+token, nil, string(body), 404)
		do("POST", "/v1/webhooks/"+token+"/cllr", nil, string(body), 404)
		do("POST", "/v1/webhooks/cllr/"+token+"/more", nil, string(body), 401)
		do("POST", "/"+token, nil, string(body), 404)
		do("POST", "/v1/webhooks/cllr?token="+token+";x", nil, string(body), 401)
		do("POST", "/v1/webhooks/altur/"+token, signature, string(body), 401)
	}
	do("POST", "/v1/webhooks/cllr/"+almost, nil, string(body), 401)
	do("POST", "/v1/webhooks/cllr/"+newToken, nil, "", 400)
	do("POST", "/v1/webhooks/cllr/"+newToken, nil, strings.Repeat(phone, 64<<10), 413)
	do("POST", "/v1/webhooks/altur-both/"+newToken, nil, string(body), 401)
	do("POST", "/v1/webhooks/altur", sign(t, "altur", body, synSecret, "hex"), string(body), 401)
	do("POST", "/v1/webhooks/synthflow", nil, `{"event":"call_inbound","call_inbound":{"from":"`+phone+`"}}`, 422)
	do("POST", "/v1/webhooks/cllr/"+newToken, http.Header{"X": {strings.Repeat(almost, 2000)}}, string(body), 431)
	for _, broken := range []string{
		"POST /v1/webhooks/cllr/" + newToken + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + phone + "\r\n",
		"POST /v1/webhooks/cllr/" + newToken + " HTTP/7.7\r\n\r\n",
		"POST /v1/webhooks/cllr/" + newToken + "%zz HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		c := dial(t, f)
		c.write(t, broken)
		got := c.read(t)
		if got.status < 400 || got.status >= 500 && got.status != http.StatusHTTPVersionNotSupported {
			t.Errorf("%.60q: %d", broken, got.status)
		}
		fmt.Fprintln(&answers, got.header, string(got.body))
	}
	away = true
	requests(http.StatusServiceUnavailable)

	families, err := f.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var metrics strings.Builder
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&metrics, family); err != nil {
			t.Fatal(err)
		}
	}
	logs := f.logText(t)
	if !strings.Contains(logs, "not connected") || !strings.Contains(metrics.String(), `onhook_deliveries_total{outcome="accepted",source="cllr"} 2`) {
		t.Fatalf("logs or metrics are not what this test takes them for:\n%s\n%s", logs, &metrics)
	}
	for where, text := range map[string]string{"log": logs, "metrics": metrics.String(), "answers": answers.String()} {
		for what, secret := range map[string]string{
			"a token": newToken, "an older token": oldToken, "an almost right token": almost, "a phone number": phone,
			"a phone number's digits": phone[1:], "a secret": newSecret, "an older secret": oldSecret, "another secret": synSecret,
			"a signature": signature.Get("X-Altur-Signature"),
		} {
			if strings.Contains(text, secret) {
				t.Errorf("%s: tells %s:\n%s", where, what, text)
			}
		}
	}
}

// One wide line per request, no more.
func TestOneLineForEachDelivery(t *testing.T) {
	t.Parallel()
	f := setup(t, fake{}, options{})
	id := f.send(t, "open", nil, []byte("{}")).accepted(t)
	f.send(t, "cllr/wrong", nil, []byte("{}")).refused(t, 401)
	lines := f.logs.All()
	if len(lines) != 2 {
		t.Fatalf("%d lines:\n%s", len(lines), f.logText(t))
	}
	for i, want := range []map[string]any{
		{"source": "open", "outcome": "accepted", "status": int64(200), "delivery_id": id, "auth": "none", "bytes": int64(2)},
		{"source": "cllr", "outcome": "unauthorized", "status": int64(401), "delivery_id": "", "auth": "", "bytes": int64(0)},
	} {
		got := lines[i].ContextMap()
		for k, v := range want {
			if got[k] != v {
				t.Errorf("line %d: %s is %v, want %v", i, k, got[k], v)
			}
		}
	}
}
