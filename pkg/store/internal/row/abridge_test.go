package row

import (
	"math"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestAbridge(t *testing.T) {
	t.Parallel()
	const limit = 100
	for _, s := range []string{strings.Repeat("x", limit+1), strings.Repeat("😀", 50), "x" + strings.Repeat("😀", 50), "xy" + strings.Repeat("é", 200)} {
		got := abridge(s, limit)
		if len(got) > limit || len(got) < limit-3 || !utf8.ValidString(got) {
			t.Errorf("%q has %d bytes, want up to %d", got, len(got), limit)
		}
		if abridge(s+"x", limit) == got {
			t.Errorf("%q stands for two texts", got)
		}
	}
	if s := strings.Repeat("x", limit); abridge(s, limit) != s {
		t.Error("a text of just the limit was abridged")
	}
}

// TestTwoIDsWithOneKey: the second of each pair once had, or could be made to have, the key of the first.
func TestTwoIDsWithOneKey(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 200)
	for _, limit := range []int{100, math.MaxInt} {
		for _, ids := range [][2]string{
			{"nul\x00x", "nul\u2400x"},
			{"\xff", "\uFFFD"},
			{"\xff", "\xfe"},
			{"\xff\xfe", "\xff"},
			{long + "\x00", long + "\u2400"},
			{"a\x00", idKey("a\x00", limit)},
			{long, idKey(long, 100)},
			{idKey("a\x00", limit), idKey(idKey("a\x00", limit), limit)},
		} {
			a, b := idKey(ids[0], limit), idKey(ids[1], limit)
			if a == b {
				t.Errorf("%q and %q have the key %q", ids[0], ids[1], a)
			}
			for _, key := range [...]string{a, b} {
				if clean, found := cleanText(key); clean != key || found != 0 || len(key) > limit {
					t.Errorf("the key %q is not one that every engine takes", key)
				}
			}
		}
		for _, id := range []string{"", "id", "a…b", "…" + strings.Repeat("x", 64), strings.Repeat("0", 64)} {
			if got := idKey(id, limit); got != id {
				t.Errorf("%q has the key %q, want itself", id, got)
			}
		}
	}
}
