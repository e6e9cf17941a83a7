package row

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

const mark = "…" // before the SHA-256 that stands for what is not there

// abridge is s, or where s has more than limit bytes, its beginning and its SHA-256: an index holds no text of any
// length.
func abridge(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return marked(s, s, limit)
}

// idKey is a call's id as the column call_id holds it: as it is, or marked with its SHA-256 where it is long or had to
// be cleaned. Cleaned alone, the two ids nul\u0000x and nul\u2400x once became one row. An id that already ends as a
// marked one does is marked too, so no two ids have the same key.
func idKey(id string, limit int) string {
	clean, f := cleanText(id)
	if f == 0 && len(id) <= limit && !isMarked(id) {
		return id
	}
	return marked(clean, id, limit)
}

// marked is the beginning of s and the SHA-256 of whole, in up to limit bytes.
func marked(s, whole string, limit int) string {
	sum := sha256.Sum256([]byte(whole))
	if cut := limit - len(mark) - hex.EncodedLen(len(sum)); len(s) > cut {
		for !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut]
	}
	return s + mark + hex.EncodeToString(sum[:])
}

// isMarked reports whether s ends as marked texts do.
func isMarked(s string) bool {
	at := len(s) - hex.EncodedLen(sha256.Size)
	return at >= 0 && strings.HasSuffix(s[:at], mark) && strings.Trim(s[at:], "0123456789abcdef") == ""
}
