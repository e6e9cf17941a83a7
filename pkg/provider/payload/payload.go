// Package payload reads what providers send: it takes a webhook's JSON apart field by field, tolerant of types and
// oddities, and keeps what nobody took. It stands below the table of providers, for what the providers share.
package payload

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/onhook/onhook/pkg/retry"
)

// ErrIgnored is the decode result for an authentic delivery that is not about one call.
var ErrIgnored = errors.New("not about a call, ignored")

const (
	// maxDepth is far above what any provider sends and below what every reader of the call bears (SQLite: 1,000).
	maxDepth    = 500
	maxWarnings = 50
)

// document is what all objects of one body share.
type document struct {
	provider string
	warnings []string
	more     int // warnings beyond maxWarnings
}

// Parse opens body, which must be one JSON object, sent by the named provider. Its errors are retry.Never.
// Invalid UTF-8 and unpaired surrogate escapes become U+FFFD with a warning, so every value taken out is valid text.
func Parse(provider string, body []byte) (*Object, error) {
	o := &Object{doc: &document{provider: provider}, index: -1}
	body = bytes.TrimPrefix(body, []byte("\uFEFF"))
	if !utf8.Valid(body) {
		body = bytes.ToValidUTF8(body, []byte("\uFFFD"))
		o.doc.warn("$: invalid UTF-8 replaced")
	}
	body, repaired := repairSurrogates(body)
	if repaired {
		o.doc.warn("$: unpaired surrogate escapes replaced")
	}
	if !json.Valid(body) {
		return nil, o.fail("$", notJSON(body))
	}
	raw := strings.Trim(string(body), space)
	switch {
	case kindOf(raw) != kindObject:
		return nil, o.fail("$", kindOf(raw).String()+", want an object")
	case depth(raw) > maxDepth:
		return nil, o.fail("$", fmt.Sprintf("nested more than %d levels deep", maxDepth))
	}
	o.split(raw)
	return o, nil
}

func notJSON(body []byte) string {
	var raw json.RawMessage
	err := json.Unmarshal(body, &raw)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf("not JSON: %v (byte %d)", err, syntax.Offset)
	}
	return "not JSON"
}

// repairSurrogates replaces each \uD800 to \uDFFF that has no partner by \ufffd. Text cut in the middle of an emoji
// has them; PostgreSQL and most JSON readers refuse them.
func repairSurrogates(b []byte) (_ []byte, repaired bool) {
	if !bytes.Contains(b, []byte(`\ud`)) && !bytes.Contains(b, []byte(`\uD`)) {
		return b, false
	}
	out := b
	for i := 0; i < len(b); {
		switch high := surrogateAt(b, i); {
		case b[i] != '\\':
			i++
		case high == 0:
			i += 2 // an escape of another kind; its second byte may be a backslash
		case high == 'h' && surrogateAt(b, i+6) == 'l':
			i += 12
		default:
			if !repaired {
				out, repaired = bytes.Clone(b), true
			}
			copy(out[i:], `\ufffd`)
			i += 6
		}
	}
	return out, repaired
}

// surrogateAt is 'h' or 'l' when a high or low surrogate escape stands at b[i], else 0.
func surrogateAt(b []byte, i int) byte {
	if i+6 > len(b) || b[i] != '\\' || b[i+1] != 'u' || b[i+2]|0x20 != 'd' {
		return 0
	}
	switch b[i+3] | 0x20 {
	case '8', '9', 'a', 'b':
		return 'h'
	case 'c', 'd', 'e', 'f':
		return 'l'
	}
	return 0
}

func (d *document) warn(text string) {
	if len(d.warnings) == maxWarnings {
		d.more++
		return
	}
	d.warnings = append(d.warnings, text)
}

// Warnings are the oddities met so far, the flood of a hostile body cut off.
func (o *Object) Warnings() []string {
	if o.doc.more == 0 {
		return o.doc.warnings
	}
	return append(o.doc.warnings[:maxWarnings:maxWarnings], fmt.Sprintf("$: %d more warnings left out", o.doc.more))
}

// Warn notes an oddity of the named member.
func (o *Object) Warn(name, format string, args ...any) {
	if len(o.doc.warnings) == maxWarnings {
		o.doc.more++
		return
	}
	o.doc.warn(o.path(name) + ": " + fmt.Sprintf(format, args...))
}

// Never is the error of a body that cannot be decoded because of the named member, or of what is within it.
func (o *Object) Never(problem, name string, within ...string) error {
	path := o.path(name)
	for _, inner := range within {
		path += segment(inner)
	}
	return o.fail(path, problem)
}

func (o *Object) fail(path, problem string) error {
	return retry.Never(fmt.Errorf("%s: %s: %s", o.doc.provider, path, problem))
}

// NonZero is v, or nil when v holds nothing, so that an empty part is left out of the call.
func NonZero[T any](v T) *T {
	if reflect.ValueOf(&v).Elem().IsZero() {
		return nil
	}
	return &v
}

// Word is s as the tables of providers' words spell it: lower case, with underscores.
func Word(s string) string {
	return underscores.Replace(strings.ToLower(strings.TrimSpace(s)))
}

var underscores = strings.NewReplacer("-", "_", " ", "_")
