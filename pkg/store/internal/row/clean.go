package row

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// found is what had to be replaced in a call because an engine cannot hold it. The same is replaced for every engine,
// so that a call reads the same wherever it is stored. The call's id alone is kept as it was; see idKey.
type found uint8

const (
	nul       found = 1 << iota // U+0000, which neither text nor jsonb holds; now U+2400, its visible symbol
	surrogate                   // half of a surrogate pair, written as an escape; now U+FFFD
	badUTF8                     // bytes that are not UTF-8; now U+FFFD
)

// warnings name what was found, as a call's warnings hold it.
func (f found) warnings() []string {
	var w []string
	for _, k := range [...]struct {
		bit  found
		name string
	}{{nul, "nul_replaced"}, {surrogate, "surrogate_replaced"}, {badUTF8, "invalid_utf8_replaced"}} {
		if f&k.bit != 0 {
			w = append(w, k.name)
		}
	}
	return w
}

// cleanText replaces in s what no engine holds.
func cleanText(s string) (string, found) {
	var f found
	if !utf8.ValidString(s) {
		s, f = strings.ToValidUTF8(s, "\uFFFD"), badUTF8
	}
	if strings.IndexByte(s, 0) >= 0 {
		s, f = strings.ReplaceAll(s, "\x00", "\u2400"), f|nul
	}
	return s, f
}

// cleanJSON replaces in b, a valid JSON text, what jsonb refuses. It works in place unless b is not UTF-8: every escape
// is replaced by one of the same length.
func cleanJSON(b []byte) ([]byte, found) {
	var f found
	if !utf8.Valid(b) {
		b, f = bytes.ToValidUTF8(b, []byte("\uFFFD")), badUTF8
	}
	for i := 0; ; {
		j := bytes.IndexByte(b[i:], '\\')
		if j < 0 {
			return b, f
		}
		i += j
		unit, ok := escape(b[i:])
		switch {
		case !ok: // a short escape; stepping over both of its bytes keeps \\u0000 apart from \u0000
			i = min(i+2, len(b))
			continue
		case unit == 0:
			copy(b[i+2:], "2400")
			f |= nul
		case unit>>11 == 0xD800>>11: // a surrogate
			low, ok := escape(b[i+6:])
			if unit < 0xDC00 && ok && low>>10 == 0xDC00>>10 {
				i += 6
				break
			}
			copy(b[i+2:], "fffd")
			f |= surrogate
		}
		i += 6
	}
}

// escape reads the UTF-16 unit of the \uXXXX that b begins with.
func escape(b []byte) (unit uint16, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, c := range b[2:6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		unit = unit<<4 | uint16(c)
	}
	return unit, true
}
