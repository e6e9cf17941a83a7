package salesforce

import (
	"bytes"
	"cmp"
	"io"
	"net/http"
	"strings"
	"sync"
)

// picky refuses each request whose body has a word, without saying which record it is about.
type picky struct {
	next   http.RoundTripper
	word   string
	status int // 400 unless set
	code   string

	mu sync.Mutex
	n  int
}

func (p *picky) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if !bytes.Contains(body, []byte(p.word)) {
		return p.next.RoundTrip(r)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n++
	return &http.Response{StatusCode: cmp.Or(p.status, http.StatusBadRequest), Header: http.Header{}, Request: r,
		Body: io.NopCloser(strings.NewReader(`[{"errorCode":"` + cmp.Or(p.code, "JSON_PARSER_ERROR") + `","message":"Unexpected character"}]`))}, nil
}
