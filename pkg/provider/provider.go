// Package provider is the table of the voice platforms whose webhooks onhook understands.
//
// A provider is a folder here, a line in the table, and a folder of schemas and examples in schemas/provider, over
// which this package's test runs.
package provider

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/provider/altur"
	"github.com/onhook/onhook/pkg/provider/cllr"
	"github.com/onhook/onhook/pkg/provider/payload"
	"github.com/onhook/onhook/pkg/provider/synthflow"
)

// ErrIgnored is Decode's answer to an authentic delivery that is not about one call.
var ErrIgnored = payload.ErrIgnored

// Provider is what onhook knows of one voice platform. A function that does not apply is nil.
type Provider struct {
	Name string

	// Schemes are the signature schemes that a source can choose, the default first; none when nothing is signed.
	Schemes []string

	// Refuse says why body is no post-call event at all, and what its sender should change.
	Refuse func(body []byte) error

	// Verify reports how much of a delivery one of secrets has signed. The empty scheme is the default.
	Verify func(header http.Header, body []byte, secrets []string, scheme string) (call.Auth, bool)

	// CheckSecret says why no signature can be verified with secret under scheme, without quoting the secret; nil when
	// any text will do. The empty scheme is the default.
	CheckSecret func(secret, scheme string) error

	// Decode reads a body into a call without source and key; see Call. Its errors are ErrIgnored or retry.Never.
	// Which delivery the call came in (DeliveryID, ReceivedAt, Auth, BodyRef, Headers) is for the caller to add.
	Decode func(body []byte) (*call.Call, error)

	// Sign makes the headers that the real provider sends with body, or nil if body cannot be signed.
	Sign func(body []byte, secret, scheme string) http.Header

	// IDPath is where the call id stands in a body.
	IDPath []string
}

var table = []Provider{
	{
		Name:        altur.Name,
		Schemes:     []string{altur.Auto, altur.Hex, altur.Base64},
		Verify:      altur.Verify,
		CheckSecret: altur.CheckSecret,
		Decode:      altur.Decode,
		Sign:        altur.Sign,
		IDPath:      []string{"id"},
	},
	{
		Name:   cllr.Name,
		Decode: cllr.Decode,
		IDPath: []string{"callId"},
	},
	{
		Name:    synthflow.Name,
		Schemes: []string{synthflow.Base64},
		Refuse:  synthflow.Refuse,
		Verify:  synthflow.Verify,
		Decode:  synthflow.Decode,
		Sign:    synthflow.Sign,
		IDPath:  []string{"call", "call_id"},
	},
}

// All is the table, in alphabetical order.
func All() []Provider { return slices.Clone(table) }

// Lookup finds a provider by its name.
func Lookup(name string) (Provider, bool) {
	i := slices.IndexFunc(table, func(p Provider) bool { return p.Name == name })
	if i < 0 {
		return Provider{}, false
	}
	return table[i], true
}

// Names are all providers' names, in alphabetical order.
func Names() []string {
	names := make([]string, len(table))
	for i, p := range table {
		names[i] = p.Name
	}
	return names
}

// Call decodes a body that source received. An error that is neither ErrIgnored nor retry.Never is a defect of the
// decoder: the delivery can be redriven once it is fixed.
func (p Provider) Call(source string, body []byte) (*call.Call, error) {
	c, err := p.Decode(body)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	c.Schema = call.Schema
	c.Source = source
	c.Key = call.Key(p.Name, source, c.CallID)
	c.BodySHA256 = hex.EncodeToString(sum[:])
	c.BodySize = int64(len(body))
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("%s: decoded a call that breaks the schema: %w", p.Name, err)
	}
	return c, nil
}
