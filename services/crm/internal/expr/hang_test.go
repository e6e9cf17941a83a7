package expr

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/onhook/onhook/pkg/call"
)

// large is a call that is dear to look at: many turns, and much that was extracted.
func large() *call.Call {
	c := full()
	values := make(map[string]int)
	for i := range 20_000 {
		values[fmt.Sprintf("key number %d", i)] = i
	}
	raw, err := json.Marshal(values)
	if err != nil {
		panic(err)
	}
	c.Extracted["large"], c.Customer.Attributes = raw, map[string]json.RawMessage{"large": raw}
	c.Actions = []call.Action{{Name: "a", Params: raw}}
	for range 5000 {
		c.Transcript.Turns = append(c.Transcript.Turns, call.Turn{Role: call.RoleAgent, Text: "hm"})
	}
	return c
}

// Each turn of the loop parsed all JSON of the call again, which took minutes.
func TestJSONInALoopIsDecodedOnce(t *testing.T) {
	t.Parallel()
	e, c := env(t), large()
	for _, text := range []string{
		`call.transcript.turns.exists(t, "zz" in call.extracted)`,
		`call.transcript.turns.exists(t, "zz" in call.customer.attributes)`,
		`call.transcript.turns.exists(t, "zz" in call.actions[0].params)`,
		`call.transcript.turns.exists(t, call.customer != call.customer)`,
	} {
		x, err := e.Bool(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := x.True(c); got || err != nil { // maxTime is not met
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

// CEL counts the comparison of two maps by the number of their keys, whatever is in these.
func TestExpressionThatCELTakesForCheapEndsInTime(t *testing.T) {
	t.Parallel()
	x, err := env(t).Bool(`call.transcript.turns.exists(t, call.extracted != call.extracted)`)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := x.True(large()); err == nil || !strings.Contains(err.Error(), "took longer than 1s") {
		t.Errorf("%v", err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}
