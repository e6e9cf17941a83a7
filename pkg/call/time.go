package call

import (
	"encoding/json"
	"fmt"
	"time"
)

const timeLayout = "2006-01-02T15:04:05.000Z"

// Time is a moment in UTC with milliseconds, written as RFC 3339.
type Time struct{ time.Time }

// At is t as a call holds it.
func At(t time.Time) *Time {
	return &Time{t.UTC().Truncate(time.Millisecond)}
}

// Writable reports whether t is in the years 1 to 9999: RFC 3339 has four digits for a year, so that any other moment
// cannot be read back.
func (t Time) Writable() bool {
	year := t.UTC().Year()
	return year >= 1 && year <= 9999
}

// String is t as JSON holds it, without the quotes.
func (t Time) String() string { return t.UTC().Format(timeLayout) }

// MarshalJSON writes RFC 3339 in UTC with exactly three decimals.
func (t Time) MarshalJSON() ([]byte, error) {
	b := append(make([]byte, 0, len(timeLayout)+2), '"')
	b = t.UTC().AppendFormat(b, time.RFC3339) // several times as fast as a layout of one's own
	ms := t.Nanosecond() / 1e6
	return append(b[:len(b)-1], '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z', '"'), nil
}

// UnmarshalJSON reads RFC 3339 in any zone.
func (t *Time) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	v, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return fmt.Errorf("time %q is not RFC 3339", s)
	}
	*t = *At(v)
	return nil
}
