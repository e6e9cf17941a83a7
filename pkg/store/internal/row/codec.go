package row

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/retry"
)

// encoder makes rows. Its buffer lives as long as a batch.
type encoder struct {
	buf      bytes.Buffer
	json     *json.Encoder
	keyLimit int
}

func newEncoder(keyLimit int) *encoder {
	e := &encoder{keyLimit: keyLimit}
	e.json = json.NewEncoder(&e.buf)
	e.json.SetEscapeHTML(false) // it would rewrite the provider's own JSON
	return e
}

// row is c as the table holds it. It leaves c as it is.
func (e *encoder) row(c *call.Call) (Row, error) {
	var r Row
	var all found
	for i, col := range texts {
		r.Text[i] = *col.field(c)
	}
	for i, col := range projections {
		r.Text[len(texts)+i] = col.value(c)
	}
	for i, s := range r.Text {
		s, f := cleanText(s)
		r.Text[i], all = s, all|f
	}
	for i, col := range times {
		r.Time[i] = *col.field(c)
	}
	for i, col := range ints {
		r.Int[i] = *col.field(c)
	}

	rec := record{Call: c}
	if r.Text[callID] = idKey(c.CallID, e.keyLimit); r.Text[callID] != c.CallID {
		if _, f := cleanText(c.CallID); f == 0 {
			rec.CallID = c.CallID
		} else {
			rec.CallIDBase64 = []byte(c.CallID)
		}
	}
	for _, i := range [...]int{customerPhone, customerPhoneRaw} {
		r.Text[i] = abridge(r.Text[i], e.keyLimit)
	}

	values := [len(parts)]any{&c.Transcript, nil, nil, nil, &rec}
	if c.Analysis != nil {
		values[1] = c.Analysis
	}
	if len(c.Extracted) > 0 {
		values[2] = c.Extracted
	}
	if len(c.Extensions) > 0 {
		values[3] = c.Extensions
	}
	e.buf.Reset()
	var end [len(parts)]int
	for i, v := range values {
		if v != nil {
			f, err := e.append(v)
			if err != nil { // it could quote the call
				return r, retry.Never(fmt.Errorf("the call's %s cannot be written as JSON", parts[i]))
			}
			all |= f
		}
		end[i] = e.buf.Len()
	}
	if all != 0 { // rare: the record once more, with the warnings
		warned := *c
		warned.Warnings = slices.Clone(c.Warnings)
		for _, w := range all.warnings() {
			if !slices.Contains(warned.Warnings, w) {
				warned.Warnings = append(warned.Warnings, w)
			}
		}
		rec.Call = &warned
		e.buf.Truncate(end[len(end)-2])
		if _, err := e.append(&rec); err != nil {
			return r, retry.Never(errors.New("the call's record cannot be written as JSON"))
		}
		end[len(end)-1] = e.buf.Len()
	}
	whole, start := e.buf.String(), 0
	for i, end := range end {
		r.JSON[i], start = whole[start:end], end
	}
	return r, nil
}

// append writes v's JSON, cleaned, to the buffer.
func (e *encoder) append(v any) (found, error) {
	start := e.buf.Len()
	if err := e.json.Encode(v); err != nil {
		return 0, err
	}
	b := e.buf.Bytes()[start : e.buf.Len()-1] // without the encoder's line feed
	clean, f := cleanJSON(b)
	if f&badUTF8 == 0 {
		e.buf.Truncate(start + len(b))
		return f, nil
	}
	e.buf.Truncate(start)
	e.buf.Write(clean)
	return f, nil
}

// Read makes a call of one result of a query that Select or SelectOne wrote. T is the engine's time.
func Read[T any](scan func(...any) error, moment func(T) (time.Time, error)) (*call.Call, error) {
	c := &call.Call{Schema: call.Schema}
	var when [len(times)]*T
	var json [len(parts)][]byte
	var dest []any
	for _, col := range texts {
		dest = append(dest, col.field(c))
	}
	for i := range when {
		dest = append(dest, &when[i])
	}
	for _, col := range ints {
		dest = append(dest, col.field(c))
	}
	for i := range json {
		dest = append(dest, &json[i])
	}
	if err := scan(dest...); err != nil {
		return nil, err
	}
	for i, w := range when {
		if w == nil {
			continue
		}
		t, err := moment(*w)
		if err != nil {
			return nil, fmt.Errorf("column %s of a stored call: %w", times[i].name, err)
		}
		*times[i].field(c) = call.At(t)
	}
	return c, decode(c, json)
}

func decode(c *call.Call, columns [len(parts)][]byte) error {
	rest := struct {
		*call.Call
		CallIDBase64 []byte `json:"call_id_base64"`
	}{Call: c}
	for i, into := range [len(parts)]any{&c.Transcript, &c.Analysis, &c.Extracted, &c.Extensions, &rest} {
		if err := json.Unmarshal(columns[i], into); err != nil {
			return fmt.Errorf("column %s of a stored call does not hold what onhook writes there", parts[i])
		}
	}
	if len(rest.CallIDBase64) > 0 {
		c.CallID = string(rest.CallIDBase64)
		c.Key = call.Key(c.Provider, c.Source, c.CallID) // its column holds the id as it was cleaned
	}
	return nil
}
