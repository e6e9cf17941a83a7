package hubspot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/pkg/retry"
)

const (
	requestTimeout = 30 * time.Second
	answerRoom     = 16 << 20 // bytes

	window      = 10 * time.Second // of the quota
	searches    = 4                // in a second; HubSpot allows 5 to all clients of the account
	lockedPause = 2 * time.Second
	downPause   = 10 * time.Second
	setupPause  = time.Minute    // between looks at what a person has to put right
	dailyPause  = time.Hour      // where it is not known when the account's day ends
	longest     = 24 * time.Hour // that HubSpot is believed
)

// do sends in as JSON and reads the answer into out. A refusal of the request for what is in it is a *failure; what says
// that the account is out of reach or out of quota is an outage.
func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return retry.Never(fmt.Errorf("cannot write the request to HubSpot: %w", err))
	}
	if path == contactsSearch {
		if _, err := c.search.take(ctx); err != nil {
			return cutShort(err)
		}
		defer c.search.done()
	}
	for {
		token := c.tokens.current()
		answer, err := c.send(ctx, method, path, token, body)
		if err != nil {
			return err
		}
		if answer.status == http.StatusUnauthorized && c.tokens.refused(token) {
			c.log.Warn("HubSpot refused a token; trying the next")
			continue
		}
		return c.read(answer, out)
	}
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

// send makes one request, when the quota has room for it.
func (c *Client) send(ctx context.Context, method, path, token string, body []byte) (*answer, error) {
	s, err := c.quota.take(ctx)
	if err != nil {
		return nil, cutShort(err)
	}
	a, err := c.exchange(ctx, method, path, token, body)
	c.quota.done()
	if err != nil {
		if ctx.Err() != nil {
			return nil, cutShort(ctx.Err())
		}
		return nil, retry.Outage(downPause, fmt.Errorf("HubSpot is out of reach: %w", err))
	}
	c.learn(a.header, s)
	return a, nil
}

// cutShort is what the end of a context means: its deadline, that HubSpot is too slow for it; else nothing.
func cutShort(err error) error {
	err = fmt.Errorf("the delivery to HubSpot was cut short: %w", err)
	if errors.Is(err, context.DeadlineExceeded) {
		return retry.Outage(downPause, err)
	}
	return err
}

func (c *Client) exchange(ctx context.Context, method, path, token string, body []byte) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if method == http.MethodGet {
		body = nil
	}
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // it was read, or is of no use
	got, err := io.ReadAll(io.LimitReader(resp.Body, answerRoom))
	if err != nil {
		return nil, fmt.Errorf("the answer was cut off: %w", err)
	}
	return &answer{status: resp.StatusCode, header: resp.Header, body: got}, nil
}

// learn takes what is left of the quota from the headers, which not every answer has.
func (c *Client) learn(h http.Header, s slot) {
	const prefix = "X-HubSpot-RateLimit-"
	left, err := strconv.Atoi(h.Get(prefix + "Remaining"))
	if interval := h.Get(prefix + "Interval-Milliseconds"); err == nil && (interval == "" || interval == "10000") {
		c.quota.learn(left, s)
	}
	all, err := strconv.Atoi(h.Get(prefix + "Daily"))
	left, lerr := strconv.Atoi(h.Get(prefix + "Daily-Remaining"))
	if err == nil && lerr == nil && all > 0 {
		c.left.Store(math.Float64bits(min(1, max(0, float64(left)/float64(all)))))
	}
}

// read says what an answer means.
func (c *Client) read(a *answer, out any) error {
	if a.status/100 == 2 {
		if err := json.Unmarshal(a.body, out); err != nil {
			return fmt.Errorf("HubSpot answered %d with what is not its JSON; it is not known what it did", a.status)
		}
		if ans, ok := out.(*batchAnswer); ok {
			for i := range ans.Errors {
				c.tokens.mask(&ans.Errors[i])
			}
		}
		return nil
	}
	f := &failure{status: a.status}
	_ = json.Unmarshal(a.body, &f.body) // what a proxy answers is not JSON; the status is enough then
	c.tokens.mask(&f.body)
	after, named := retryAfter(a.header)
	switch s := a.status; {
	case ofTheRequest(s, &f.body):
		if f.body.withoutKey() {
			return retry.Outage(setupPause, fmt.Errorf("HubSpot: %w: a key property is gone; run onhook crm setup %s", f, c.name))
		}
		return f
	case s == http.StatusUnauthorized:
		return retry.Outage(setupPause, fmt.Errorf("HubSpot refused the token: %w; give the sink %s a valid service key", f, c.name))
	case s == http.StatusForbidden:
		return retry.Outage(setupPause, fmt.Errorf("HubSpot: %w: the token may not do this; give its service key the scopes that the sink needs", f))
	case s == http.StatusLocked:
		return retry.After(max(after, lockedPause)+rand.N(time.Second), fmt.Errorf("HubSpot: %w: its records are locked", f))
	case s == http.StatusTooManyRequests:
		return c.tooMany(a.header, f)
	case s == 477:
		if !named {
			after = dailyPause
		}
		return retry.OutageAtLeast(after, fmt.Errorf("HubSpot: %w: the account is being moved", f))
	case s >= 500:
		return retry.OutageAtLeast(max(after, downPause), fmt.Errorf("HubSpot is down: %w", f))
	default:
		return retry.Outage(setupPause, fmt.Errorf("HubSpot: %w: not an answer of API version %s; check the sink's url", f, apiVersion))
	}
}

// tooMany says when there is quota again.
func (c *Client) tooMany(h http.Header, f *failure) error {
	if strings.EqualFold(string(f.body.PolicyName), "DAILY") {
		return retry.OutageAtLeast(c.untilMidnight(time.Now()), fmt.Errorf("HubSpot: %w: the account's daily quota is used up", f))
	}
	d, named := retryAfter(h)
	if ms, err := strconv.Atoi(h.Get("X-HubSpot-RateLimit-Interval-Milliseconds")); !named && err == nil && ms > 0 {
		d = time.Duration(ms) * time.Millisecond
	} else if !named {
		d = window
	}
	return retry.OutageAtLeast(d, fmt.Errorf("HubSpot: %w: the quota is used up", f))
}

// untilMidnight is how long the account's day still lasts, and a minute.
func (c *Client) untilMidnight(now time.Time) time.Duration {
	if c.zone == nil {
		return dailyPause
	}
	y, m, d := now.In(c.zone).Date()
	return time.Date(y, m, d+1, 0, 1, 0, 0, c.zone).Sub(now)
}

// retryAfter is a Retry-After in seconds or as a date, up to a day, and whether there is one.
func retryAfter(h http.Header) (time.Duration, bool) {
	v := h.Get("Retry-After")
	if n, err := strconv.Atoi(v); err == nil && n >= 0 {
		return time.Duration(min(n, int(longest/time.Second))) * time.Second, true
	}
	if at, err := http.ParseTime(v); err == nil {
		return min(max(time.Until(at), 0), longest), true
	}
	return 0, false
}

// tokens are those that may be valid, newest first.
type tokens struct {
	file string

	mu   sync.Mutex
	list []string
	at   int
}

func (t *tokens) current() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.list[t.at]
}

// mask takes the tokens out of a message, which may be read by anyone.
func (t *tokens) mask(e *batchError) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, token := range t.list {
		e.Message = text(strings.ReplaceAll(string(e.Message), token, "***"))
	}
}

// refused moves on from a token, and reports whether there is another to try. At the end of the list the file is read
// again; where it holds nothing new the list is tried from the start, but by the next request.
func (t *tokens) refused(token string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.list[t.at] != token {
		return t.at != 0 // another request moved on; back at the start, it found none that is valid
	}
	if t.at++; t.at < len(t.list) {
		return true
	}
	t.at = 0
	fresh, err := config.Secrets(nil).OrFile(t.file)
	if err != nil || len(fresh) == 0 || fresh[0].Reveal() == t.list[0] {
		return false
	}
	t.list = fresh.Reveal()
	return true
}
