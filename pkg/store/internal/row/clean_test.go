package row

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCleanJSON(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		in, want string
		found    found
	}{
		{`{}`, `{}`, 0},
		{`"\u0000"`, `"\u2400"`, nul},
		{`"\\u0000"`, `"\\u0000"`, 0},
		{`"\\\u0000"`, `"\\\u2400"`, nul},
		{`"\\\\u0000\"\u0000"`, `"\\\\u0000\"\u2400"`, nul},
		{`"\u0001\u00e9\u2028"`, `"\u0001\u00e9\u2028"`, 0},
		{`"\ud83d\ude00"`, `"\ud83d\ude00"`, 0},
		{`"\uD83D\uDE00"`, `"\uD83D\uDE00"`, 0},
		{`"\ud83d"`, `"\ufffd"`, surrogate},
		{`"\ude00"`, `"\ufffd"`, surrogate},
		{`"\ude00\ud83d"`, `"\ufffd\ufffd"`, surrogate},
		{`"\ud83d\ud83d\ude00"`, `"\ufffd\ud83d\ude00"`, surrogate},
		{`"\ud83d\\ude00"`, `"\ufffd\\ude00"`, surrogate},
		{`"\ud83dx\ude00"`, `"\ufffdx\ufffd"`, surrogate},
		{`{"\u0000":"\ud800"}`, `{"\u2400":"\ufffd"}`, nul | surrogate},
		{"\"\xff\\u0000\"", `"` + "\uFFFD" + `\u2400"`, nul | badUTF8},
		{"\"\xed\xa0\x80\"", "\"\uFFFD\"", badUTF8}, // a surrogate in UTF-8's clothes
	} {
		got, f := cleanJSON([]byte(test.in))
		if string(got) != test.want || f != test.found {
			t.Errorf("%s: %s and %v, want %s and %v", test.in, got, f.warnings(), test.want, test.found.warnings())
		}
	}
}

func TestCleanText(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		in, want string
		found    found
	}{
		{"", "", 0},
		{`a\u0000 😀`, `a\u0000 😀`, 0},
		{"a\x00\x00", "a␀␀", nul},
		{"a\xff", "a\uFFFD", badUTF8},
		{"\xff\x00", "\uFFFD␀", nul | badUTF8},
	} {
		if got, f := cleanText(test.in); got != test.want || f != test.found {
			t.Errorf("%q: %q and %v, want %q and %v", test.in, got, f.warnings(), test.want, test.found.warnings())
		}
	}
}

// FuzzCleanJSON: what comes out is JSON that any engine takes, and means what went in but for what was replaced.
func FuzzCleanJSON(f *testing.F) {
	for _, seed := range []string{
		`{"a":"\u0000","b":["\ud800\udc00","\\u0000"]}`, `"\udc00\ud800"`, "\"\xff\\\\\\ud83d\\ude00\"", `1.0`, `"\ud83d\u0000"`, `"\\\"\u0000`, `\`, `\u`, `\ud800\`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var before, after any
		if json.Unmarshal(in, &before) != nil {
			cleanJSON(in) // must not panic
			return
		}
		out, found := cleanJSON([]byte(string(in)))
		if !utf8.Valid(out) {
			t.Fatalf("%q is not UTF-8", out)
		}
		if err := json.Unmarshal(out, &after); err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		if holdsNUL(after) {
			t.Fatalf("%q still holds a NUL", out)
		}
		if found == 0 && string(out) != string(in) {
			t.Fatalf("%q became %q, and nothing is said of it", in, out)
		}
		// A decoder, too, reads half a pair and a bad byte as U+FFFD; a run of bad bytes is one here.
		if found&badUTF8 == 0 && !reflect.DeepEqual(replaceNUL(before), after) && !collides(before) {
			t.Fatalf("%q became %q", in, out)
		}
		if again, found := cleanJSON([]byte(string(out))); found != 0 || string(again) != string(out) {
			t.Fatalf("%q is not clean yet: %q", out, again)
		}
	})
}

// FuzzCleanText: what comes out is text that any engine takes, and cleaning it again changes nothing.
func FuzzCleanText(f *testing.F) {
	f.Add("a\x00b\xff")
	f.Fuzz(func(t *testing.T, in string) {
		out, found := cleanText(in)
		if !utf8.ValidString(out) || strings.Contains(out, "\x00") || (found == 0) != (out == in) {
			t.Fatalf("%q became %q, found %v", in, out, found.warnings())
		}
		if again, found := cleanText(out); again != out || found != 0 {
			t.Fatalf("%q is not clean yet", out)
		}
	})
}

func holdsNUL(v any) bool {
	switch v := v.(type) {
	case string:
		return strings.Contains(v, "\x00")
	case []any:
		for _, e := range v {
			if holdsNUL(e) {
				return true
			}
		}
	case map[string]any:
		for k, e := range v {
			if holdsNUL(k) || holdsNUL(e) {
				return true
			}
		}
	}
	return false
}

func replaceNUL(v any) any {
	switch v := v.(type) {
	case string:
		return strings.ReplaceAll(v, "\x00", "\u2400")
	case []any:
		for i := range v {
			v[i] = replaceNUL(v[i])
		}
		return v
	case map[string]any:
		m := map[string]any{}
		for k, e := range v {
			m[strings.ReplaceAll(k, "\x00", "\u2400")] = replaceNUL(e)
		}
		return m
	}
	return v
}

// collides reports whether two names of an object become one, in which case the last of them wins.
func collides(v any) bool {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			if collides(e) {
				return true
			}
		}
	case map[string]any:
		names := map[string]bool{}
		for k, e := range v {
			names[strings.ReplaceAll(k, "\x00", "\u2400")] = true
			if collides(e) {
				return true
			}
		}
		return len(names) < len(v)
	}
	return false
}
