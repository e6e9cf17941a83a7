package row

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/onhook/onhook/pkg/call"
)

// TestPlaces: the numbered places are those of the columns they are named for.
func TestPlaces(t *testing.T) {
	t.Parallel()
	names, _, _, _ := Columns()
	for place, want := range map[int]string{
		provider: "provider", source: "source", callID: "call_id", event: "event",
		customerPhone: "customer_phone", customerPhoneRaw: "customer_phone_raw",
	} {
		if names[place] != want {
			t.Errorf("place %d is %s, want %s", place, names[place], want)
		}
	}
}

// TestRecordHoldsTheRest: a field of the call is in a column of its own or in record, never in both and never in none.
func TestRecordHoldsTheRest(t *testing.T) {
	t.Parallel()
	columns := slices.Clone(parts[:4])
	for _, c := range texts {
		columns = append(columns, c.name)
	}
	for _, c := range times {
		columns = append(columns, c.name)
	}
	for _, c := range ints {
		columns = append(columns, c.name)
	}
	hidden := map[string]bool{}
	for f := range reflect.TypeFor[record]().Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			hidden[name] = true
		}
	}
	fields := map[string]bool{}
	for f := range reflect.TypeFor[call.Call]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		fields[name] = true
		if slices.Contains(columns, name) != hidden[name] {
			t.Errorf("%s: a column of its own: %t, hidden from record: %t", name, slices.Contains(columns, name), hidden[name])
		}
	}
	for _, name := range columns {
		if !fields[name] {
			t.Errorf("column %s is no field of the call", name)
		}
	}
}
