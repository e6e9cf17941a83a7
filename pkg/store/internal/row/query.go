package row

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// DefaultLimit is how many calls a Filter without a Limit lists.
const DefaultLimit = 100

// ErrNotFound says that no such call is stored.
var ErrNotFound = errors.New("no such call is stored")

// Filter chooses calls. An empty field chooses all.
type Filter struct {
	Source string
	Status string
	Phone  string    // the customer's phone, as E.164 or as the provider sent it
	Since  time.Time // of receipt; of the call itself where the call was not received but imported
	Limit  int       // DefaultLimit if 0
}

// Dialect is how an engine writes what the engines write differently.
type Dialect struct {
	Placeholder func(n int) string // of the n-th argument, from 1
	Time        func(time.Time) any
	KeyLimit    int // bytes; see NewBatch
}

// seen orders calls by when they became known. The index calls_seen is on this expression.
const seen = "COALESCE(received_at, started_at, ended_at, created_at, stored_at)"

// Select is the query for the calls that f chooses, newest first, to be read with Read.
func (d Dialect) Select(f Filter) (query string, args []any) {
	var where []string
	arg := func(v any) string {
		args = append(args, v)
		return d.Placeholder(len(args))
	}
	if f.Source != "" {
		where = append(where, "source = "+arg(text(f.Source)))
	}
	if f.Status != "" {
		where = append(where, "status = "+arg(text(f.Status)))
	}
	if f.Phone != "" {
		phone := abridge(text(f.Phone), d.KeyLimit)
		where = append(where, fmt.Sprintf("(customer_phone = %s OR customer_phone_raw = %s)", arg(phone), arg(phone)))
	}
	if !f.Since.IsZero() {
		where = append(where, seen+" >= "+arg(d.Time(f.Since)))
	}
	if f.Limit <= 0 {
		f.Limit = DefaultLimit
	}
	query = "SELECT " + selected() + " FROM calls"
	if len(where) > 0 {
		query += " WHERE " + strings.Join(where, " AND ")
	}
	query += " ORDER BY " + seen + " DESC, source, call_id LIMIT " + arg(f.Limit)
	return query, args
}

// SelectOne is the query for one call, to be read with Read. A source belongs to one provider at a time; of two calls
// that share an id because it did not always, the newer is meant.
func (d Dialect) SelectOne(source, callID string) (query string, args []any) {
	return fmt.Sprintf("SELECT %s FROM calls WHERE source = %s AND call_id = %s ORDER BY %s DESC LIMIT 1",
			selected(), d.Placeholder(1), d.Placeholder(2), seen),
		[]any{text(source), idKey(callID, d.KeyLimit)}
}

// text is s as the table holds it.
func text(s string) string {
	s, _ = cleanText(s)
	return s
}

// selected lists the columns that Read reads.
func selected() string {
	var list []string
	for _, c := range texts {
		list = append(list, "COALESCE("+c.name+", '')")
	}
	for _, c := range times {
		list = append(list, c.name)
	}
	for _, c := range ints {
		list = append(list, c.name)
	}
	for _, name := range parts {
		list = append(list, "COALESCE("+name+", 'null')")
	}
	return strings.Join(list, ", ")
}
