// Package webhook posts calls to an endpoint as the Standard Webhooks specification says: signed, each under an id that
// stays the same however often it is sent.
package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/pkg/trace"
	"github.com/onhook/onhook/services/crm/internal/sink"
)

// Deps is what a Client is built over.
type Deps struct {
	Sink string // its name in the configuration: a part of every webhook-id
}

// Client is the sink.
type Client struct {
	name  string
	cfg   Config
	keys  [][]byte        // newest first
	http  *http.Transport // no http.Client: there are no redirects to follow, nor cookies to keep
	write func(sink.Item) ([]byte, error)
}

var _ sink.Sink = (*Client)(nil)

// New makes a client. It connects when there is something to send.
func New(cfg Config, d Deps) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Client{name: d.Sink, cfg: cfg, write: writers[cfg.Body]}
	for _, s := range cfg.Secrets {
		key, err := decodeSecret(s)
		if err != nil {
			return nil, err
		}
		c.keys = append(c.keys, key)
	}
	c.http = transport(cfg)
	return c, nil
}

// Check has nothing to ask: an endpoint takes events and nothing else.
func (c *Client) Check(context.Context) error { return nil }

// Deliver posts each call, several at a time. Once the endpoint turns out to be down, the rest is not posted: it would wait
// out as many timeouts, or hammer what asked for a pause. An endpoint that fails at all of a batch is down too: what a single
// call is to blame for shows when others are taken.
func (c *Client) Deliver(ctx context.Context, batch []sink.Item) []sink.Result {
	results := make([]sink.Result, len(batch))
	statuses := make([]int, len(batch))
	ids := make([]string, len(batch))
	last := make(map[string]int, len(batch)) // by id, where in batch the one stands that is sent
	for i := range batch {
		ids[i] = c.id(batch[i].Call)
		last[ids[i]] = i
	}
	var down atomic.Pointer[error]
	send := func(i int) {
		if err := down.Load(); err != nil {
			results[i].Err = *err
			return
		}
		status, err := c.post(ctx, ids[i], batch[i])
		statuses[i] = status
		if kind, _ := retry.Classify(err); kind == retry.Paused {
			down.Store(&err)
		}
		results[i] = sink.Result{Err: err, VendorID: ids[i]}
	}
	var senders sync.WaitGroup // one for each connection: one for each call would grow as many stacks anew
	var next atomic.Int64
	for range min(c.cfg.Connections, len(last)) {
		senders.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(batch); i = int(next.Add(1)) - 1 {
				if last[ids[i]] == i {
					send(i)
				}
			}
		})
	}
	senders.Wait()
	if ctx.Err() == nil { // else it is the stop that broke connections off
		pauseIfAllFail(results, statuses)
	}
	for i := range batch {
		results[i] = results[last[ids[i]]]
	}
	return results
}

// pauseIfAllFail makes outages of the failures that would be counted, where no call of the batch had an answer that speaks of
// the call itself.
func pauseIfAllFail(results []sink.Result, statuses []int) {
	var failed []int
	for i := range results {
		kind, _ := retry.Classify(results[i].Err)
		switch {
		case statuses[i]/100 == 5 || statuses[i] == 0:
			if kind == retry.Again || kind == retry.Later {
				failed = append(failed, i)
			}
		case kind != retry.Paused:
			return
		}
	}
	for _, i := range failed {
		if kind, wait := retry.Classify(results[i].Err); kind == retry.Later {
			results[i].Err = retry.OutageAtLeast(wait, results[i].Err)
		} else {
			results[i].Err = retry.Outage(soon, results[i].Err)
		}
	}
}

// id is the webhook-id of a call: the same for every attempt, after a redrive too.
func (c *Client) id(k *call.Call) string {
	h := sha256.New()
	for _, part := range []string{c.name, k.Provider, k.Source, string(k.Event), k.CallID} {
		_, _ = io.WriteString(h, strconv.Itoa(len(part))+":"+part)
	}
	return "msg_" + hex.EncodeToString(h.Sum(nil)[:16])
}

// post returns the status of the answer too, or 0 without one.
func (c *Client) post(ctx context.Context, id string, item sink.Item) (status int, err error) {
	body, err := c.write(item)
	if err != nil {
		return 0, retry.Never(fmt.Errorf("the call cannot be written: %w", err))
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.cfg.URL.Reveal(), bytes.NewReader(body))
	if err != nil {
		return 0, errors.New("the request cannot be made") // the reason would quote the address
	}
	now := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header = http.Header{
		"Content-Type":      {contentTypes[c.cfg.Body]},
		"User-Agent":        {"onhook"},
		"Webhook-Id":        {id},
		"Webhook-Timestamp": {now},
		"Webhook-Signature": {c.sign(id, now, body)},
	}
	if item.Trace != "" {
		req.Header.Set(trace.Header, item.Trace)
	}
	resp, err := c.http.RoundTrip(req)
	if err != nil {
		return 0, failed(err)
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
	_ = resp.Body.Close()
	return resp.StatusCode, answered(resp.StatusCode, resp.Header.Get("Retry-After"), time.Now())
}

// sign is a signature by each live secret: a receiver that knows one of them is content.
func (c *Client) sign(id, timestamp string, body []byte) string {
	var b strings.Builder
	for i, key := range c.keys {
		h := hmac.New(sha256.New, key)
		_, _ = io.WriteString(h, id+"."+timestamp+".")
		_, _ = h.Write(body)
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString("v1," + base64.StdEncoding.EncodeToString(h.Sum(nil)))
	}
	return b.String()
}
