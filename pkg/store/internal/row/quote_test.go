package row

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/onhook/onhook/pkg/call"
)

func TestQuoteNumbers(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		``:                                    ``,
		`null`:                                `null`,
		`9`:                                   `"9"`,
		`{"9":"9","a":[9,1,-9e+9]}`:           `{"9":"9","a":["9",1,"-9e+9"]}`,
		`["\"9",9,"\\\\",9,"\\\"9"]`:          `["\"9","9","\\\\","9","\\\"9"]`,
		"{ \"a\" : 9.5E-9 , \"b\" : true }\n": "{ \"a\" : \"9.5E-9\" , \"b\" : true }\n",
	} {
		got, ok := quoteNumbers(in, func(n string) bool { return strings.Contains(n, "9") })
		if got != want || ok != (in != want) {
			t.Errorf("%s: %s, %t; want %s", in, got, ok, want)
		}
	}
}

// TestNumberThatCostTheCall: the number is a string, the warnings say so once, and nothing else changes.
func TestNumberThatCostTheCall(t *testing.T) {
	t.Parallel()
	for _, was := range []string{``, `"first"`, `"first","number_quoted"`} {
		c := &call.Call{CallID: "a", Extensions: map[string]json.RawMessage{"n": json.RawMessage(`1e999999999`)}}
		c.Customer = &call.Customer{Name: "<a href=x> & \u2028", Attributes: map[string]json.RawMessage{"n": json.RawMessage(`1.0`)}}
		if was != "" {
			if err := json.Unmarshal([]byte("["+was+"]"), &c.Warnings); err != nil {
				t.Fatal(err)
			}
		}
		raw, err := call.NewRaw(c)
		if err != nil {
			t.Fatal(err)
		}
		r := NewBatch([]*call.Raw{raw}, 1024).Rows[0]
		if _, ok, err := r.QuoteNumbers(func(string) bool { return false }); ok || err != nil {
			t.Errorf("without such a number: %t, %v", ok, err)
		}
		quoted, ok, err := r.QuoteNumbers(func(n string) bool { return n == "1e999999999" })
		if !ok || err != nil {
			t.Fatalf("%t, %v", ok, err)
		}
		if got, want := quoted.JSON[3], `{"n":"1e999999999"}`; got != want {
			t.Errorf("extensions %s, want %s", got, want)
		}
		var record call.Call
		if err := json.Unmarshal([]byte(quoted.JSON[4]), &record); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(strings.Join(record.Warnings, " "), numberQuoted); n != 1 || record.Customer.Name != c.Customer.Name || string(record.Customer.Attributes["n"]) != "1.0" {
			t.Errorf("%s", quoted.JSON[4])
		}
		if r.JSON[3] != `{"n":1e999999999}` {
			t.Error("the row itself was changed")
		}
	}
}
