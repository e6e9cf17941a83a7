package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, written as 8MiB, 512KiB, 1GB or 1000.
type Size int64

// units, in the order in which a size of the same length is printed. KB is 1000 bytes, KiB 1024.
var units = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3},
	{"", 1}, {"B", 1},
}

// ParseSize reads a size: a whole number and a unit, or bytes without one.
func ParseSize(text string) (Size, error) {
	digits := strings.TrimRight(text, "BKMGTi")
	n, err := strconv.ParseUint(digits, 10, 63)
	for _, u := range units {
		if err == nil && text[len(digits):] == u.name && int64(n) <= math.MaxInt64/u.bytes {
			return Size(int64(n) * u.bytes), nil
		}
	}
	return 0, errors.New("want a size such as 8MiB, 512KiB, 1GB or a number of bytes")
}

// String prints the shortest form that is exact.
func (s Size) String() string {
	if s == 0 {
		return "0"
	}
	best := ""
	for _, u := range units {
		form := strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		if int64(s)%u.bytes == 0 && (best == "" || len(form) < len(best)) {
			best = form
		}
	}
	return best
}

// MarshalText returns String.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is ParseSize.
func (s *Size) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSize(string(text))
	return err
}

var errNoDuration = errors.New("want a duration such as 8s, 1m30s or 14d")

// ParseDuration is time.ParseDuration that knows days, of 24 hours, before the rest: 14d, 1d12h.
func ParseDuration(text string) (time.Duration, error) {
	days, rest, ok := strings.Cut(text, "d")
	if !ok {
		return time.ParseDuration(text)
	}
	n, err := strconv.ParseUint(days, 10, 16)
	if err != nil {
		return 0, errNoDuration
	}
	var d time.Duration
	if rest != "" {
		if d, err = time.ParseDuration(rest); err != nil {
			return 0, errNoDuration
		}
	}
	if d < 0 || d >= 24*time.Hour { // also keeps the sum from overflowing
		return 0, errNoDuration
	}
	return time.Duration(n)*24*time.Hour + d, nil
}
