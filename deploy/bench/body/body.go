// Package body makes webhooks as the three providers send them: generated calls with names, accents and transcripts,
// signed, each with an id of its own.
package body

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"math/rand/v2"
	"strconv"
)

// The sources are named for their providers. Altur and Synthflow sign with the secret, cllr has the token in its URL.
const (
	Secret = "bench-secret"
	Token  = "bench-token"
)

// Providers are those whose webhooks there are.
var Providers = []string{"altur", "cllr", "synthflow"}

// idPrefix begins every call id, and stands nowhere else in a body. 24 hexadecimal digits pass for an id of any provider.
const (
	idPrefix = "69b0beef"
	idLength = len(idPrefix) + 16
)

// ID is the call id of number n.
func ID(n int64) string { return string(appendID(nil, n)) }

func appendID(b []byte, n int64) []byte {
	b = append(b, idPrefix...)
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, "0123456789abcdef"[n>>shift&15])
	}
	return b
}

// Number finds the call id in a body, and reads its number.
func Number(body []byte) (n int64, ok bool) {
	_, rest, ok := bytes.Cut(body, []byte(idPrefix))
	if !ok || len(rest) < 16 {
		return 0, false
	}
	n, err := strconv.ParseInt(string(rest[:16]), 16, 64)
	return n, err == nil
}

// Request is one webhook, which is sent again and again with other ids. It is not safe for concurrent use.
type Request struct {
	Provider  string
	wire      []byte // the whole HTTP request
	body      []byte // the end of it
	id        []byte // the id within body
	signature []byte // within the header; empty: nothing is signed
	mac       hash.Hash
	sum       []byte
}

// New generates a call of about size bytes. The same seed gives the same call.
func New(seed uint64, provider string, size int) *Request {
	rng := rand.New(rand.NewPCG(seed, uint64(size)))
	text := generate(rng, provider, size)
	path, header := "/v1/webhooks/"+provider, ""
	switch provider {
	case "altur":
		header = "X-Altur-Signature: " + string(bytes.Repeat([]byte("0"), hex.EncodedLen(sha256.Size))) + "\r\n"
	case "synthflow":
		header = "Synthflow-Signature: " + string(bytes.Repeat([]byte("0"), base64.StdEncoding.EncodedLen(sha256.Size))) + "\r\n"
	default:
		path += "/" + Token
	}
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: onhook\r\nUser-Agent: %s-webhooks/1.0\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n", path, provider, len(text), header)
	r := &Request{Provider: provider, wire: append([]byte(head), text...), mac: hmac.New(sha256.New, []byte(Secret))}
	r.body = r.wire[len(head):]
	at := bytes.Index(r.body, []byte(idPrefix))
	r.id = r.body[at : at+idLength]
	if header != "" {
		end := len(head) - len("\r\n\r\n")
		r.signature = r.wire[end-(len(header)-len("\r\n")-bytes.Index([]byte(header), []byte(": "))-len(": ")) : end]
	}
	return r
}

// Wire is the HTTP request with call id n, signed anew. It holds until the next call.
func (r *Request) Wire(n int64) []byte {
	appendID(r.id[:0], n)
	if len(r.signature) == 0 {
		return r.wire
	}
	r.mac.Reset()
	if r.Provider == "altur" {
		_, _ = r.mac.Write(r.body)
		r.sum = r.mac.Sum(r.sum[:0])
		hex.Encode(r.signature, r.sum)
	} else {
		_, _ = r.mac.Write(r.id)
		r.sum = r.mac.Sum(r.sum[:0])
		base64.StdEncoding.Encode(r.signature, r.sum)
	}
	return r.wire
}

// Body is the body with call id n. It holds until the next call.
func (r *Request) Body(n int64) []byte {
	appendID(r.id[:0], n)
	return r.body
}

// generate makes the transcript so long that the body has about size bytes.
func generate(rng *rand.Rand, provider string, size int) []byte {
	p := newPerson(rng)
	var turns []turn
	for {
		text := marshal(p.call(provider, turns))
		missing := size - len(text)
		if missing < 120 {
			return text
		}
		for range 1 + missing/300 { // a turn takes less than that
			turns = append(turns, p.say(rng, len(turns)))
		}
	}
}

func marshal(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // as the providers send it
	if err := enc.Encode(v); err != nil {
		panic(err) // of strings and numbers alone
	}
	return bytes.TrimSpace(b.Bytes())
}
