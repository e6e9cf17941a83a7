package synthflow_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/provider/synthflow"
)

const secret = "bG9va3MgbGlrZSBiYXNlNjQ=" // used as text all the same

func sign(t *testing.T, id string) string {
	t.Helper()
	mac := hmac.New(sha256.New, []byte(secret))
	if _, err := mac.Write([]byte(id)); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func TestVerifyTakesEverySpellingOfTheHeader(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := synthflow.Verify(r.Header, []byte(`{"call":{"call_id":"1"}}`), []string{secret}, ""); !ok {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(server.Close)
	for name, want := range map[string]int{
		"HTTP_SYNTHFLOW_SIGNATURE": 200, "Http-Synthflow-Signature": 200, "SYNTHFLOW_SIGNATURE": 200, "Synthflow-Signature": 200,
		"X-Synthflow-Signature": 200, "x_synthflow_signature": 200, "HTTP_X_SYNTHFLOW_SIGNATURE": 200, "X-Signature": 401,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header[name] = []string{sign(t, "1")} // as written, not in canonical form
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", name, resp.StatusCode, want)
		}
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, body, signature string
		secrets               []string
		want                  bool
	}{
		{"the id", `{"call":{"call_id":"a1","x":1}}`, sign(t, "a1"), []string{secret}, true},
		{"a number's literal text", `{"call":{"call_id":1.50}}`, sign(t, "1.50"), []string{secret}, true},
		{"an escaped id", `{"call":{"call_id":"\u0061\u00f1"}}`, sign(t, "añ"), []string{secret}, true},
		{"unpadded", `{"call":{"call_id":"a1"}}`, strings.TrimRight(sign(t, "a1"), "="), []string{secret}, true},
		{"the second secret", `{"call":{"call_id":"a1"}}`, sign(t, "a1"), []string{"newer", secret}, true},
		{"the last of two ids, which Decode takes", `{"call":{"call_id":"a1","call_id":"a2"}}`, sign(t, "a2"), []string{secret}, true},
		{"the first of two ids", `{"call":{"call_id":"a1","call_id":"a2"}}`, sign(t, "a1"), []string{secret}, false},
		{"the first of two calls", `{"call":{"call_id":"a1"},"call":{"call_id":"a2"}}`, sign(t, "a1"), []string{secret}, false},
		{"an id in another case", `{"call":{"call_id":"a2","CALL_ID":"a1"}}`, sign(t, "a1"), []string{secret}, false},
		{"another id", `{"call":{"call_id":"a2"}}`, sign(t, "a1"), []string{secret}, false},
		{"the body signed", `{"call":{"call_id":"a1"}}`, sign(t, `{"call":{"call_id":"a1"}}`), []string{secret}, false},
		{"an id at the root", `{"call_id":"a1","call":{}}`, sign(t, "a1"), []string{secret}, false},
		{"no id", `{"call":{"call_id":""}}`, sign(t, ""), []string{secret}, false},
		{"no JSON", `{"call":`, sign(t, "a1"), []string{secret}, false},
		{"no base64", `{"call":{"call_id":"a1"}}`, "%", []string{secret}, false},
		{"an empty secret", `{"call":{"call_id":"a1"}}`, sign(t, "a1"), []string{""}, false},
		{"no secret", `{"call":{"call_id":"a1"}}`, sign(t, "a1"), nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			header := http.Header{"Synthflow-Signature": {tt.signature}}
			proof, ok := synthflow.Verify(header, []byte(tt.body), tt.secrets, synthflow.Base64)
			if ok != tt.want || ok != (proof == call.AuthVerifiedIDOnly) {
				t.Errorf("Verify = %s, %t, want %t", proof, ok, tt.want)
			}
		})
	}
}

func TestVerifyRefusesTheEmptySecret(t *testing.T) {
	t.Parallel()
	body := []byte(`{"call":{"call_id":"a1"}}`)
	mac := hmac.New(sha256.New, nil)
	if _, err := mac.Write([]byte("a1")); err != nil {
		t.Fatal(err)
	}
	header := http.Header{"Synthflow-Signature": {base64.StdEncoding.EncodeToString(mac.Sum(nil))}}
	if _, ok := synthflow.Verify(header, body, []string{""}, ""); ok {
		t.Error("verified")
	}
	if h := synthflow.Sign(body, "", ""); h != nil {
		t.Errorf("signed: %v", h)
	}
}

func TestRefuse(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]bool{
		`{"event":"call_inbound","call_inbound":{"from_number":"+1"}}`:                true,
		`{"event":"call_inbound"}`:                                                    true,
		`{"call_inbound":{}}`:                                                         true,
		`{"call":{"call_id":"1","transcript":"bot: call_inbound"}}`:                   false,
		`{"call":{"call_id":"1"},"call_inbound":{}}`:                                  false,
		`{"event":"post_call","call":{"call_id":"1","model_id":"call_inbound"}}`:      false,
		`{"event":"call_inbound"`:                                                     false,
		`{"status":"completed","call":{"status":"completed","call_id":"1","x":null}}`: false,
	} {
		err := synthflow.Refuse([]byte(body))
		if (err != nil) != want {
			t.Errorf("%s: %v, want refused %t", body, err, want)
		}
		if err != nil && !strings.Contains(err.Error(), "post-call webhook") {
			t.Errorf("does not say what to do: %v", err)
		}
	}
}
