package ingress

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/provider/payload"
)

func TestWhoIsBelieved(t *testing.T) {
	t.Parallel()
	g := newGate(fake{})
	close(g.opened)
	f := setup(t, g, options{})

	altur, synthflow, cllr := example(t, "altur/full-v2"), example(t, "synthflow/full-2026"), example(t, "cllr/full")
	var compact bytes.Buffer
	if err := json.Compact(&compact, altur); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(compact.Bytes(), altur) {
		t.Fatal("the example is compact already")
	}
	hex := func(body []byte, secret string) http.Header { return sign(t, "altur", body, secret, "hex") }
	b64 := func(body []byte, secret string) http.Header { return sign(t, "altur", body, secret, "base64") }
	key, err := base64.StdEncoding.DecodeString(newSecret)
	if err != nil {
		t.Fatal(err)
	}
	b64Raw := http.Header{"X-Altur-Signature": {base64.StdEncoding.EncodeToString(payload.HMAC(key, altur))}}
	syn := sign(t, "synthflow", synthflow, synSecret, "").Get("Synthflow-Signature")
	altered := bytes.Replace(altur, []byte("{"), []byte(`{"added":1,`), 1)

	for _, c := range []struct {
		name, path string
		header     http.Header
		body       []byte
		want       call.Auth // empty: 401
	}{
		{"altur auto, hex, raw", "altur", hex(altur, newSecret), altur, call.AuthVerifiedBody},
		{"altur auto, hex, signed compact", "altur", hex(compact.Bytes(), newSecret), altur, call.AuthVerifiedBody},
		{"altur auto, base64, signed compact", "altur", b64(altur, newSecret), altur, call.AuthVerifiedBody},
		{"altur auto, base64, raw", "altur", b64Raw, altur, call.AuthVerifiedBody},
		{"altur auto, sent compact", "altur", b64(altur, newSecret), compact.Bytes(), call.AuthVerifiedBody},
		{"altur, the older secret, hex", "altur", hex(altur, oldSecret), altur, call.AuthVerifiedBody},
		{"altur, the older secret, base64", "altur", b64(altur, oldSecret), altur, call.AuthVerifiedBody},
		{"altur hex", "altur-hex", hex(altur, newSecret), altur, call.AuthVerifiedBody},
		{"altur hex, signed in base64", "altur-hex", b64(altur, newSecret), altur, ""},
		{"altur hex, a secret taken out", "altur-hex", hex(altur, oldSecret), altur, ""},
		{"altur base64", "altur-base64", b64(altur, newSecret), altur, call.AuthVerifiedBody},
		{"altur base64, raw", "altur-base64", b64Raw, altur, call.AuthVerifiedBody},
		{"altur base64, signed in hex", "altur-base64", hex(altur, newSecret), altur, ""},
		{"altur, altered", "altur", hex(altur, newSecret), altered, ""},
		{"altur, signed under another source's secret", "altur", hex(altur, synSecret), altur, ""},
		{"altur, an empty signature", "altur", http.Header{"X-Altur-Signature": {""}}, altur, ""},
		{"altur, a signature that is neither", "altur", http.Header{"X-Altur-Signature": {"sha256=zz"}}, altur, ""},
		{"altur, a token where there is none", "altur/" + newToken, hex(altur, newSecret), altur, ""},
		{"altur, both", "altur-both/" + newToken, hex(altur, newSecret), altur, call.AuthVerifiedBody},
		{"altur, both, no token", "altur-both", hex(altur, newSecret), altur, ""},
		{"altur, both, no signature", "altur-both/" + newToken, nil, altur, ""},

		{"synthflow", "synthflow", http.Header{"Synthflow-Signature": {syn}}, synthflow, call.AuthVerifiedIDOnly},
		{"synthflow, lower case", "synthflow", http.Header{"synthflow-signature": {syn}}, synthflow, call.AuthVerifiedIDOnly},
		{"synthflow, as documented", "synthflow", http.Header{"HTTP_SYNTHFLOW_SIGNATURE": {syn}}, synthflow, call.AuthVerifiedIDOnly},
		{"synthflow, underscores", "synthflow", http.Header{"Synthflow_Signature": {syn}}, synthflow, call.AuthVerifiedIDOnly},
		{"synthflow, http-", "synthflow", http.Header{"Http-Synthflow-Signature": {syn}}, synthflow, call.AuthVerifiedIDOnly},
		{"synthflow, x-", "synthflow", http.Header{"X-Synthflow-Signature": {syn}}, synthflow, call.AuthVerifiedIDOnly},
		{"synthflow, another spelling of another header", "synthflow", http.Header{"Synthflow-Signatures": {syn}}, synthflow, ""},
		{"synthflow, the signature of altur", "synthflow", hex(synthflow, synSecret), synthflow, ""},
		{"synthflow, another call's", "synthflow", http.Header{"Synthflow-Signature": {syn}}, example(t, "synthflow/no-answer"), ""},
		{"synthflow, no call id", "synthflow", http.Header{"Synthflow-Signature": {syn}}, []byte(`{"call":{}}`), ""},

		{"cllr", "cllr/" + newToken, nil, cllr, call.AuthToken},
		{"cllr, the older token", "cllr/" + oldToken, nil, cllr, call.AuthToken},
		{"cllr, a token in other letters", "cllr/NEWER-TOKEN-8D1F", nil, cllr, ""},
		{"cllr, a part of the token", "cllr/" + newToken[:5], nil, cllr, ""},
		{"cllr, more than the token", "cllr/" + newToken + "x", nil, cllr, ""},
		{"cllr, the token escaped", "cllr/newer%2Dtoken%2d8d1f", nil, cllr, call.AuthToken},
		{"cllr, the token escaped twice", "cllr/newer%252Dtoken-8d1f", nil, cllr, ""},
		{"cllr, more after the token", "cllr/" + newToken + "/more", nil, cllr, ""},
		{"cllr, the token as a query", "cllr?token=" + newToken, nil, cllr, ""},
		{"open", "open", nil, cllr, call.AuthNone},
		{"open, a token where there is none", "open/" + newToken, nil, cllr, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := f.send(t, c.path, c.header, c.body)
			if c.want == "" {
				got.refused(t, http.StatusUnauthorized)
				if len(g.came) != 0 {
					t.Errorf("published as %s", (<-g.came).Auth)
				}
				return
			}
			got.accepted(t)
			if d := <-g.came; d.Auth != c.want {
				t.Errorf("auth is %s, want %s", d.Auth, c.want)
			}
		})
	}
}
