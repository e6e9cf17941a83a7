package expr

import (
	"strings"
	"testing"

	"github.com/onhook/onhook/pkg/call"
)

// CEL quotes what it stumbles over, and so a person's name and number got into dead letters.
func TestNoCallsValueInTheReasonOfAFailedExpression(t *testing.T) {
	t.Parallel()
	e := env(t)
	c := full()
	c.Customer.Name, c.Tags = `Juan [Perez(`, []string{"hunter2"}
	for text, want := range map[string]string{
		`timestamp(call.customer.name)`:                             "a text is no timestamp",
		`call.extracted[call.customer_phone.e164]`:                  "no such key",
		`call.extracted[call.customer.name]`:                        "no such key",
		`call.extracted.absent`:                                     "no such key: absent",
		`"abc".matches(call.customer.name)`:                         "it cannot be evaluated",
		`call.extracted.deep.a[int(call.customer_phone.raw)]`:       "index out of bounds",
		`int(call.customer.name)`:                                   "cannot",
		`double(call.customer.name)`:                                "cannot",
		`bool(call.customer.name)`:                                  "cannot",
		`duration(call.customer.name) > duration("1s")`:             "cannot",
		`call.started_at.getFullYear(call.customer.name)`:           "cannot",
		`call.customer.name.substring(5500 + call.tags.size())`:     "index out of bounds",
		`call.customer.name.charAt(5500)`:                           "index out of bounds",
		`{call.customer.name: 1}[call.customer_phone.e164]`:         "no such key",
		`call.extracted.note + 1`:                                   "no such overload",
		`call.extracted["days"][call.customer.name]`:                "no such key",
		`call.extracted["deep"][call.customer.name + "Juan"] == ""`: "no such key",
	} {
		x, err := e.Field(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		_, err = x.Value(c)
		if err == nil {
			t.Errorf("%s: no error", text)
			continue
		}
		said, ok := strings.CutPrefix(err.Error(), text+": ")
		if !ok || !strings.Contains(said, want) {
			t.Errorf("%s: %q, want %q", text, said, want)
		}
		for _, value := range []string{"Juan", "Perez", "5255", "55", "hunter2"} {
			if strings.Contains(said, value) {
				t.Errorf("%s: %q tells %q", text, said, value)
			}
		}
	}
}

// FuzzReason: whatever a call has for a name, no reason tells it.
func FuzzReason(f *testing.F) {
	for _, name := range []string{"Juan [Perez(", "no such key: Zoila", "division by zero", "\x00\xff", "12:99:99 Zoila"} {
		f.Add(name)
	}
	e := env(f)
	var all []*Expr
	for _, text := range []string{`timestamp(call.customer.name)`, `call.extracted[call.customer.name]`, `"".matches(call.customer.name)`, `int(call.customer.name)`} {
		x, err := e.Field(text)
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, x)
	}
	f.Fuzz(func(t *testing.T, name string) {
		c := &call.Call{Customer: &call.Customer{Name: name + "Qqq"}}
		for _, x := range all {
			if _, err := x.Value(c); err != nil && strings.Contains(err.Error(), "Qqq") {
				t.Errorf("%v", err)
			}
		}
	})
}
