package ingress

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"
)

// refusal is one way to say no: the status, and the outcome that metrics and logs name it by.
type refusal struct {
	status  int
	outcome string
}

// The refusals. A 4xx is the sender's to mend; a fault of ours is a 5xx, or some providers would drop the call.
var (
	broken       = refusal{http.StatusBadRequest, "broken"}
	empty        = refusal{http.StatusBadRequest, "empty"}
	unauthorized = refusal{http.StatusUnauthorized, "unauthorized"}
	unknown      = refusal{http.StatusNotFound, "unknown_source"}
	timedOut     = refusal{http.StatusRequestTimeout, "timed_out"}
	tooLarge     = refusal{http.StatusRequestEntityTooLarge, "too_large"}
	notAnEvent   = refusal{http.StatusUnprocessableEntity, "not_an_event"}
	rateLimited  = refusal{http.StatusTooManyRequests, "rate_limited"}
	overloaded   = refusal{http.StatusServiceUnavailable, "overloaded"}
	unavailable  = refusal{http.StatusServiceUnavailable, "unavailable"}
)

// problem is an RFC 9457 answer.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`

	outcome string
	wait    time.Duration
}

func newProblem(r refusal, detail string) *problem {
	return &problem{Type: "about:blank", Title: http.StatusText(r.status), Status: r.status, Detail: detail, outcome: r.outcome}
}

func (p *problem) retryAfter(d time.Duration) *problem {
	p.wait = d
	return p
}

func (in *Ingress) tooLarge() *problem {
	return newProblem(tooLarge, fmt.Sprintf("The body is larger than %d bytes.", in.maxBody))
}

func (p *problem) write(c echo.Context) error {
	if p.wait > 0 {
		c.Response().Header().Set(echo.HeaderRetryAfter, strconv.Itoa(int(math.Ceil(p.wait.Seconds()))))
	}
	body, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return c.Blob(p.Status, "application/problem+json", body)
}

// refuseRoute answers what reached no source: another path, or another method.
func (in *Ingress) refuseRoute(err error, c echo.Context) {
	status, detail := http.StatusInternalServerError, "Something went wrong here. Send it again."
	if e, ok := errors.AsType[*echo.HTTPError](err); ok {
		status = e.Code
	}
	switch status {
	case http.StatusNotFound:
		detail = "Webhooks go to /v1/webhooks/<source>, or to /v1/webhooks/<source>/<token>."
	case http.StatusMethodNotAllowed:
		detail = "Webhooks are sent with POST."
	default:
		in.log.Error("request failed", zap.Error(err))
	}
	in.metrics.deliveries.WithLabelValues(unknownSource, http.StatusText(status)).Inc()
	if c.Response().Committed {
		return
	}
	if err := newProblem(refusal{status, ""}, detail).write(c); err != nil {
		in.log.Debug("cannot answer", zap.Error(err))
	}
}
