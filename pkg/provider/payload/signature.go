package payload

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// HMAC is the HMAC-SHA256 of message under key.
func HMAC(key, message []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(message)
	return mac.Sum(nil)
}

// Base64 reads the standard or the URL alphabet, padded or not.
func Base64(s string) ([]byte, bool) {
	b, err := base64.RawStdEncoding.DecodeString(standard.Replace(strings.TrimRight(strings.TrimSpace(s), "=")))
	return b, err == nil && len(b) > 0
}

var standard = strings.NewReplacer("-", "+", "_", "/")
