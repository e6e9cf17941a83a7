package bus

import (
	"encoding/hex"
	"strings"
	"testing"
)

func TestEscapeToken(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want string }{
		{"", "%"},
		{"cll_gBoLtd02pUI50QwXkFjB", "cll_gBoLtd02pUI50QwXkFjB"},
		{"1711646262471x768387119913843100", "1711646262471x768387119913843100"},
		{"a.b*c>d e/f", "a%2Eb%2Ac%3Ed%20e/f"},
		{"%", "%25"},
		{"nul\x00tab\tnl\n", "nul%00tab%09nl%0A"},
		{"é👍", "%C3%A9%F0%9F%91%8D"},
		{strings.Repeat("x", maxToken), strings.Repeat("x", maxToken)},
	} {
		if got := escapeToken(tt.in); got != tt.want {
			t.Errorf("escapeToken(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
	long := strings.Repeat("x", 10_000)
	if got := escapeToken(long); len(got) != maxToken || !strings.HasPrefix(got, long[:maxToken-66]+"%-") || got == escapeToken(long+"x") {
		t.Errorf("a long id becomes %q", got)
	}
}

// A call id is foreign: whatever it holds, it must be one literal token, and no two ids may share one.
func FuzzEscapeToken(f *testing.F) {
	for _, s := range []string{"", "%", "%-", "%%", "a.b", "*", ">", " ", "\x00", "é", strings.Repeat("%", 100), strings.Repeat("a", 300), "\xff"} {
		f.Add(s, s+"x")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		ta, tb := escapeToken(a), escapeToken(b)
		if (a == b) != (ta == tb) {
			t.Fatalf("%q and %q become %q and %q", a, b, ta, tb)
		}
		if ta == "" || len(ta) > maxToken || strings.IndexFunc(ta, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(".*>", r) }) >= 0 {
			t.Fatalf("%q becomes %q: not a token", a, ta)
		}
		if back, ok := unescapeToken(ta); ok != !strings.Contains(ta, "%-") || ok && back != a {
			t.Fatalf("%q becomes %q and is read back as %q, %t", a, ta, back, ok)
		}
	})
}

// unescapeToken reads back what escapeToken wrote: that it can be written shows that no id is lost. It reports false for a token that was cut, or never written by it.
func unescapeToken(t string) (string, bool) {
	if t == "%" {
		return "", true
	}
	var b strings.Builder
	for i := 0; i < len(t); i++ {
		if t[i] != '%' {
			b.WriteByte(t[i])
			continue
		}
		if i+3 > len(t) {
			return "", false
		}
		c, err := hex.DecodeString(t[i+1 : i+3])
		if err != nil {
			return "", false
		}
		b.WriteByte(c[0])
		i += 2
	}
	return b.String(), true
}
