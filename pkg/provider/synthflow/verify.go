package synthflow

import (
	"bytes"
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/provider/payload"
)

// Header carries the signature. It is documented as HTTP_SYNTHFLOW_SIGNATURE, which is how a Python server shows it;
// Verify takes it under every spelling.
const Header = "Synthflow-Signature"

// Base64 is the one signature scheme: an HMAC-SHA256 in base64 under the secret as text.
const Base64 = "base64"

// Verify reports whether one of secrets signed the call id in body. Synthflow signs nothing else, whatever its page
// on webhook security says, so the rest of body is not proven.
func Verify(header http.Header, body []byte, secrets []string, _ string) (call.Auth, bool) {
	digests := signatures(header)
	if len(digests) == 0 {
		return call.AuthNone, false
	}
	root, err := payload.Parse(Name, body)
	if err != nil {
		return call.AuthNone, false
	}
	_, id, err := callID(root)
	if err != nil {
		return call.AuthNone, false
	}
	for _, secret := range secrets {
		if secret == "" {
			continue // anybody could sign with it
		}
		want := payload.HMAC([]byte(secret), []byte(id))
		for _, digest := range digests {
			if hmac.Equal(want, digest) {
				return call.AuthVerifiedIDOnly, true
			}
		}
	}
	return call.AuthNone, false
}

// callID is the only reader of the id: the one that Verify proves is the one that Decode gives to the call.
func callID(root *payload.Object) (*payload.Object, string, error) {
	if !root.Has("call") {
		return nil, "", root.Never("missing", "call", "call_id")
	}
	o := root.Object("call")
	if o == nil {
		return nil, "", root.Never("not an object", "call")
	}
	id, err := o.ID("call_id")
	return o, id, err
}

func signatures(header http.Header) (digests [][]byte) {
	for name, values := range header {
		name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
		name = strings.TrimPrefix(strings.TrimPrefix(name, "http-"), "x-")
		if name != "synthflow-signature" {
			continue
		}
		for _, v := range values {
			if digest, ok := payload.Base64(v); ok {
				digests = append(digests, digest)
			}
		}
	}
	return digests
}

// Sign is what Synthflow sends with body; nil when body has no call id, or there is no secret.
func Sign(body []byte, secret, _ string) http.Header {
	root, err := payload.Parse(Name, body)
	if err != nil || secret == "" {
		return nil
	}
	_, id, err := callID(root)
	if err != nil {
		return nil
	}
	return http.Header{Header: {base64.StdEncoding.EncodeToString(payload.HMAC([]byte(secret), []byte(id)))}}
}

// Refuse knows the inbound webhook, which asks its receiver how to answer a call that begins. Synthflow disconnects
// the call when the answer is an empty object.
func Refuse(body []byte) error {
	if !bytes.Contains(body, []byte(inbound)) {
		return nil
	}
	root, err := payload.Parse(Name, body)
	if err != nil || !isInbound(root, root.Text("event")) {
		return nil // what cannot be read is kept and judged later
	}
	return errors.New("this is Synthflow's inbound webhook (call_inbound), sent when a call starts; " +
		"remove this URL from the agent's inbound webhook and set it as the post-call webhook")
}

const inbound = "call_inbound"

func isInbound(root *payload.Object, event string) bool {
	return event == inbound || root.Holds(inbound) && !root.Has("call")
}
