package row

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

const numberQuoted = "number_quoted"

// QuoteNumbers is r with the JSON numbers that refused chooses as strings, which the call's warnings say; false where
// there are none. Only what the provider sent as it likes can hold such numbers, and there a string may stand for any.
func (r Row) QuoteNumbers(refused func(number string) bool) (Row, bool, error) {
	changed := false
	for i, part := range r.JSON {
		if quoted, ok := quoteNumbers(part, refused); ok {
			r.JSON[i], changed = quoted, true
		}
	}
	if !changed {
		return r, false, nil
	}
	err := r.warn(numberQuoted)
	return r, true, err
}

// warn adds a warning to record.
func (r *Row) warn(w string) error {
	rec := &r.JSON[len(r.JSON)-1]
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(*rec), &fields); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	var warnings []string
	if was, ok := fields["warnings"]; ok {
		if err := json.Unmarshal(was, &warnings); err != nil {
			return fmt.Errorf("record: warnings: %w", err)
		}
	}
	if slices.Contains(warnings, w) {
		return nil
	}
	now, err := json.Marshal(append(warnings, w))
	if err != nil {
		return err
	}
	fields["warnings"] = now
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(fields); err != nil {
		return err
	}
	*rec = string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
	return nil
}

// quoteNumbers quotes numbers of s, a valid JSON text.
func quoteNumbers(s string, refused func(number string) bool) (string, bool) {
	var out []byte
	copied := 0 // so far of s
	for i := 0; i < len(s); {
		end := i + 1
		switch c := s[i]; {
		case c == '"':
			end = stringEnd(s, i)
		case c == '-' || '0' <= c && c <= '9':
			end = numberEnd(s, i)
			if refused(s[i:end]) {
				out = append(out, s[copied:i]...)
				out = append(out, '"')
				out = append(out, s[i:end]...)
				out = append(out, '"')
				copied = end
			}
		}
		i = end
	}
	if copied == 0 {
		return s, false
	}
	return string(append(out, s[copied:]...)), true
}

// stringEnd is where the string ends that begins at s[i].
func stringEnd(s string, i int) int {
	for i++; i < len(s) && s[i] != '"'; i++ {
		if s[i] == '\\' {
			i++
		}
	}
	return min(i+1, len(s))
}

// numberEnd is where the number ends that begins at s[i].
func numberEnd(s string, i int) int {
	for i < len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9', c == '-', c == '+', c == '.', c == 'e', c == 'E':
			i++
		default:
			return i
		}
	}
	return i
}
