package bus

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/onhook/onhook/pkg/call"
)

// maxToken bounds an escaped call id, so that a subject stays well below what the server takes for one.
const maxToken = 256

// callSubject is where a call lives. Two calls have the same subject exactly when they are the same call.
func callSubject(c *call.Call) string {
	return "calls." + string(c.Event) + "." + c.Provider + "." + c.Source + "." + escapeToken(c.CallID)
}

// escapeToken writes s as one subject token. What a token cannot hold (".", "*", ">", white space, control characters,
// anything beyond ASCII) and "%" itself become %XX per byte, so that it can be read back; an empty s becomes "%". A
// result above maxToken is cut and ends in "%-" and the SHA-256 of s, which no escape can produce.
func escapeToken(s string) string {
	if s == "" {
		return "%"
	}
	if len(s) <= maxToken && strings.IndexFunc(s, unsafeInToken) < 0 {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; unsafeInToken(rune(c)) {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
		if b.Len() > maxToken {
			sum := sha256.Sum256([]byte(s))
			return b.String()[:maxToken-2*sha256.Size-2] + "%-" + hex.EncodeToString(sum[:])
		}
	}
	return b.String()
}

func unsafeInToken(r rune) bool {
	return r <= ' ' || r >= 0x7f || r == '.' || r == '*' || r == '>' || r == '%'
}
