package altur

import (
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// unescape rewrites valid JSON so that only what must be escaped is, as JSON.stringify and Python's
// ensure_ascii=False do.
func unescape(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); {
		if b[i] != '\\' {
			out = append(out, b[i])
			i++
			continue
		}
		switch b[i+1] {
		case 'u':
			r, n := rune16(b, i)
			out = appendRune(out, r)
			i += n
		case '/':
			out = append(out, '/')
			i += 2
		default:
			out = append(out, b[i], b[i+1])
			i += 2
		}
	}
	return out
}

// rune16 reads the \u escape at b[i], with its partner if it is half of a pair, and how many bytes that took.
func rune16(b []byte, i int) (r rune, n int) {
	unit := func(i int) rune {
		if i+6 > len(b) || b[i] != '\\' || b[i+1] != 'u' {
			return 0
		}
		v, err := strconv.ParseUint(string(b[i+2:i+6]), 16, 16)
		if err != nil {
			return 0
		}
		return rune(v)
	}
	r = unit(i)
	if pair := utf16.DecodeRune(r, unit(i+6)); pair != utf8.RuneError {
		return pair, 12
	}
	return r, 6
}

func appendRune(out []byte, r rune) []byte {
	const short = "\b\f\n\r\t"
	switch {
	case r == '"' || r == '\\':
		return append(out, '\\', byte(r))
	case r < ' ':
		for i := range len(short) {
			if short[i] == byte(r) {
				return append(out, '\\', "bfnrt"[i])
			}
		}
		return fmt.Appendf(out, `\u%04x`, r)
	case utf16.IsSurrogate(r):
		return fmt.Appendf(out, `\u%04x`, r)
	}
	return utf8.AppendRune(out, r)
}

// escape rewrites unescaped JSON in ASCII, as Python's json.dumps does by default.
func escape(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case r < 0x7f:
			out = append(out, byte(r))
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		b = b[n:]
	}
	return out
}
