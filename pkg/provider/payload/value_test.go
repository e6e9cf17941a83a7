package payload_test

import (
	"strconv"
	"testing"

	"github.com/onhook/onhook/pkg/provider/payload"
)

func TestText(t *testing.T) {
	t.Parallel()
	for sent, want := range map[string]string{
		`"x"`: "x", `"\u00f1\n\"\\\/"`: "ñ\n\"\\/", `1.50`: "1.50", `-0`: "-0", `1e400`: "1e400", `12345678901234567890`: "12345678901234567890",
		`null`: "", `""`: "",
	} {
		o := parse(t, `{"a": `+sent+` }`)
		if got := o.Text("a"); got != want || len(o.Rest())+len(o.Warnings()) > 0 {
			t.Errorf("%s: %q, want %q; rest %s, warnings %q", sent, got, want, rest(t, o), o.Warnings())
		}
	}
	for _, sent := range []string{`true`, `[]`, `{}`} {
		o := parse(t, `{"a":`+sent+`}`)
		if got := o.Text("a"); got != "" || rest(t, o) != `{"a":`+sent+`}` || len(o.Warnings()) != 1 {
			t.Errorf("%s: %q, rest %s, warnings %q", sent, got, rest(t, o), o.Warnings())
		}
	}
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	const none = "none"
	for _, tt := range []struct {
		sent                     string
		number, integer, seconds string
	}{
		{`45`, "45", "45", "45000"},
		{`"45"`, "45", "45", "45000"},
		{`" 45.0 "`, "45", "45", "45000"},
		{`0`, "0", "0", "0"},
		{`1.2345`, "1.2345", none, "1235"},
		{`1e3`, "1000", "1000", "1000000"},
		{`-1`, "-1", "-1", none},
		{`1e17`, "1e+17", none, none},
		{`1e300`, "1e+300", none, none},
		{`1e999`, none, none, none},
		{`"NaN"`, none, none, none},
		{`"Inf"`, none, none, none},
		{`"0x1F"`, none, none, none},
		{`"1_000"`, none, none, none},
		{`"00:45"`, none, none, none},
		{`true`, none, none, none},
		{`[1]`, none, none, none},
	} {
		o := parse(t, `{"n":`+tt.sent+`,"i":`+tt.sent+`,"s":`+tt.sent+`}`)
		n, i, s := none, none, none
		if v := o.Number("n"); v != nil {
			n = strconv.FormatFloat(*v, 'g', -1, 64)
		}
		if v := o.Integer("i"); v != nil {
			i = strconv.FormatInt(*v, 10)
		}
		if v := o.Seconds("s"); v != nil {
			s = strconv.FormatInt(*v, 10)
		}
		if n != tt.number || i != tt.integer || s != tt.seconds {
			t.Errorf("%s: number %s, integer %s, seconds %s", tt.sent, n, i, s)
		}
		missing := 0
		for _, v := range []string{n, i, s} {
			if v == none {
				missing++
			}
		}
		if len(o.Rest()) != missing || len(o.Warnings()) != missing {
			t.Errorf("%s: rest %s, warnings %q, want %d of each", tt.sent, rest(t, o), o.Warnings(), missing)
		}
	}
	for _, sent := range []string{`null`, `""`, `" "`} {
		o := parse(t, `{"n":`+sent+`}`)
		if v := o.Number("n"); v != nil || len(o.Rest())+len(o.Warnings()) > 0 {
			t.Errorf("%s: %v, rest %s, warnings %q", sent, v, rest(t, o), o.Warnings())
		}
	}
}

func TestTime(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ sent, zone, want, warning string }{
		{`"2024-12-19T15:00:10Z"`, "", "2024-12-19T15:00:10.000Z", ""},
		{`"2026-06-08T14:23:15.482999-06:00"`, "", "2026-06-08T20:23:15.482Z", ""},
		{`"2026-06-08 14:23:15+0200"`, "", "2026-06-08T12:23:15.000Z", ""},
		{`"2026-06-08T14:23:15+02"`, "", "2026-06-08T12:23:15.000Z", ""},
		{`"2026-06-08T14:23+02:00"`, "", "2026-06-08T12:23:00.000Z", ""},
		{`1761559186`, "", "2025-10-27T09:59:46.000Z", ""},
		{`"1761559186.25"`, "", "2025-10-27T09:59:46.250Z", ""},
		{`"1761559186123"`, "", "2025-10-27T09:59:46.123Z", ""},
		{`1761559186123`, "", "2025-10-27T09:59:46.123Z", ""},
		{`"2025-07-01T10:00:00"`, "Europe/Berlin", "2025-07-01T08:00:00.000Z", "$.t: has no UTC offset, read in Europe/Berlin"},
		{`"2025-07-01 10:00"`, "UTC", "2025-07-01T10:00:00.000Z", "$.t: has no UTC offset, read in UTC"},
		{`"2025-07-01T10:00:00"`, "", "", "$.t: has no UTC offset and its time zone is not known"},
		{`"2025-07-01T10:00:00"`, "Local", "", "$.t: has no UTC offset and its time zone is not known"},
		{`"2025-07-01T10:00:00"`, "../etc/passwd", "", "$.t: has no UTC offset and its time zone is not known"},
		{`"2025-07-01"`, "UTC", "", "$.t: not a time"},
		{`"20250701"`, "UTC", "", "$.t: not a time"},
		{`"yesterday"`, "UTC", "", "$.t: not a time"},
		{`true`, "UTC", "", "$.t: not a time"},
		{`0`, "UTC", "", "$.t: not a time"},
		{`1e300`, "UTC", "", "$.t: not a time"},
		{`-1761559186`, "UTC", "", "$.t: not a time"},
		{`"0001-01-01T00:00:00Z"`, "UTC", "", "$.t: not a time"},
		{`"1901-01-01T00:00:00Z"`, "UTC", "", "$.t: not a plausible time"},
		{`"9999-12-31T23:59:59-12:00"`, "UTC", "", "$.t: not a plausible time"},
	} {
		o := parse(t, `{"t":`+tt.sent+`}`)
		got, warning := "", ""
		if v := o.Time("t", tt.zone); v != nil {
			got = v.String()
		}
		if w := o.Warnings(); len(w) > 0 {
			warning = w[0]
		}
		if got != tt.want || warning != tt.warning || (len(o.Rest()) == 0) != (tt.want != "") {
			t.Errorf("%s in %q: %q, warning %q, rest %s", tt.sent, tt.zone, got, warning, rest(t, o))
		}
	}
}

func TestPhone(t *testing.T) {
	t.Parallel()
	for sent, want := range map[string]string{
		`"+1-555-123-4567"`: "+15551234567", `"+52 1 (55) 1234.5678"`: "+5215512345678", `"+49\u00a0151 1234‑5678"`: "+4915112345678",
		`"555-123-4567"`: "", `"004915112345678"`: "", `"+000000000000"`: "", `"+1"`: "", `"+1234567890123456"`: "", `"anonymous"`: "", `4915112345678`: "",
	} {
		p := parse(t, `{"p":`+sent+`}`).Phone("p")
		if p == nil || p.E164 != want || p.Raw == "" {
			t.Errorf("%s: %+v, want %q", sent, p, want)
		}
	}
	for _, sent := range []string{`null`, `""`, `"  "`} {
		if p := parse(t, `{"p":`+sent+`}`).Phone("p"); p != nil {
			t.Errorf("%s: %+v", sent, p)
		}
	}
}

func TestValueReadsJSONInStrings(t *testing.T) {
	t.Parallel()
	for sent, want := range map[string]string{
		`{"a":1}`: `{"a":1}`, `"{\"a\": 1}"`: `{"a": 1}`, `" [1] "`: `[1]`, `"{a}"`: `"{a}"`, `"1"`: `"1"`, `"null"`: `"null"`, `7`: `7`,
		`"[\"\\ud83d\"]"`: `["\ufffd"]`, `null`: ``,
	} {
		if got := string(parse(t, `{"v":`+sent+`}`).Value("v")); got != want {
			t.Errorf("%s: %s, want %s", sent, got, want)
		}
	}
}

func TestBase64(t *testing.T) {
	t.Parallel()
	//nolint:gocritic // the white space around a signature is what is tested
	for sent, want := range map[string]string{"+/8=": "\xfb\xff", "-_8": "\xfb\xff", " YQ== ": "a", "": "", "=": "", "a": "", "%%%%": ""} {
		got, ok := payload.Base64(sent)
		if string(got) != want || ok != (want != "") {
			t.Errorf("%q: %q, %t", sent, got, ok)
		}
	}
}
