package postgres

import (
	"strconv"
	"strings"
)

// What type numeric, which jsonb keeps its numbers in, holds:
// https://www.postgresql.org/docs/current/datatype-numeric.html
const (
	numericWhole    = 131_072 // digits before the point
	numericFraction = 16_383  // digits after it
	numericExponent = 1<<30 - 2
)

// beyondNumeric reports whether number, which is JSON's, is one that numeric refuses.
func beyondNumeric(number string) bool {
	digits, exponent := strings.TrimPrefix(number, "-"), 0
	if i := strings.IndexAny(digits, "eE"); i >= 0 {
		var err error
		if exponent, err = strconv.Atoi(digits[i+1:]); err != nil || exponent > numericExponent || exponent < -numericExponent {
			return true
		}
		digits = digits[:i]
	}
	whole, fraction, _ := strings.Cut(digits, ".")
	if len(fraction)-exponent > numericFraction {
		return true
	}
	significant := strings.TrimLeft(whole+fraction, "0")
	return significant != "" && len(significant)-len(fraction)+exponent > numericWhole
}
