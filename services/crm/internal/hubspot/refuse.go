package hubspot

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/services/crm/internal/mask"
)

// failure is an answer that refuses a request for what is in it.
type failure struct {
	status int
	body   batchError
}

// Error names the status, HubSpot's words for it and the correlation id, but not the message, which may repeat values.
func (f *failure) Error() string { return fmt.Sprintf("%d %s", f.status, f.body.words()) }

// refusal is what HubSpot says of one record.
type refusal struct {
	text     string
	existing string // the id of the record that is in the way
	missing  bool   // the record does not exist, or no longer
}

func (r *refusal) Error() string { return r.text }

var existingID = regexp.MustCompile(`Existing ID: ([0-9]{1,20})`)

// about makes of an error the one about an input.
func (e *batchError) about(in *input, status int) *refusal {
	text := "HubSpot refused " + in.what + ": "
	if status != 0 {
		text += fmt.Sprintf("%d ", status)
	}
	text += e.words()
	if m := e.readable(in); m != "" {
		text += ": " + m
	}
	r := &refusal{text: text, missing: e.Category == "OBJECT_NOT_FOUND"}
	if m := existingID.FindStringSubmatch(string(e.Message)); m != nil {
		r.existing = m[1]
	}
	return r
}

// permanent reports whether the same input would be refused again. Categories are an open list.
func (e *batchError) permanent() bool {
	if e.Category == "MISSING_SCOPES" {
		return false
	}
	return e.Category == "VALIDATION_ERROR" || strings.HasPrefix(string(e.Category), "MISSING_") ||
		slices.ContainsFunc(e.Errors, func(d errorDetail) bool { return strings.HasPrefix(string(d.Code), "MISSING_") })
}

// missingProperty is the name of the property that HubSpot does not know, where that is what it says.
func (e *batchError) missingProperty() string {
	for _, d := range e.Errors {
		if d.Code == propertyGone {
			if names := list(d.Context["propertyName"]); len(names) == 1 {
				return names[0]
			}
		}
	}
	// Else it says so in JSON inside the message: https://developers.hubspot.com/docs/api-reference/error-handling
	_, tail, ok := strings.Cut(string(e.Message), "[")
	var invalid []struct {
		Error text `json:"error"`
		Name  text `json:"name"`
	}
	if !ok || json.NewDecoder(strings.NewReader("["+tail)).Decode(&invalid) != nil {
		return ""
	}
	for _, p := range invalid {
		if p.Error == propertyGone {
			return string(p.Name)
		}
	}
	return ""
}

const propertyGone = "PROPERTY_DOESNT_EXIST"

// withoutKey reports that the account has lost the key property, so that no record at all can be written.
func (e *batchError) withoutKey() bool {
	gone := e.missingProperty()
	return gone == callKey || gone == phoneKey || strings.Contains(string(e.Message), "by non-unique")
}

var (
	codeWord      = regexp.MustCompile(`^[A-Z][A-Z0-9_]{1,63}$`)
	correlationID = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)
)

// words are the category, the codes, the properties at fault and the correlation id, as far as they are words.
func (e *batchError) words() string {
	var words []string
	add := func(s string, form *regexp.Regexp) {
		if form.MatchString(s) && !slices.Contains(words, s) {
			words = append(words, s)
		}
	}
	add(string(e.Category), codeWord)
	add(string(e.PolicyName), codeWord)
	for _, d := range e.Errors {
		add(string(d.Code), codeWord)
		for _, name := range list(d.Context["propertyName"]) {
			add(name, propertyName)
		}
	}
	add(e.missingProperty(), propertyName)
	for _, scope := range list(e.Context["requiredGranularScopes"]) {
		add(scope, scopeName)
	}
	if len(words) == 0 {
		words = append(words, "without a category")
	}
	if correlationID.MatchString(string(e.CorrelationID)) {
		words = append(words, "(correlation id "+string(e.CorrelationID)+")")
	}
	return strings.Join(words, " ")
}

var scopeName = regexp.MustCompile(`^[a-z][a-z0-9._-]{1,99}$`)

var personal = regexp.MustCompile(`[^\s"'<>]+@[^\s"'<>]+|https?://[^\s"'<>]+|\+?[0-9][0-9 .,()-]{2,}[0-9]`)

// open are the properties of a call whose values may stand in an error, unless they are configured.
var open = []string{callKey, "hs_call_direction", "hs_call_disposition", "hs_call_status", "hs_call_duration", timestamp,
	"hubspot_owner_id", "onhook_agent", "onhook_answered_by", "onhook_outcome", "onhook_provider"}

const messageRoom = 300 // bytes

// readable is the message without what was sent: HubSpot repeats values, also cut short, in words that are not fixed.
// Masked are the input's values whatever their case, any part of a long one, and what looks like an address, a link, or a
// number of four digits and more.
func (e *batchError) readable(in *input) string {
	m := mask.Cut(strings.ToValidUTF8(string(e.Message), ""), messageRoom)
	m = personal.ReplaceAllString(m, "***")
	for _, name := range slices.Sorted(maps.Keys(in.properties)) {
		if !slices.Contains(open, name) {
			m = mask.Value(m, in.properties[name])
		}
	}
	for _, v := range in.hidden {
		m = mask.Value(m, v)
	}
	return m
}

// refused says what a request's own fault means: in is the only input.
func (f *failure) refused(in *input) error {
	return retry.Never(f.body.about(in, f.status))
}

// isRefusal reports that err is HubSpot's last word on one record, and which.
func isRefusal(err error) (*refusal, bool) {
	r, ok := errors.AsType[*refusal](err)
	kind, _ := retry.Classify(err)
	return r, ok && kind == retry.Dead
}

// ofTheRequest reports whether a status says that the request, and not the account, is at fault.
func ofTheRequest(status int, body *batchError) bool {
	switch status {
	case http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return true
	case http.StatusNotFound:
		return body.Category == "OBJECT_NOT_FOUND" // else the path is: this version of the API is no longer served
	default:
		return false
	}
}
