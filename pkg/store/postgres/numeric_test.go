package postgres_test

import (
	"strings"
	"testing"

	"github.com/onhook/onhook/pkg/store/postgres"
)

// numbers at the bounds of numeric; numberTooLarge asks a server the same.
var numbers = []struct {
	number string
	beyond bool
}{
	{"0", false},
	{"-1.50e3", false},
	{"1e131071", false},
	{"-9.9E+131071", false},
	{"1e131072", true},
	{"0.0001e131075", false},
	{"0.0001e131076", true},
	{"1e-16383", false},
	{"1e-16384", true},
	{"1.5e-16383", true},
	{"0e200000", false},
	{"0e-20000", true},
	{"0e1073741823", true},
	{"1e999999999", true},
	{"1e99999999999999999999", true},
	{"-1e-99999999999999999999", true},
	{"0." + strings.Repeat("1", 16_383), false},
	{"0." + strings.Repeat("1", 16_384), true},
	{"0." + strings.Repeat("1", 16_384) + "e1", false},
	{strings.Repeat("1", 131_072), false},
	{strings.Repeat("1", 131_073), true},
	{strings.Repeat("1", 131_073) + "e-1", false},
	{strings.Repeat("1", 131_073) + "e-17000", true},
}

func TestBeyondNumeric(t *testing.T) {
	t.Parallel()
	for _, test := range numbers {
		if got := postgres.BeyondNumeric(test.number); got != test.beyond {
			t.Errorf("%.40s: %t, want %t", test.number, got, test.beyond)
		}
	}
}
