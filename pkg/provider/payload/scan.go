package payload

import (
	"encoding/json"
	"strings"
)

// The functions here walk JSON that json.Valid has accepted, so none of them checks it again.

const space = " \t\r\n"

type kind byte

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindString
	kindArray
	kindObject
)

func (k kind) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "an array", "an object"}[k]
}

func kindOf(raw string) kind {
	switch raw[0] {
	case '{':
		return kindObject
	case '[':
		return kindArray
	case '"':
		return kindString
	case 't', 'f':
		return kindBool
	case 'n':
		return kindNull
	}
	return kindNumber
}

// unquote is the text of a JSON string. Without escapes it shares raw's memory.
func unquote(raw string) string {
	if strings.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	var s string
	if err := json.Unmarshal([]byte(raw), &s); err != nil {
		return raw[1 : len(raw)-1] // out of reach: raw is a valid string
	}
	return s
}

// depth is how many brackets are open at the deepest place of s.
func depth(s string) int {
	open, deepest := 0, 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			i = skipString(s, i) - 1
		case '{', '[':
			open++
			deepest = max(deepest, open)
		case '}', ']':
			open--
		}
	}
	return deepest
}

// skip is the index after the value that starts at s[i].
func skip(s string, i int) int {
	switch s[i] {
	case '"':
		return skipString(s, i)
	case '{', '[':
		for open := 0; ; {
			switch s[i] {
			case '"':
				i = skipString(s, i)
				continue
			case '{', '[':
				open++
			case '}', ']':
				open--
			}
			if i++; open == 0 {
				return i
			}
		}
	}
	for i < len(s) && strings.IndexByte(",]}"+space, s[i]) < 0 {
		i++
	}
	return i
}

func skipString(s string, i int) int {
	for i++; s[i] != '"'; i++ {
		if s[i] == '\\' {
			i++
		}
	}
	return i + 1
}

func skipSpace(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\n' || s[i] == '\t' || s[i] == '\r') {
		i++
	}
	return i
}

// eachMember calls fn with the members of an object, in the order sent; key is the JSON string as it stands.
func eachMember(raw string, fn func(key, value string)) {
	for i := skipSpace(raw, 1); raw[i] != '}'; {
		if raw[i] == ',' {
			i = skipSpace(raw, i+1)
		}
		end := skipString(raw, i)
		key := raw[i:end]
		i = skipSpace(raw, skipSpace(raw, end)+1)
		end = skip(raw, i)
		fn(key, raw[i:end])
		i = skipSpace(raw, end)
	}
}

// elements are the values of an array.
func elements(raw string) []string {
	var out []string
	for i := skipSpace(raw, 1); raw[i] != ']'; {
		if raw[i] == ',' {
			i = skipSpace(raw, i+1)
		}
		end := skip(raw, i)
		out = append(out, raw[i:end])
		i = skipSpace(raw, end)
	}
	return out
}
