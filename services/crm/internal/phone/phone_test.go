package phone

import (
	"strings"
	"testing"
)

func TestNumbersAreCompared(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"+525512345678": "+525512345678", "+5215512345678": "+525512345678", "+52 (55) 1234-5678": "+525512345678", "+14155552671": "+14155552671",
		"+521234567890": "", "+000000000000": "", "5512345678": "", "": "", "+": "", "anonymous": "", "+1": "", "+52155123456789": "",
	} {
		if got := E164(raw); got != want {
			t.Errorf("%q is %q, want %q", raw, got, want)
		}
	}
	for stored, want := range map[string]bool{
		"(55) 1234-5678": true, "55 1234 5678": true, "+5215512345678": true, "0052 55 1234 5678": true, "+1 5512345678": false, "12345678": false, "": false, "call Zoë": false,
		"525512345678": true, "+525512345678": true,
	} {
		if got := Same(stored, "+525512345678"); got != want {
			t.Errorf("%q is the number: %t, want %t", stored, got, want)
		}
	}
}

// FuzzPhone: what people are matched by is E.164, and reading it again changes nothing.
func FuzzPhone(f *testing.F) {
	for _, s := range []string{"+525512345678", "+5215512345678", "+1 (415) 555-2671", "", "+", "+52", "tel:+49301234567", "+44 20 7946 0958;ext=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		n := E164(raw)
		if n == "" {
			return
		}
		if strings.Trim(n, "+0123456789") != "" || n[0] != '+' || E164(n) != n || !Same(n, n) || National(n) == "" {
			t.Errorf("%q became %q", raw, n)
		}
	})
}
