// Package hubspot delivers calls to a HubSpot account: as call records, each once, and with the contact who was on the line.
package hubspot

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/services/crm/internal/mask"
	"github.com/onhook/onhook/services/crm/internal/sink"
)

// Deps is what a Client works with.
type Deps struct {
	Name      string // of the sink, as the config has it
	Transport http.RoundTripper
	Contacts  sink.Contacts
	Log       *zap.Logger
}

// Client is one HubSpot account. It is safe for concurrent use.
type Client struct {
	cfg      Config
	name     string
	url      string
	http     *http.Client
	contacts sink.Contacts
	log      *zap.Logger
	tokens   *tokens
	quota    *limiter
	search   *limiter
	zone     *time.Location // nil: not known
	left     atomic.Uint64  // the float64 bits of QuotaLeft
}

var (
	_ sink.Sink    = (*Client)(nil)
	_ sink.Metered = (*Client)(nil)
)

// New makes a client. Nothing is sent yet.
func New(cfg Config, deps Deps) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("sink %s: %w", deps.Name, err)
	}
	secrets, err := cfg.Token.OrFile(cfg.TokenFile)
	if err != nil {
		return nil, fmt.Errorf("sink %s: %w", deps.Name, err)
	}
	c := &Client{
		cfg: cfg, name: deps.Name, url: strings.TrimRight(cfg.URL, "/"), contacts: deps.Contacts, log: deps.Log,
		tokens: &tokens{file: cfg.TokenFile, list: secrets.Reveal()},
		quota:  newLimiter(cfg.Quota, window), search: newLimiter(searches, time.Second),
		http: &http.Client{
			Transport:     deps.Transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the token is for one host
		},
	}
	c.left.Store(math.Float64bits(math.NaN()))
	if cfg.Timezone != "" {
		if c.zone, err = time.LoadLocation(cfg.Timezone); err != nil {
			return nil, fmt.Errorf("sink %s: timezone: %w", deps.Name, err)
		}
	}
	return c, nil
}

// QuotaLeft implements sink.Metered.
func (c *Client) QuotaLeft() float64 { return math.Float64frombits(c.left.Load()) }

// record is one call, however many items of the batch are of it.
type record struct {
	key    string
	call   *call.Call
	fields map[string]any
	at     []int // in the batch
	number string
	notes  []string
}

func (r *record) note(s string) { r.notes = append(r.notes, s) }

// Deliver implements sink.Sink. With contacts that are remembered, 100 calls cost two requests.
func (c *Client) Deliver(ctx context.Context, batch []sink.Item) []sink.Result {
	out := make([]sink.Result, len(batch))
	var down error
	for records := range slices.Chunk(fold(batch), most) {
		var results map[string]sink.Result
		if down == nil {
			results = c.deliver(ctx, records)
		}
		for _, r := range records {
			res := sink.Result{Err: down}
			if results != nil {
				res = results[r.key]
			}
			if kind, _ := retry.Classify(res.Err); kind == retry.Paused && down == nil {
				down = res.Err
			}
			if res.Err == nil {
				res.Note = strings.Join(r.notes, "; ")
			}
			for _, i := range r.at {
				out[i] = res
			}
		}
	}
	return out
}

// fold makes one record of the items that have a key in common; the last of them wins.
func fold(batch []sink.Item) []*record {
	byKey := make(map[string]*record, len(batch))
	var out []*record
	for i, item := range batch {
		key := keyOf(item.Call)
		r := byKey[key]
		if r == nil {
			r = &record{key: key}
			byKey[key] = r
			out = append(out, r)
		}
		r.call, r.fields, r.at = item.Call, item.Fields, append(r.at, i)
		r.number = customerNumber(item.Call)
	}
	return out
}

// deliver takes the steps for at most 100 records: contacts, calls, associations.
func (c *Client) deliver(ctx context.Context, records []*record) map[string]sink.Result {
	results := make(map[string]sink.Result, len(records))
	people, err := c.people(ctx, records)
	if err != nil {
		for _, r := range records {
			results[r.key] = sink.Result{Err: err}
		}
		return results
	}
	var inputs []input
	for _, r := range records {
		if p := people[r.number]; p != nil && p.err != nil {
			results[r.key] = sink.Result{Err: p.err}
			continue
		}
		in, err := c.callInput(r)
		if err != nil {
			results[r.key] = sink.Result{Err: err}
			continue
		}
		inputs = append(inputs, in)
	}
	calls := c.write(ctx, callsUpsert, func(r *result) string { return string(r.Properties[callKey]) }, inputs)
	for key, o := range calls {
		if o.err == nil && o.id == "" {
			o.err = errors.New("HubSpot's answer has no id for the call")
		}
		results[key] = sink.Result{Err: o.err, VendorID: o.id}
	}
	c.associate(ctx, records, people, results)
	return results
}

// associate ties each call that HubSpot has to its contact, where there is one.
func (c *Client) associate(ctx context.Context, records []*record, people map[string]*person, results map[string]sink.Result) {
	var pairs []input
	for _, r := range records {
		res := results[r.key]
		if res.Err != nil {
			continue
		}
		p := people[r.number]
		if p == nil {
			r.note("without a contact: its number is not valid, or not there")
			continue
		}
		if p.note != "" {
			r.note(p.note)
		}
		if p.id == "" {
			continue
		}
		pairs = append(pairs, input{
			what: "the association", key: res.VendorID + ">" + p.id, hidden: mask.Names(r.call),
			body: pairInput{From: reference{text(res.VendorID)}, To: reference{text(p.id)}, Types: []pairType{{"HUBSPOT_DEFINED", callToContact}}},
		})
	}
	outcomes := c.write(ctx, pairsCreate, pairOf, pairs)
	for _, r := range records {
		res := results[r.key]
		p := people[r.number]
		if res.Err != nil || p == nil || p.id == "" {
			continue
		}
		err := outcomes[res.VendorID+">"+p.id].err
		refused, final := isRefusal(err)
		switch {
		case err == nil:
			continue
		case final && p.remembered:
			c.forget(ctx, r.number)
			err = fmt.Errorf("the contact is looked up again: %w", refused)
		case final:
			r.note("delivered without association: " + refused.text)
			continue
		}
		results[r.key] = sink.Result{Err: err, VendorID: res.VendorID}
	}
}

// pairOf is the key of an association in either of its two forms.
func pairOf(r *result) string {
	if r.From.ID != "" {
		return string(r.From.ID) + ">" + string(r.To.ID)
	}
	return string(r.FromID) + ">" + string(r.ToID)
}
