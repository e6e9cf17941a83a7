package hubspot

import (
	"bytes"
	"encoding/json"
	"time"
)

// apiVersion stands in each path. HubSpot keeps a dated version for 18 months:
// https://developers.hubspot.com/docs/guides/api/overview
const apiVersion = "2026-09"

// The paths, below the URL.
const (
	callsUpsert    = "/crm/objects/" + apiVersion + "/calls/batch/upsert"
	contactsRead   = "/crm/objects/" + apiVersion + "/contacts/batch/read"
	contactsSearch = "/crm/objects/" + apiVersion + "/contacts/search"
	contactsUpdate = "/crm/objects/" + apiVersion + "/contacts/batch/update"
	contactsUpsert = "/crm/objects/" + apiVersion + "/contacts/batch/upsert"
	pairsCreate    = "/crm/associations/" + apiVersion + "/calls/contacts/batch/create"
	properties     = "/crm/properties/" + apiVersion + "/" // and the object
)

// callToContact is the type of the association, the same in every account:
// https://developers.hubspot.com/docs/api-reference/latest/crm/associations/associate-records/guide
const callToContact = 194

// most is how many inputs HubSpot takes in one batch.
const most = 100

// text is a value that HubSpot documents as a string, taken as it is where it is a number or a bool.
type text string

// UnmarshalJSON takes any scalar; null is empty.
func (t *text) UnmarshalJSON(b []byte) error {
	switch {
	case bytes.Equal(b, []byte("null")):
		*t = ""
		return nil
	case len(b) > 0 && b[0] == '"':
		return json.Unmarshal(b, (*string)(t))
	default:
		*t = text(b)
		return nil
	}
}

// objectInput is one record of a batch of objects.
type objectInput struct {
	ID         string            `json:"id"`
	IDProperty string            `json:"idProperty,omitempty"`
	Properties map[string]string `json:"properties,omitempty"`
	Trace      string            `json:"objectWriteTraceId,omitempty"`
}

type reference struct {
	ID text `json:"id"`
}

type pairType struct {
	Category string `json:"associationCategory"`
	ID       int    `json:"associationTypeId"`
}

// pairInput is one record of a batch of associations.
type pairInput struct {
	From  reference  `json:"from"`
	To    reference  `json:"to"`
	Types []pairType `json:"types"`
}

// batchAnswer is what a batch, or a search, is answered with.
type batchAnswer struct {
	Results []result     `json:"results"`
	Errors  []batchError `json:"errors"`
	Paging  struct {
		Next struct {
			After text `json:"after"`
		} `json:"next"`
	} `json:"paging"`
}

// result is an object or an association; of the latter two forms are documented.
type result struct {
	ID         text            `json:"id"`
	Properties map[string]text `json:"properties"`
	CreatedAt  text            `json:"createdAt"`

	From   reference `json:"from"`
	To     reference `json:"to"`
	FromID text      `json:"fromObjectId"`
	ToID   text      `json:"toObjectId"`
}

func (r *result) created() time.Time {
	at, err := time.Parse(time.RFC3339, string(r.CreatedAt))
	if err != nil {
		return time.Time{}
	}
	return at
}

// batchError is what HubSpot says of a request that it refuses, or of some of its inputs. Any part may be missing.
type batchError struct {
	Category      text                       `json:"category"`
	Message       text                       `json:"message"`
	CorrelationID text                       `json:"correlationId"`
	PolicyName    text                       `json:"policyName"`
	Context       map[string]json.RawMessage `json:"context"`
	Errors        []errorDetail              `json:"errors"`
}

type errorDetail struct {
	Code    text                       `json:"code"`
	Context map[string]json.RawMessage `json:"context"`
}

// list is a value of a context: strings, or one.
func list(raw json.RawMessage) []string {
	var many []text
	if json.Unmarshal(raw, &many) != nil {
		var one text
		if raw == nil || json.Unmarshal(raw, &one) != nil {
			return nil
		}
		many = []text{one}
	}
	out := make([]string, len(many))
	for i, t := range many {
		out[i] = string(t)
	}
	return out
}

// property is the definition of one.
type property struct {
	Name           string `json:"name"`
	Label          string `json:"label,omitempty"`
	Type           string `json:"type,omitempty"`
	FieldType      string `json:"fieldType,omitempty"`
	GroupName      string `json:"groupName,omitempty"`
	HasUniqueValue bool   `json:"hasUniqueValue"`
}
