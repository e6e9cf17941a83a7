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

// row is raw as the table holds it. It leaves raw as it is.
func (e *encoder) row(raw *call.Raw) (Row, error) {
	var r Row
	c := &raw.Call // without its large parts
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

	e.buf.Reset()
	var end [len(parts)]int
	for i, part := range [...]json.RawMessage{transcript: raw.Transcript, analysis: raw.Analysis, extracted: raw.Extracted, extensions: raw.Extensions} {
		f, err := e.part(i, part)
		if err != nil {
			return r, err
		}
		all |= f
		end[i] = e.buf.Len()
	}
	f, err := e.record(&rec)
	if all |= f; err == nil && all != 0 { // rare: the record once more, with the warnings
		warned := *c
		warned.Warnings = slices.Clone(c.Warnings)
		for _, w := range all.warnings() {
			if !slices.Contains(warned.Warnings, w) {
				warned.Warnings = append(warned.Warnings, w)
			}
		}
		rec.Call = &warned
		e.buf.Truncate(end[extensions])
		_, err = e.record(&rec)
	}
	if err != nil { // it could quote the call
		return r, retry.Never(errors.New("the call's record cannot be written as JSON"))
	}
	end[len(end)-1] = e.buf.Len()
	whole, start := e.buf.String(), 0
	for i, end := range end {
		r.JSON[i], start = whole[start:end], end
	}
	return r, nil
}

// part writes a large part, cleaned, to the buffer, or nothing where the call has none. A row with another value than an
// object could not be read back.
func (e *encoder) part(i int, part json.RawMessage) (found, error) {
	switch {
	case len(part) == 0 || string(part) == "null":
		if i == transcript { // its column is NOT NULL
			e.buf.WriteString(`{"form":""}`)
		}
		return 0, nil
	case part[0] != '{':
		return 0, retry.Never(fmt.Errorf("not a call: its %s is not a JSON object", parts[i]))
	case (i == extracted || i == extensions) && bytes.HasPrefix(bytes.TrimLeft(part[1:], " \t\r\n"), []byte("}")):
		return 0, nil // an empty one says no more than none
	}
	start := e.buf.Len()
	e.buf.Write(part)
	return e.clean(start), nil
}

// record writes the record, cleaned, to the buffer.
func (e *encoder) record(rec *record) (found, error) {
	start := e.buf.Len()
	if err := e.json.Encode(rec); err != nil {
		return 0, err
	}
	e.buf.Truncate(e.buf.Len() - 1) // the encoder's line feed
	return e.clean(start), nil
}

// clean cleans what stands in the buffer from start on.
func (e *encoder) clean(start int) found {
	clean, f := cleanJSON(e.buf.Bytes()[start:])
	if f&badUTF8 != 0 { // it is no longer in place
		e.buf.Truncate(start)
		e.buf.Write(clean)
	}
	return f
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
