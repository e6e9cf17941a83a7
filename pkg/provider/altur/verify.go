package altur

import (
	"bytes"
	"crypto/hmac"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/provider/payload"
)

// Header carries the signature.
const Header = "X-Altur-Signature"

// The signature schemes. Altur's two documentations disagree: an HMAC-SHA256 in hex under the secret as text, or in
// base64 under the secret decoded from base64. Auto takes either, told apart by the signature's length.
const (
	Auto   = "auto"
	Hex    = "hex"
	Base64 = "base64"
)

// Verify reports whether one of secrets signed body. What Altur signs is "the JSON payload, serialized without
// spaces": which bytes that means is not documented, so the body as sent is tried first, then its compacted form, then
// that with all of its text escaped to ASCII and with none of it escaped. Each is a signature over the whole body.
func Verify(header http.Header, body []byte, secrets []string, scheme string) (call.Auth, bool) {
	digest, scheme, ok := parse(header.Get(Header), scheme)
	if !ok {
		return call.AuthNone, false
	}
	var keys [][]byte
	for _, secret := range secrets {
		if key, ok := keyOf(secret, scheme); ok {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return call.AuthNone, false
	}
	for form := range forms(body) {
		for _, key := range keys {
			if hmac.Equal(payload.HMAC(key, form), digest) {
				return call.AuthVerifiedBody, true
			}
		}
	}
	return call.AuthNone, false
}

// CheckSecret says why no signature can be verified with secret under scheme.
func CheckSecret(secret, scheme string) error {
	if _, ok := keyOf(secret, scheme); ok {
		return nil
	}
	if scheme == Base64 {
		return errors.New("scheme base64 wants a secret in base64; copy it from Altur whole, or leave the scheme out if it is not one")
	}
	return errors.New("empty")
}

// parse reads a signature, and settles which scheme it is of.
func parse(signature, scheme string) (digest []byte, of string, ok bool) {
	const size = 32 // bytes of a SHA-256
	if scheme != Base64 && len(signature) == hex.EncodedLen(size) {
		digest, err := hex.DecodeString(signature)
		return digest, Hex, err == nil
	}
	if scheme != Hex {
		digest, ok := payload.Base64(signature)
		return digest, Base64, ok && len(digest) == size
	}
	return nil, "", false
}

// keyOf is the HMAC key of a secret. An empty one is none: anybody could sign with it.
func keyOf(secret, scheme string) ([]byte, bool) {
	if scheme == Base64 {
		return payload.Base64(secret)
	}
	return []byte(secret), secret != ""
}

// forms are the texts that a signature of body may be over, each made only when those before it did not do.
func forms(body []byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		if !yield(body) {
			return
		}
		var compact bytes.Buffer
		if json.Compact(&compact, body) != nil {
			return
		}
		if !bytes.Equal(compact.Bytes(), body) && !yield(compact.Bytes()) {
			return
		}
		plain := unescape(compact.Bytes())
		if !bytes.Equal(plain, compact.Bytes()) && !yield(plain) {
			return
		}
		if ascii := escape(plain); !bytes.Equal(ascii, compact.Bytes()) {
			yield(ascii)
		}
	}
}

// Sign is what Altur sends with body: under base64 the body is signed compacted. It is nil when the secret is not
// usable under the scheme.
func Sign(body []byte, secret, scheme string) http.Header {
	if scheme != Base64 {
		scheme = Hex
	}
	key, ok := keyOf(secret, scheme)
	if !ok {
		return nil
	}
	var signature string
	if scheme == Hex {
		signature = hex.EncodeToString(payload.HMAC(key, body))
	} else {
		var compact bytes.Buffer
		if json.Compact(&compact, body) == nil {
			body = compact.Bytes()
		}
		signature = base64.StdEncoding.EncodeToString(payload.HMAC(key, body))
	}
	return http.Header{Header: {signature}}
}
