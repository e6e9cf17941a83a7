package config

import (
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"8s": 8 * time.Second, "-8s": -8 * time.Second, "14d": 14 * day, "0d": 0, "1d12h": 36 * time.Hour, "1d0.5s": day + time.Second/2,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "8", "d", "-1d", "1.5d", "1d24h", "1d-1h", "1dd", "1d ", "106752d", "2562047788015215d", "tomorrow"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q is read as %s", text, got)
		}
	}
}
