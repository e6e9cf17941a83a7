// Package sink is what the crm worker and the vendors' clients agree on.
package sink

import (
	"context"

	"github.com/onhook/onhook/pkg/call"
)

// Item is one call on its way to a vendor. Its key is Call.Key; a batch may hold several items of one key, and the
// vendor's client folds them: the last one wins, and all get its result.
type Item struct {
	Call   *call.Call
	Fields map[string]any // the sink's configured extra fields, by the vendor's name: string, bool, int64, float64 or nil
	Trace  string         // the traceparent of this delivery; empty: it is not traced
}

// Result is what became of one item.
type Result struct {
	// Err is nil when the vendor has the call. Its kind (package retry) says what else: a plain error for an answer
	// that is transient or unknown, Never for a refusal, After where the vendor named a delay, Outage where the whole
	// account is out of reach or out of quota.
	Err      error
	VendorID string // of the record; empty where the vendor names none
	Note     string // what an operator should know of a delivered call: that no contact was found, or several
}

// Sink is one vendor's client.
type Sink interface {
	// Check says, before the first batch, why the account cannot take calls: a missing key property, a wrong secret.
	Check(ctx context.Context) error

	// Deliver sends a batch and answers one result per item, in order. It does not sleep for longer than its rate
	// limit asks: what must wait longer is said in the result.
	Deliver(ctx context.Context, batch []Item) []Result
}

// Metered is a Sink whose account has an allowance of requests a day, which others use too.
type Metered interface {
	// QuotaLeft is the share of the allowance that was left when the vendor last said, 0 to 1, or NaN where it has not yet.
	QuotaLeft() float64
}

// Contacts remembers which of the vendor's records has a telephone number. What it forgets is looked up again.
type Contacts interface {
	Get(ctx context.Context, e164 []string) (map[string]string, error) // those that are known: number to record id
	Put(ctx context.Context, ids map[string]string) error
	Delete(ctx context.Context, e164 ...string) error
}
