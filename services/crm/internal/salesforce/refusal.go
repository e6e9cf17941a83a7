package salesforce

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/services/crm/internal/mask"
)

// vendorError is one error as Salesforce writes it: errorCode in the answer to a whole request, statusCode in a row's.
type vendorError struct {
	Message    string   `json:"message"`
	ErrorCode  string   `json:"errorCode"`
	StatusCode string   `json:"statusCode"`
	Fields     []string `json:"fields"`
}

func (e vendorError) code() string {
	if e.StatusCode != "" {
		return e.StatusCode
	}
	return e.ErrorCode
}

// refusal is Salesforce's no, to a whole request or, with no status, to a row.
type refusal struct {
	status int // of HTTP
	errors []vendorError
	text   string
}

// Error quotes Salesforce, less what it quotes of us.
func (r *refusal) Error() string { return r.text }

// refusal makes one whose words have none of our secrets, nor of the values in hide.
func (c *client) refusal(status int, errors []vendorError, hide []string) *refusal {
	r := &refusal{status: status, errors: errors}
	r.text = r.words(slices.Concat(c.tokens.secrets(), hide))
	return r
}

func (r *refusal) words(hide []string) string {
	scrub := func(text string) string { return scrub(text, hide...) }
	if len(r.errors) == 0 && r.status == 0 {
		return "Salesforce gives no reason"
	}
	var said []string
	if r.status != 0 {
		said = append(said, fmt.Sprintf("HTTP %d", r.status))
	}
	for _, e := range r.errors {
		text := scrub(e.code()) + ": " + scrub(e.Message)
		if len(e.Fields) > 0 {
			text += " (fields " + scrub(strings.Join(e.Fields, ", ")) + ")"
		}
		said = append(said, text)
	}
	return strings.Join(said, "; ")
}

func (r *refusal) has(codes ...string) bool {
	return slices.ContainsFunc(r.errors, func(e vendorError) bool { return slices.Contains(codes, e.code()) })
}

// parseErrors reads the body of a refused request: a list of errors, or for some resources one alone. What is neither
// is no error that could be quoted.
func parseErrors(body []byte) []vendorError {
	var list []vendorError
	if json.Unmarshal(body, &list) == nil {
		return list
	}
	var one vendorError
	if json.Unmarshal(body, &one) == nil && (one.Message != "" || one.code() != "") {
		return []vendorError{one}
	}
	return nil
}

var noSuchField = regexp.MustCompile(`(?i)no such column '?([A-Za-z][A-Za-z0-9_]*)'?`)

// missingFields are those that Salesforce says it does not have, or not for this user.
func (r *refusal) missingFields() []string {
	var names []string
	for _, e := range r.errors {
		if e.code() != "INVALID_FIELD" {
			continue
		}
		names = append(names, e.Fields...)
		if m := noSuchField.FindStringSubmatch(e.Message); m != nil {
			names = append(names, m[1])
		}
	}
	return names
}

const (
	maxMessage = 500     // bytes of Salesforce's words that an error of ours repeats
	maxRead    = 2 << 10 // bytes of them that are looked at
)

var (
	tokenForm  = regexp.MustCompile(`\b(?:00D[0-9A-Za-z]+!|eyJ)[0-9A-Za-z._-]+`) // a session's, or a signed login
	emailForm  = regexp.MustCompile(`[^\s<>()'",;:]+@[^\s<>()'",;:]+`)
	numberForm = regexp.MustCompile(`\+?\(?\b\d(?:[\s().-]{0,2}\d){6,}\b`)
	valueForms = []*regexp.Regexp{ // Salesforce repeats the value that it dislikes
		regexp.MustCompile(`(?is)(data value too large: ).*( \(max)`),
		regexp.MustCompile(`(?is)(VALUE_STRING value ).*( or request)`),
		regexp.MustCompile(`(?is)(bad value for restricted picklist field: ).*()`),
	}
)

// scrub takes out of Salesforce's words what is about a person: errors end up in logs and dead letters.
func scrub(text string, hide ...string) string {
	text = mask.Cut(strings.ToValidUTF8(text, ""), maxRead)
	for _, value := range hide {
		text = mask.Value(text, value)
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) { // some stores take no NUL
			return ' '
		}
		return r
	}, text)
	for _, form := range valueForms {
		text = form.ReplaceAllString(text, "${1}…${2}")
	}
	text = tokenForm.ReplaceAllString(text, "<token>")
	text = emailForm.ReplaceAllString(text, "<e-mail>")
	text = numberForm.ReplaceAllString(text, "<number>")
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxMessage {
		text = mask.Cut(text, maxMessage) + "…"
	}
	return text
}

// open are the fields whose values may stand in an error, unless they are configured.
var open = []string{"attributes", "id", keyField, "ActivityDate", "CallDurationInSeconds", "CallObject", "CallType", "Company", "OwnerId",
	"Priority", "Status", "TaskSubtype", "WhoId"}

// hidden are the values of a record, and the customer's names, that no error may tell.
func hidden(c *call.Call, record, extra map[string]any) []string {
	values := mask.Names(c)
	for _, name := range slices.Sorted(maps.Keys(record)) {
		if _, configured := extra[name]; !configured && slices.Contains(open, name) {
			continue
		}
		switch v := record[name].(type) {
		case string:
			values = append(values, v)
		case int64:
			values = append(values, strconv.FormatInt(v, 10))
		case float64:
			values = append(values, strconv.FormatFloat(v, 'f', -1, 64))
		}
	}
	return values
}
