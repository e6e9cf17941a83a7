package payload

import (
	"math"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // naive times must be read alike on machines without a zone database

	"github.com/onhook/onhook/pkg/call"
)

// Number takes a number, or a string that holds one. The empty string is none.
func (o *Object) Number(name string) *float64 {
	m := o.open(name)
	if m == nil {
		return nil
	}
	k, literal := kindOf(m.raw), m.raw
	if k == kindString {
		if literal = strings.TrimSpace(unquote(m.raw)); literal == "" {
			m.taken = true
			return nil
		}
	}
	v, ok := number(literal)
	if !ok || k != kindString && k != kindNumber {
		o.Warn(name, "not a number")
		return nil
	}
	m.taken = true
	return &v
}

// number is finite and written in decimal.
func number(s string) (float64, bool) {
	if s == "" || strings.Trim(s, "0123456789+-.eE") != "" {
		return 0, false // ParseFloat would take "Inf" and "0x1p4"
	}
	v, err := strconv.ParseFloat(s, 64)
	return v, err == nil
}

// Integer takes a whole number.
func (o *Object) Integer(name string) *int64 {
	const exact = 1 << 53 // beyond it a float64 skips integers
	v := o.Number(name)
	if v == nil {
		return nil
	}
	if *v != math.Trunc(*v) || math.Abs(*v) > exact {
		o.PutBack(name)
		o.Warn(name, "not a whole number")
		return nil
	}
	n := int64(*v)
	return &n
}

// Seconds takes a duration in seconds and gives it in milliseconds.
func (o *Object) Seconds(name string) *int64 {
	const year = 366 * 24 * 60 * 60
	v := o.Number(name)
	if v == nil {
		return nil
	}
	if *v < 0 || *v > year {
		o.PutBack(name)
		o.Warn(name, "not a call's duration in seconds")
		return nil
	}
	ms := int64(math.Round(*v * 1000))
	return &ms
}

// Phone takes a telephone number; no country code is ever added.
func (o *Object) Phone(name string) *call.Phone {
	raw := o.Text(name)
	if strings.TrimSpace(raw) == "" {
		return nil
	}
	p := &call.Phone{Raw: raw}
	bare := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \t\u00a0\u202f-\u2010\u2011\u2012\u2013.()[]", r) {
			return -1
		}
		return r
	}, raw)
	if call.IsE164(bare) {
		p.E164 = bare
	}
	return p
}

// The spellings of ISO 8601 that are met; Parse takes fractions of a second in each.
var (
	withOffset    = []string{time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05Z07", "2006-01-02T15:04Z07:00"}
	withoutOffset = []string{"2006-01-02T15:04:05", "2006-01-02T15:04"}
)

// Time takes a moment: ISO 8601, or Unix time in seconds or milliseconds, as a number or in a string. Without an
// offset it is read in zone, an IANA name, with a warning; where zone is not known it cannot be read.
func (o *Object) Time(name, zone string) *call.Time {
	m := o.open(name)
	if m == nil {
		return nil
	}
	k, literal := kindOf(m.raw), m.raw
	if k == kindString {
		if literal = strings.TrimSpace(unquote(m.raw)); literal == "" {
			m.taken = true
			return nil
		}
	}
	t, naive := moment(literal)
	switch {
	case k != kindString && k != kindNumber, t.IsZero():
		o.Warn(name, "not a time")
		return nil
	case naive:
		loc, err := time.LoadLocation(zone)
		if err != nil || zone == "" || zone == "Local" {
			o.Warn(name, "has no UTC offset and its time zone is not known")
			return nil
		}
		o.Warn(name, "has no UTC offset, read in %s", loc)
		t = time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), loc)
	}
	if y := t.UTC().Year(); y < 1970 || y > 9999 {
		o.Warn(name, "not a plausible time")
		return nil
	}
	m.taken = true
	return call.At(t)
}

// moment is the zero Time when s cannot be read.
func moment(s string) (_ time.Time, naive bool) {
	if v, ok := number(s); ok {
		const (
			first   = 1e8  // 1973 in seconds; less is no call's time, but a counter or a date without hyphens
			firstMS = 1e11 // 1973 in milliseconds, the year 5138 in seconds
			lastMS  = 1e15
		)
		if v < first || v > lastMS {
			return time.Time{}, false
		}
		if v < firstMS {
			v *= 1000
		}
		return time.UnixMilli(int64(math.Round(v))), false
	}
	if len(s) > 10 && s[10] == ' ' {
		s = s[:10] + "T" + s[11:]
	}
	for _, layout := range withOffset {
		if t, err := time.Parse(layout, s); err == nil {
			return t, false
		}
	}
	for _, layout := range withoutOffset {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
