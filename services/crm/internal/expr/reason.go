package expr

import (
	"errors"
	"fmt"
	"strings"

	"cel.dev/cel-go/interpreter"
)

const noSuchKey = "no such key"

// reasons are words of ours for how CEL's errors begin.
var reasons = []struct{ begins, words string }{
	{"division by zero", "division by zero"},
	{"index out of bounds", "index out of bounds; use [?INDEX] for what may be missing"},
	{"index out of range", "index out of bounds"},
	{"invalid RFC 3339 timestamp", "a text is no timestamp"},
	{"unsupported timestamp format", "a text is no timestamp"},
	{"integer overflow", "integer overflow"},
	{"modulus by zero", "modulus by zero"},
	{"no such overload", "no such overload: a value is of another type than its use asks for"},
	{"operation cancelled: actual cost limit exceeded", fmt.Sprintf("it cost more than %d for this call; loop over less, or not within a loop", maxCost)},
	{"type conversion error", "a value cannot become the type that is asked for"},
	{"unsigned integer overflow", "integer overflow"},
}

// reason says why the expression could not be evaluated. CEL quotes the values that it stumbles over, and reasons end up
// in logs and dead letters: of its words only a key that stands in the expression itself is repeated.
func (e *Expr) reason(err error) string {
	if errors.Is(err, interpreter.InterruptError{}) {
		return fmt.Sprintf("it took longer than %v for this call; loop over less, or not within a loop", maxTime)
	}
	text := err.Error()
	if key, ok := strings.CutPrefix(text, noSuchKey+": "); ok {
		if strings.Contains(e.text, key) {
			return noSuchKey + ": " + oneLine(key)
		}
		return noSuchKey
	}
	for _, r := range reasons {
		if strings.HasPrefix(text, r.begins) {
			return r.words
		}
	}
	return "it cannot be evaluated for this call"
}
