// Package cllr understands the webhook of cllr.ai, which is not signed, not repeated, and says little about the
// call's course.
//
// Facts are from dashboard.cllr.ai/docs/post-call-webhook.
package cllr

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/provider/payload"
)

// Name is the provider's.
const Name = "cllr"

const version = Name + "/1"

// Decode reads the post-call webhook. It has no event, status, direction, times or duration.
func Decode(body []byte) (*call.Call, error) {
	root, err := payload.Parse(Name, body)
	if err != nil {
		return nil, err
	}
	id, err := root.ID("callId")
	if err != nil {
		return nil, err
	}
	c := &call.Call{
		Provider:       Name,
		CallID:         id,
		PayloadVersion: version,
		Event:          call.Ended,
		EventRaw:       "post_call",
		IsFinal:        true,
		Direction:      call.DirectionUnknown,
		Status:         call.StatusUnknown,
		EndReason:      call.EndUnknown,
		AnsweredBy:     call.AnsweredByUnknown,
		CreatedAt:      created(id),
		Transcript:     call.Transcript{Form: call.TranscriptNone},
	}
	if c.CreatedAt != nil {
		c.Derived = append(c.Derived, "created_at")
	}
	if uri := root.Text("recordingUri"); uri != "" {
		c.Recording = &call.Recording{URI: uri, Access: call.AccessUnknown}
	}
	if uri := root.Text("transcriptUri"); uri != "" {
		c.Transcript = call.Transcript{Form: call.TranscriptURI, URI: uri}
	}
	if c.Recording != nil || c.Transcript.URI != "" {
		c.Status = call.StatusCompleted // callOutcome is free text
		c.Derived = append(c.Derived, "status")
	}
	caller(c, root.Object("callerDetails"))
	analysis(c, root.Object("callAnalysis"))
	c.Extensions = root.Rest()
	c.Warnings = root.Warnings()
	return c, nil
}

// created is the time in an id that is a MongoDB ObjectId, whose first four bytes are Unix seconds.
func created(id string) *call.Time {
	const size, mongoDB = 12, 2009 // bytes; the year of its first release
	if len(id) != hex.EncodedLen(size) {
		return nil
	}
	b, err := hex.DecodeString(id)
	if err != nil {
		return nil
	}
	t := time.Unix(int64(binary.BigEndian.Uint32(b)), 0)
	if t.UTC().Year() < mongoDB {
		return nil
	}
	return call.At(t)
}

// caller reads what cllr knows of the customer; all it has no own field for is an attribute.
func caller(c *call.Call, o *payload.Object) {
	c.CustomerPhone = o.Phone("phoneNumber")
	customer := call.Customer{
		Name:     o.Text("name"),
		Email:    o.Text("email"),
		Language: o.Text("language"),
	}
	for name := range o.Names() {
		switch name {
		case "phoneNumber", "name", "email", "language":
			continue // of a type we cannot use
		}
		if customer.Attributes == nil {
			customer.Attributes = make(map[string]json.RawMessage)
		}
		customer.Attributes[name] = o.Raw(name)
	}
	c.Customer = payload.NonZero(customer)
}

func analysis(c *call.Call, o *payload.Object) {
	a := call.Analysis{
		Summary:        o.Text("summary"),
		Sentiment:      o.Text("mood"),
		Outcome:        o.Text("callOutcome"),
		Classification: o.Text("classification"),
		Score:          o.Number("score"),
	}
	if a.Score != nil && (*a.Score < 0 || *a.Score > 100) {
		a.Score = nil
		o.PutBack("score")
		o.Warn("score", "outside 0 to 100")
	}
	for _, name := range []string{"interestsAndNeeds", "actionItems", "sentiment"} { // documented as "object", no more
		if o.Holds(name) {
			if a.Details == nil {
				a.Details = make(map[string]json.RawMessage)
			}
			a.Details[name] = o.Raw(name)
		}
	}
	c.Analysis = payload.NonZero(a)
}
