package call

import (
	"bytes"
	"encoding/json"
)

// Raw is a call with its large parts as the JSON that they came in, for who passes them on without looking inside: the
// parts of Call are empty, and these are in their place. A part that is not there is empty or null.
type Raw struct {
	Call // encoding/json takes its fields but for those below, which are less deep

	Transcript json.RawMessage `json:"transcript"`
	Analysis   json.RawMessage `json:"analysis,omitempty"`
	Extracted  json.RawMessage `json:"extracted,omitempty"`
	Extensions json.RawMessage `json:"extensions,omitempty"`
}

// NewRaw is c with its large parts written as JSON. It fails where they cannot be.
func NewRaw(c *Call) (*Raw, error) {
	r := &Raw{Call: *c}
	r.Call.Transcript, r.Call.Analysis, r.Call.Extracted, r.Call.Extensions = Transcript{}, nil, nil, nil
	for _, part := range [...]struct {
		from any
		into *json.RawMessage
	}{{c.Transcript, &r.Transcript}, {c.Analysis, &r.Analysis}, {c.Extracted, &r.Extracted}, {c.Extensions, &r.Extensions}} {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false) // it would rewrite the provider's own JSON
		if err := enc.Encode(part.from); err != nil {
			return nil, err
		}
		*part.into = bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	}
	return r, nil
}
