package salesforce

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/onhook/onhook/pkg/retry"
)

// verdict is what the code of a row's error means.
type verdict int

const (
	refused  verdict = iota // the record is at fault, or the org's rules: also every code that is not in the table
	locked                  // another writes to the same person; again alone
	again                   // plain
	collided                // another record has a value that must be unique
	onUpdate                // a field that only a new record may be given
	lostWho                 // a record that is referred to is gone, or not for this user
	lostCol                 // a field that does not exist
	down                    // the org takes nothing
)

// verdicts of the codes that do not mean a refusal. Source: Salesforce, "Status Codes and Error Responses" of the REST
// API and the StatusCode list of the SOAP API.
var verdicts = map[string]verdict{
	"ALL_OR_NONE_OPERATION_ROLLED_BACK":             again,
	"API_CURRENTLY_DISABLED":                        down,
	"API_DISABLED_FOR_ORG":                          down,
	"DUPLICATE_VALUE":                               collided,
	"ENTITY_IS_DELETED":                             lostWho,
	"INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": lostWho,
	"INSUFFICIENT_ACCESS_OR_READONLY":               lostWho,
	"INVALID_CROSS_REFERENCE_KEY":                   lostWho,
	"INVALID_FIELD":                                 lostCol,
	"INVALID_FIELD_FOR_INSERT_UPDATE":               onUpdate,
	"ORG_LOCKED":                                    down,
	"PROCESSING_HALTED":                             again,
	"QUERY_TIMEOUT":                                 locked,
	"REQUEST_LIMIT_EXCEEDED":                        down,
	"SERVER_UNAVAILABLE":                            locked,
	"STORAGE_LIMIT_EXCEEDED":                        down,
	"UNABLE_TO_LOCK_ROW":                            locked,
	"UNKNOWN_EXCEPTION":                             again,
}

// judgeRow is the verdict on a row: that of a refusal if there is one, as nothing else helps then.
func judgeRow(no *refusal) verdict {
	if len(no.errors) == 0 {
		return again
	}
	var out verdict
	for _, e := range slices.Backward(no.errors) {
		v := verdicts[e.code()]
		if v == refused && nested(e.Message) {
			v = locked
		}
		if v == refused {
			return refused
		}
		out = v
	}
	return out
}

// nested reports whether an error out of the org's own code has a cause that smaller requests do not meet: a lock, or
// the limits that one transaction has.
func nested(message string) bool {
	return strings.Contains(message, "UNABLE_TO_LOCK_ROW") || strings.Contains(message, "System.LimitException")
}

// settle ends a row by what Salesforce answered to it, or says in which request it goes next.
func (d *delivery) settle(ctx context.Context, r *row, result rowResult) {
	if result.Success && result.ID != "" {
		r.size, r.err, r.id = 0, nil, result.ID
		return
	}
	no := d.client.refusal(0, result.Errors, hidden(r.call, r.fields, r.extra))
	err := fmt.Errorf("salesforce refuses the call: %w", no)
	switch judgeRow(no) {
	case refused:
		r.fail(retry.Never(err))
	case locked:
		d.settleLocked(r, err)
	case again:
		r.fail(err)
	case collided:
		switch {
		case !strings.Contains(messages(no), keyField) && !slices.Contains(fields(no), keyField):
			r.fail(retry.Never(err))
		case r.raced:
			r.fail(err)
		default: // written by another at the same moment: now it is there, and is updated
			r.raced = true
		}
	case onUpdate:
		if r.stripped {
			r.fail(retry.Never(err))
			return
		}
		r.stripped = true
		before := len(r.fields)
		if d.strip(r); len(r.fields) == before {
			r.fail(retry.Never(err))
		}
	case lostWho:
		if !blamesWho(r, no) {
			r.fail(retry.Never(err))
			return
		}
		r.rejected = r.who
		r.err = err // unless someone else is found
	case lostCol:
		if !has(r.fields, no.missingFields()) {
			r.fail(retry.Never(err))
			return
		}
		d.lostField(ctx, r, no)
	case down:
		if no.has("REQUEST_LIMIT_EXCEEDED") {
			err = d.client.quota.exceeded(err)
		} else {
			err = retry.Outage(deniedWait, err)
		}
		d.stopped = err
		r.fail(err)
	}
}

// settleLocked puts a row into ever smaller requests.
func (d *delivery) settleLocked(r *row, err error) {
	switch {
	case r.size > fewRecords:
		r.size = fewRecords
	case r.size > 1:
		r.size = 1
	default:
		d.busy[r.who] = err
		r.fail(err)
	}
}

// blamesWho reports whether it can be the person that Salesforce does not take: it names the field, or none. Once
// someone else has been tried, it is not.
func blamesWho(r *row, no *refusal) bool {
	named := fields(no)
	_, configured := r.extra["WhoId"]
	return r.who != "" && r.rejected == "" && !configured && (len(named) == 0 || slices.Contains(named, "WhoId"))
}

func fields(no *refusal) []string {
	var out []string
	for _, e := range no.errors {
		out = append(out, e.Fields...)
	}
	return out
}

func messages(no *refusal) string {
	var out []string
	for _, e := range no.errors {
		out = append(out, e.Message)
	}
	return strings.Join(out, "; ")
}
