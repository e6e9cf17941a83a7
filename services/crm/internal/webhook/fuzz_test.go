package webhook

import (
	"testing"
	"time"

	"github.com/onhook/onhook/pkg/retry"
)

// FuzzAnswered: whatever an endpoint answers, only a 2xx is a delivery, and no delay is negative or endless.
func FuzzAnswered(f *testing.F) {
	f.Add(429, "120")
	f.Add(503, "Sun, 01 Mar 2026 12:01:00 GMT")
	f.Add(200, "-1")
	f.Add(0, "99999999999999999999")
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, status int, retryAfter string) {
		err := answered(status, retryAfter, now)
		kind, d := retry.Classify(err)
		if (kind == retry.Done) != (status >= 200 && status < 300) || d < 0 || d > mostDelay {
			t.Errorf("%d with Retry-After %q: kind %d in %v: %v", status, retryAfter, kind, d, err)
		}
	})
}
