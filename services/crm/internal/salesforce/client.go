package salesforce

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/onhook/onhook/pkg/retry"
)

const (
	outageWait = 30 * time.Second // before another look at a Salesforce that does not answer
	deniedWait = 5 * time.Minute  // where a person must change something first

	maxAnswer = 32 << 20 // bytes
)

// client sends requests: with a token, within the org's allowance, and a few at once.
type client struct {
	base    string // https://NAME.my.salesforce.com
	version string
	timeout time.Duration // of one request
	http    *http.Client
	tokens  *tokens
	quota   *quota
	slots   chan struct{}
}

func newClient(cfg Config) *client {
	// A transport of its own: what the sink holds open is not shared with other sinks.
	h := &http.Client{
		Transport:     http.DefaultTransport.(*http.Transport).Clone(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &client{base: cfg.URL, version: cfg.APIVersion, timeout: cfg.Timeout, http: h,
		tokens: newTokens(cfg, h), quota: newQuota(), slots: make(chan struct{}, cfg.InFlight)}
}

// path is that of a resource of the REST API.
func (c *client) path(resource string) string { return "/services/data/" + c.version + "/" + resource }

// do sends body, if it is not nil, and decodes the answer into into. Its error is an outage, a *refusal of this
// request, or plain: then what became of the request is unknown. No error tells the values in hide.
func (c *client) do(ctx context.Context, method, path string, body, into any, hide ...string) error {
	var payload []byte
	if body != nil {
		var err error
		if payload, err = json.Marshal(body); err != nil {
			return fmt.Errorf("cannot encode a request to Salesforce: %w", err)
		}
	}
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return asOutage(ctx.Err())
	}
	token, err := c.tokens.get(ctx, "")
	if err != nil {
		return asOutage(err)
	}
	for replayed := false; ; replayed = true {
		if err := c.quota.admit(ctx); err != nil {
			return asOutage(err)
		}
		answer, err := c.send(ctx, method, path, payload, token)
		if err != nil {
			return retry.Outage(outageWait, fmt.Errorf("salesforce does not answer: %w", withoutURL(err)))
		}
		c.quota.see(answer.header.Get("Sforce-Limit-Info"))
		if answer.status == http.StatusUnauthorized && !replayed {
			if token, err = c.tokens.get(ctx, token); err != nil {
				return asOutage(err)
			}
			continue
		}
		return c.judge(answer, into, hide)
	}
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

func (c *client) send(ctx context.Context, method, path string, payload []byte, token string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(payload))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "application/json")
	if len(payload) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = res.Body.Close() }() // read to its end, or given up
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	return answer{status: res.StatusCode, header: res.Header, body: body}, err
}

// judge says what an answer to a whole request means. Only a refusal of what was asked blames the request; all that is
// about the org, the user or the service is an outage, so that no call dies of it.
func (c *client) judge(a answer, into any, hide []string) error {
	if a.status >= 200 && a.status < 300 {
		c.quota.worked()
		if kind, _, err := mime.ParseMediaType(a.header.Get("Content-Type")); err == nil && kind == "text/html" {
			return retry.Outage(outageWait, errors.New("salesforce answered with a web page; is url the org's My Domain, or is the org in maintenance?"))
		}
		if err := json.Unmarshal(a.body, into); err != nil {
			return fmt.Errorf("what became of the request is unknown: Salesforce answered HTTP %d with %d bytes that are not the answer to it", a.status, len(a.body))
		}
		return nil
	}
	no := c.refusal(a.status, parseErrors(a.body), hide)
	switch {
	case no.has("REQUEST_LIMIT_EXCEEDED"):
		return c.quota.exceeded(no)
	case a.status < 400:
		return retry.Outage(deniedWait, fmt.Errorf("salesforce points elsewhere (HTTP %d); is url the org's My Domain?", a.status))
	case a.status >= 500, a.status == http.StatusRequestTimeout, a.status == http.StatusTooManyRequests, no.has("SERVER_UNAVAILABLE"):
		return retry.OutageAtLeast(retryAfter(a.header, outageWait), fmt.Errorf("salesforce is not working: %w", no))
	case no.has("UNABLE_TO_LOCK_ROW", "QUERY_TIMEOUT"):
		return fmt.Errorf("salesforce could not at this time: %w", no) // counted: plain, but for its words
	case slices.Contains(refusals, a.status):
		c.quota.worked()
		return no
	case a.status == http.StatusUnauthorized:
		return retry.Outage(deniedWait, fmt.Errorf("salesforce refuses the session of a new token: %w", no))
	default: // 403 and 404, and 410 of an API version that is no more
		return retry.Outage(deniedWait, fmt.Errorf("salesforce does not let the integration user do this, or has no such field or API version: %w", no))
	}
}

// refusals are the statuses that blame what was asked.
var refusals = []int{http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong, http.StatusUnsupportedMediaType,
	http.StatusUnprocessableEntity, http.StatusRequestHeaderFieldsTooLarge}

// retryAfter is the delay that an answer asks for, as seconds or a date, or otherwise. Salesforce documents none; what
// stands before it may send one.
func retryAfter(h http.Header, otherwise time.Duration) time.Duration {
	text := h.Get("Retry-After")
	if n, err := strconv.Atoi(text); err == nil && n >= 0 && n <= 86_400 {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(time.Until(at), time.Second), 24*time.Hour)
	}
	return otherwise
}

// asOutage is for what keeps a request from being sent at all, whatever is in it.
func asOutage(err error) error {
	if kind, _ := retry.Classify(err); kind == retry.Paused {
		return err
	}
	return retry.Outage(outageWait, err)
}

// withoutURL drops what net/http puts before an error: the address may hold a query, and so a telephone number.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
