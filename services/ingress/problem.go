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
	noRoute      = refusal{http.StatusNotFound, "no_route"}
	unknown      = refusal{http.StatusNotFound, "unknown_source"}
	notPost      = refusal{http.StatusMethodNotAllowed, "not_post"}
	timedOut     = refusal{http.StatusRequestTimeout, "timed_out"}
	tooLarge     = refusal{http.StatusRequestEntityTooLarge, "too_large"}
	notAnEvent   = refusal{http.StatusUnprocessableEntity, "not_an_event"}
	rateLimited  = refusal{http.StatusTooManyRequests, "rate_limited"}
	internal     = refusal{http.StatusInternalServerError, "internal"}
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
	cause   error // of a fault of ours; for the log alone
}

func newProblem(r refusal, detail string) *problem {
	return &problem{Type: "about:blank", Title: http.StatusText(r.status), Status: r.status, Detail: detail, outcome: r.outcome}
}

func (p *problem) retryAfter(d time.Duration) *problem {
	p.wait = d
	return p
}

func (p *problem) because(err error) *problem {
	p.cause = err
	return p
}

func bodyTooLarge(most int64) *problem {
	return newProblem(tooLarge, fmt.Sprintf("The body is larger than %d bytes.", most))
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
	if c.Response().Committed {
		in.log.Debug("cannot answer", zap.Error(err)) // the client is gone
		return
	}
	p := newProblem(internal, "Something went wrong here. Send it again.")
	switch {
	case errors.Is(err, echo.ErrNotFound):
		p = newProblem(noRoute, "Webhooks go to /v1/webhooks/{source}, or to /v1/webhooks/{source}/{token}.")
	case errors.Is(err, echo.ErrMethodNotAllowed):
		p = newProblem(notPost, "Webhooks are sent with POST.")
		c.Response().Header().Set(echo.HeaderAllow, http.MethodPost)
	default:
		in.log.Error("request failed", zap.Error(err))
	}
	in.metrics.deliveries.WithLabelValues(unknownSource, p.outcome).Inc()
	if err := p.write(c); err != nil {
		in.log.Debug("cannot answer", zap.Error(err))
	}
}
