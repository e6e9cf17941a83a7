package payload_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/onhook/onhook/pkg/provider/payload"
	"github.com/onhook/onhook/pkg/retry"
)

func parse(t *testing.T, body string) *payload.Object {
	t.Helper()
	o, err := payload.Parse("altur", []byte(body))
	if err != nil {
		t.Fatalf("%.100q: %v", body, err)
	}
	return o
}

func rest(t *testing.T, o *payload.Object) string {
	t.Helper()
	b, err := json.Marshal(o.Rest())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ body, want string }{
		{"", "altur: $: not JSON: unexpected end of JSON input (byte 0)"},
		{"\x00\x01", `altur: $: not JSON: invalid character '\x00' looking for beginning of value (byte 1)`},
		{`{"a":1} x`, "altur: $: not JSON: invalid character 'x' after top-level value (byte 9)"},
		{`{"a":1}{"b":2}`, "altur: $: not JSON: invalid character '{' after top-level value (byte 8)"},
		{`{"a":NaN}`, "altur: $: not JSON: invalid character 'N' looking for beginning of value (byte 6)"},
		{`null`, "altur: $: null, want an object"},
		{` [1]`, "altur: $: an array, want an object"},
		{`"x"`, "altur: $: a string, want an object"},
		{`7`, "altur: $: a number, want an object"},
		{`{"a":` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + `}`, "altur: $: nested more than 500 levels deep"},
		{strings.Repeat(`{"a":`, 9999) + "1" + strings.Repeat("}", 9999), "altur: $: nested more than 500 levels deep"},
		{strings.Repeat(`{"a":`, 20000) + "1" + strings.Repeat("}", 20000), "altur: $: not JSON: invalid character '{' exceeded max depth (byte 50001)"},
	} {
		_, err := payload.Parse("altur", []byte(tt.body))
		if kind, _ := retry.Classify(err); kind != retry.Dead || err.Error() != tt.want {
			t.Errorf("%.40q: %v (kind %d), want %s", tt.body, err, kind, tt.want)
		}
	}
}

func TestParseRepairs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		body, text string
		warned     bool
	}{
		{"\xef\xbb\xbf {\"a\":\"x\"}\r\n", "x", false},
		{"{\"a\":\"x\xffy\"}", "x\uFFFDy", true},
		{`{"a":"\ud83d\udc4d"}`, "👍", false},
		{`{"a":"cut \ud83d"}`, "cut \uFFFD", true},
		{`{"a":"\udc4d\uD83D\uDC4D\ud83dx"}`, "\uFFFD👍\uFFFDx", true},
		{`{"a":"\\ud83d"}`, `\ud83d`, false},
		{`{"a":"\\\ud83d\\"}`, "\\\uFFFD\\", true},
	} {
		o := parse(t, tt.body)
		raw := parse(t, tt.body).Raw("a")
		if got := o.Text("a"); got != tt.text {
			t.Errorf("%q: %q, want %q", tt.body, got, tt.text)
		}
		if got := len(o.Warnings()) > 0; got != tt.warned {
			t.Errorf("%q: warnings %q", tt.body, o.Warnings())
		}
		if strings.Contains(string(raw), `\ud83dx`) || !utf8.Valid(raw) || !json.Valid(raw) {
			t.Errorf("%q: raw %q", tt.body, raw)
		}
	}
}

// The body belongs to the caller, who may use its memory again.
func TestParseKeepsNothingOfTheBody(t *testing.T) {
	t.Parallel()
	body := []byte(`{"a":"text","b":{"c":1}}`)
	o, err := payload.Parse("altur", body)
	if err != nil {
		t.Fatal(err)
	}
	clear(body)
	if o.Text("a") != "text" || rest(t, o) != `{"b":{"c":1}}` {
		t.Error("changed with the body")
	}
}

func TestDuplicateMembers(t *testing.T) {
	t.Parallel()
	o := parse(t, `{"a":1,"A":2,"a":3,"b":{"x":1,"x":2}}`)
	if got := o.Text("a"); got != "3" {
		t.Errorf("a = %s, want the last", got)
	}
	if got := o.Object("b").Text("x"); got != "2" {
		t.Errorf("x = %s, want the last", got)
	}
	want := []string{"$.a: sent more than once, the last counts", "$.b.x: sent more than once, the last counts"}
	if diff := cmp.Diff(want, o.Warnings()); diff != "" {
		t.Error(diff)
	}
	if got := rest(t, o); got != `{"A":2}` {
		t.Errorf("rest %s", got)
	}
	var many strings.Builder // beyond a linear search
	for i := range 40 {
		fmt.Fprintf(&many, `"k%d":%d,`, i, i)
	}
	o = parse(t, "{"+many.String()+many.String()+`"z":0}`)
	if o.Text("k17") != "17" || o.Text("z") != "0" || len(o.Warnings()) != 40 {
		t.Errorf("warnings %q", o.Warnings())
	}
}

func TestRestIsNestedAsSent(t *testing.T) {
	t.Parallel()
	o := parse(t, `{"a":{"b":{"c":1,"d":2},"e":null},"l":[{"x":1,"y":2},{"x":3},null,5],"t":["p",{"q":1},7],"\u0065mpty":{},"n":null,"keep" : [ 1 ]}`)
	o.Object("a").Object("b").Text("c")
	list := o.Objects("l")
	if len(list) != 2 {
		t.Fatalf("%d objects", len(list))
	}
	for _, e := range list {
		e.Text("x")
	}
	if got := o.Strings("t"); !slices.Equal(got, []string{"p", "7"}) {
		t.Errorf("strings %q", got)
	}
	o.Object("empty")
	want := `{"a":{"b":{"d":2},"e":null},"keep":[1],"l":[{"y":2},{},null,5],"n":null,"t":[null,{"q":1},null]}`
	if got := rest(t, o); got != want {
		t.Errorf("rest %s\nwant %s", got, want)
	}
	wantWarnings := []string{"$.l[3]: a number, want an object", "$.t[1]: an object, want a string"}
	if diff := cmp.Diff(wantWarnings, o.Warnings()); diff != "" {
		t.Error(diff)
	}
}

func TestNilObject(t *testing.T) {
	t.Parallel()
	o := parse(t, `{"a":null}`).Object("a")
	if o.Text("x") != "" || o.Number("x") != nil || o.Map("x") != nil || o.Objects("x") != nil || o.Strings("x") != nil ||
		o.Raw("x") != nil || o.Value("x") != nil || o.Object("x").Time("y", "UTC") != nil || o.Has("x") || o.Holds("x") {
		t.Error("something from nothing")
	}
	o.PutBack("x")
	for name := range o.Names() {
		t.Errorf("member %s", name)
	}
}

func TestWarningsAreCapped(t *testing.T) {
	t.Parallel()
	o := parse(t, `{"a":[`+strings.Repeat("1,", 100_000)+`1],"`+strings.Repeat("é", 100_000)+`":true}`)
	o.Objects("a")
	got := o.Warnings()
	if len(got) != 51 || got[50] != "$: 99951 more warnings left out" {
		t.Errorf("%d warnings, last %q", len(got), got[len(got)-1])
	}
	o = parse(t, `{"`+strings.Repeat("é", 100_000)+`":true}`)
	for name := range o.Names() {
		o.Text(name)
	}
	if got := o.Warnings(); len(got) != 1 || len(got[0]) > 200 {
		t.Errorf("warnings %.300q", got)
	}
}

func TestPaths(t *testing.T) {
	t.Parallel()
	o := parse(t, `{"a b":[{"c.d":true}],"é":true,"":true}`)
	for _, e := range o.Objects("a b") {
		e.Text("c.d")
	}
	o.Text("é")
	o.Text("")
	want := []string{`$["a b"][0]["c.d"]: a boolean, want a string`, `$["é"]: a boolean, want a string`, `$[""]: a boolean, want a string`}
	if diff := cmp.Diff(want, o.Warnings()); diff != "" {
		t.Error(diff)
	}
}
