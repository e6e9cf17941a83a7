package salesforce

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/onhook/onhook/pkg/retry"
)

// The org's allowance of requests counts the last 24 hours and is everybody's: people work with what we leave.
const (
	slowAt  = 0.80 // of the allowance: from here on requests are spaced
	stopAt  = 0.95 // from here on one request in lookWait, to see whether it is better
	maxStep = 3    // of limitStep

	lookWait  = 15 * time.Minute
	limitStep = 5 * time.Minute // after REQUEST_LIMIT_EXCEEDED; twice, then three times that while it goes on
	maxSpace  = 30 * time.Second
)

var usageForm = regexp.MustCompile(`(?:^|[;,\s])api-usage=([0-9]{1,12})/([0-9]{1,12})\b`)

// quota decides when the next request may go.
type quota struct {
	pace *rate.Limiter

	mu      sync.Mutex
	left    float64 // of the allowance, 0 to 1, when last seen; NaN before
	near    bool    // the allowance was nearly used up when last seen
	steps   int     // refusals for want of allowance, one after the other
	until   time.Time
	because error
}

func newQuota() *quota { return &quota{pace: rate.NewLimiter(rate.Inf, 1), left: math.NaN()} }

// admit waits until a request may go, or answers an outage.
func (q *quota) admit(ctx context.Context) error {
	q.mu.Lock()
	if wait := time.Until(q.until); wait > 0 {
		defer q.mu.Unlock()
		return retry.Outage(wait, q.because)
	}
	if q.near { // this request is the look; the others wait for what it sees
		q.until = time.Now().Add(lookWait)
	}
	q.mu.Unlock()
	return q.pace.Wait(ctx)
}

// see reads the header Sforce-Limit-Info of an answer.
func (q *quota) see(header string) {
	m := usageForm.FindStringSubmatch(header)
	if m == nil {
		return
	}
	used, _ := strconv.ParseFloat(m[1], 64)
	total, _ := strconv.ParseFloat(m[2], 64)
	if total == 0 {
		return
	}
	share := used / total
	q.pace.SetLimit(spacing(share, total))
	q.mu.Lock()
	defer q.mu.Unlock()
	q.left = max(0, 1-share)
	switch {
	case share >= stopAt:
		q.near = true
		q.until = time.Now().Add(lookWait)
		q.because = fmt.Errorf("salesforce: %.0f of the org's %.0f requests in 24 hours are used; stopped, so that the rest is left to others", used, total)
	case q.near:
		q.near, q.until = false, time.Time{}
	}
}

// spacing is the pace at a share of the allowance: free below slowAt; there as many requests a day as the org has in
// all, and at stopAt a quarter of that.
func spacing(share, total float64) rate.Limit {
	if share < slowAt {
		return rate.Inf
	}
	times := 1 + 3*min(1, (share-slowAt)/(stopAt-slowAt))
	space := time.Duration(times * float64(24*time.Hour) / total)
	return rate.Every(min(space, maxSpace))
}

// exceeded notes that Salesforce refused a request for want of allowance, and answers the outage.
func (q *quota) exceeded(err error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.steps = min(q.steps+1, maxStep)
	wait := time.Duration(q.steps) * limitStep
	q.until, q.because = time.Now().Add(wait), err
	return retry.Outage(wait, err)
}

// worked notes that a request was not refused for want of allowance.
func (q *quota) worked() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.steps = 0
}
