package webhook

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/onhook/onhook/pkg/retry"
)

// How long to leave an endpoint alone that does not say so itself.
const (
	soon      = 5 * time.Second  // it is overloaded or away
	mended    = 5 * time.Minute  // somebody must change a setting, here or there
	gone      = time.Hour        // it said that it wants no more
	mostDelay = 24 * time.Hour   // that a Retry-After can ask for
	locked    = 2 * time.Second  // somebody else is at the record
	throttled = 10 * time.Second // it said that we are too fast
)

// answered says what a status means to the call.
//
//	2xx                    delivered
//	3xx 401 403 404 405 407  the address or the secret is wrong: the sink stops, and nothing is lost
//	410                    the receiver wants no more: the sink stops
//	429 502 503 504        the sink pauses, for as long as Retry-After says
//	408 409 423 425, other 5xx  again; counted. Where no call of a batch has another answer, a 5xx pauses the sink
//	other 4xx              the call is dead: the receiver will not take it
func answered(status int, retryAfter string, now time.Time) error {
	err := fmt.Errorf("the endpoint answered %d %s", status, http.StatusText(status))
	wait, said := delay(retryAfter, now)
	pause := func(d time.Duration) error {
		if said {
			return retry.OutageAtLeast(wait, err)
		}
		return retry.Outage(d, err)
	}
	switch status / 100 {
	case 2:
		return nil
	case 3:
		return retry.Outage(mended, fmt.Errorf("%w: a redirect is not followed; give the address that it leads to", err))
	}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusProxyAuthRequired:
		return retry.Outage(mended, fmt.Errorf("%w: check the sink's url and secrets against the receiver's", err))
	case http.StatusGone:
		return retry.Outage(gone, fmt.Errorf("%w: the receiver wants no more webhooks; remove the sink, or have the receiver enable the endpoint", err))
	case http.StatusTooManyRequests:
		return pause(throttled)
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return pause(soon)
	case http.StatusLocked:
		if !said {
			wait = locked
		}
		return retry.After(wait, err)
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly:
		return again(wait, said, err)
	}
	if status/100 == 4 {
		return retry.Never(err)
	}
	return again(wait, said, err)
}

func again(wait time.Duration, said bool, err error) error {
	if said {
		return retry.After(wait, err)
	}
	return err
}

// delay reads a Retry-After, in seconds or as a date.
func delay(v string, now time.Time) (time.Duration, bool) {
	if v == "" {
		return 0, false
	}
	if seconds, err := strconv.ParseUint(v, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, mostDelay), true
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0, false
	}
	return min(max(at.Sub(now), 0), mostDelay), true
}

// failed says what it means that there was no answer. Its words are fixed where those of err name the endpoint: its address
// is a secret.
func failed(err error) error {
	if errors.Is(err, errPrivate) {
		return retry.Outage(mended, errPrivate)
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return retry.Outage(soon, errors.New("the endpoint cannot be reached: its name does not resolve"))
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return retry.Outage(mended, errors.New("no secure connection to the endpoint: its certificate is not trusted, or not for its name, or not of this time"))
	}
	if isTLS(err) {
		return retry.Outage(mended, fmt.Errorf("no secure connection to the endpoint: %w", err))
	}
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		return retry.Outage(soon, errors.New("the endpoint did not answer in time"))
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		if op.Op == "dial" {
			return retry.Outage(soon, fmt.Errorf("the endpoint cannot be reached: %w", op.Err))
		}
		err = op.Err // without the addresses
	}
	return fmt.Errorf("no answer, and the endpoint may have the call: %w", err) // it goes by the webhook-id
}

func isTLS(err error) bool {
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	_, ok := errors.AsType[tls.AlertError](err)
	return ok
}
