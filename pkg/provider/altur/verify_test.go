package altur_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/provider/altur"
)

const (
	text = "k-e_y/of+the=test"
	// base64 of 33 bytes, so that the standard and the URL alphabet differ in it and padding does not matter
	encoded = "+/+/c2VjcmV0IGJ5dGVzIG9mIHRoZSBrZXkgISE="
)

func sum(t *testing.T, key, message string) []byte {
	t.Helper()
	mac := hmac.New(sha256.New, []byte(key))
	if _, err := mac.Write([]byte(message)); err != nil {
		t.Fatal(err)
	}
	return mac.Sum(nil)
}

func TestVerify(t *testing.T) {
	t.Parallel()
	rawKey, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	const (
		sent    = "{ \"id\": \"1\",\n\t\"n\": 1.50, \"t\": \"Sof\\u00eda \\/ ñ \\ud83d\\udc4d 👍 \\u007f \\u0001\\n\" }"
		compact = "{\"id\":\"1\",\"n\":1.50,\"t\":\"Sof\\u00eda \\/ ñ \\ud83d\\udc4d 👍 \\u007f \\u0001\\n\"}"
		plain   = "{\"id\":\"1\",\"n\":1.50,\"t\":\"Sofía / ñ 👍 👍 \x7f \\u0001\\n\"}"
		ascii   = "{\"id\":\"1\",\"n\":1.50,\"t\":\"Sof\\u00eda / \\u00f1 \\ud83d\\udc4d \\ud83d\\udc4d \\u007f \\u0001\\n\"}"
	)
	hexed := func(message string) string { return hex.EncodeToString(sum(t, text, message)) }
	based := func(enc *base64.Encoding, message string) string {
		return enc.EncodeToString(sum(t, string(rawKey), message))
	}
	urlSecret := strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(encoded), "=")
	for _, tt := range []struct {
		name, signature string
		secrets         []string
		scheme          string
		want            bool
	}{
		{"hex of the body as sent", hexed(sent), []string{text}, "hex", true},
		{"hex in upper case", strings.ToUpper(hexed(sent)), []string{text}, "hex", true},
		{"hex, compacted", hexed(compact), []string{text}, "hex", true},
		{"hex, compacted and unescaped", hexed(plain), []string{text}, "hex", true},
		{"hex, compacted and escaped", hexed(ascii), []string{text}, "hex", true},
		{"hex, found by auto", hexed(compact), []string{text}, "auto", true},
		{"the default is auto", hexed(compact), []string{text}, "", true},
		{"hex, second secret", hexed(sent), []string{"newer", text}, "hex", true},
		{"hex under base64", hexed(sent), []string{text}, "base64", false},
		{"hex of another body", hexed(sent + " "), []string{text}, "hex", false},
		{"hex, reordered", hexed(`{"n":1.50,"id":"1"}`), []string{text}, "hex", false},
		{"base64", based(base64.StdEncoding, sent), []string{encoded}, "base64", true},
		{"base64, compacted", based(base64.StdEncoding, compact), []string{encoded}, "base64", true},
		{"base64, escaped", based(base64.StdEncoding, ascii), []string{encoded}, "base64", true},
		{"base64, found by auto", based(base64.StdEncoding, compact), []string{text, encoded}, "auto", true},
		{"base64, URL alphabet, unpadded", based(base64.RawURLEncoding, sent), []string{urlSecret}, "base64", true},
		{"base64 under hex", based(base64.StdEncoding, sent), []string{encoded}, "hex", false},
		{"base64, the secret not decoded", base64.StdEncoding.EncodeToString(sum(t, encoded, sent)), []string{encoded}, "base64", false},
		{"base64, the secret no base64", based(base64.StdEncoding, sent), []string{"not base64!"}, "base64", false},
		{"an empty secret", hex.EncodeToString(sum(t, "", sent)), []string{""}, "auto", false},
		{"a secret of padding", base64.StdEncoding.EncodeToString(sum(t, "", sent)), []string{"=", ""}, "auto", false},
		{"no secret", hexed(sent), nil, "auto", false},
		{"no signature", "", []string{text}, "auto", false},
		{"a cut signature", hexed(sent)[:62], []string{text}, "auto", false},
		{"a signature of no alphabet", strings.Repeat("!", 64), []string{text}, "auto", false},
		{"an unknown scheme", hexed(sent) + "00", []string{text}, "md5", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			header := http.Header{}
			header.Set("x-altur-signature", tt.signature)
			proof, ok := altur.Verify(header, []byte(sent), tt.secrets, tt.scheme)
			if ok != tt.want || ok != (proof == call.AuthVerifiedBody) {
				t.Errorf("Verify = %s, %t, want %t", proof, ok, tt.want)
			}
		})
	}
	t.Run("a body that is no JSON", func(t *testing.T) {
		t.Parallel()
		header := http.Header{altur.Header: {hexed("{broken")}}
		if _, ok := altur.Verify(header, []byte("{broken"), []string{text}, "hex"); !ok {
			t.Error("a signature over the body as sent must verify")
		}
	})
}

func TestSignNeedsAUsableSecret(t *testing.T) {
	t.Parallel()
	if h := altur.Sign([]byte("{}"), "not base64!", "base64"); h != nil {
		t.Errorf("base64: %v", h)
	}
	if h := altur.Sign([]byte("{}"), "", "hex"); h != nil {
		t.Errorf("hex: %v", h)
	}
}

// A secret that is no base64 was accepted under scheme base64, and every delivery was then turned away.
func TestCheckSecret(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, secret string
		base64       bool
	}{
		{"base64", encoded, true},
		{"in the URL alphabet, not padded", strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(encoded), "="), true},
		{"text", text, false},
		{"text with a space", "pass phrase", false},
		{"cut", encoded[:len(encoded)-7], false},
		{"padding alone", "==", false},
	} {
		for scheme, want := range map[string]bool{altur.Auto: true, "": true, altur.Hex: true, altur.Base64: tt.base64} {
			err := altur.CheckSecret(tt.secret, scheme)
			if (err == nil) != want || (altur.Sign([]byte("{}"), tt.secret, scheme) != nil) != want {
				t.Errorf("%s, scheme %q: %v, want usable %t", tt.name, scheme, err, want)
			}
			if err != nil && strings.Contains(err.Error(), tt.secret) {
				t.Errorf("%s: the secret is in %q", tt.name, err)
			}
		}
	}
	for _, scheme := range []string{altur.Auto, "", altur.Hex, altur.Base64} {
		if altur.CheckSecret("", scheme) == nil {
			t.Errorf("scheme %q takes an empty secret", scheme)
		}
	}
}
