package ingress

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
)

// receive takes one webhook: the whole way from request to answer.
func (in *Ingress) receive(c echo.Context) error {
	began := time.Now()
	r := c.Request()
	d := &bus.Delivery{ReceivedAt: began, ContentType: r.Header.Get(echo.HeaderContentType), UserAgent: r.UserAgent()}

	p := in.accept(c, d)
	took := time.Since(began)
	source := d.Source
	if source == "" {
		source = unknownSource
	}
	outcome, status := accepted, http.StatusOK
	if p != nil {
		outcome, status = p.outcome, p.Status
	} else {
		in.metrics.ackSeconds.Observe(took.Seconds())
	}
	in.metrics.deliveries.WithLabelValues(source, outcome).Inc()
	in.log.Info("delivery", zap.String("source", source), zap.String("outcome", outcome), zap.Int("status", status),
		zap.String("delivery_id", d.ID), zap.String("auth", string(d.Auth)), zap.Int("bytes", len(d.Body)), zap.Duration("took", took))
	if p != nil {
		return p.write(c)
	}
	return c.JSON(http.StatusOK, receipt{Received: true, DeliveryID: d.ID})
}

type receipt struct {
	Received   bool   `json:"received"`
	DeliveryID string `json:"delivery_id"`
}

// accept fills d from the request and stores it. It returns nil once d is safe, else why the request is refused.
func (in *Ingress) accept(c echo.Context, d *bus.Delivery) *problem {
	src, ok := in.sources[c.Param("source")]
	if !ok {
		return newProblem(unknown, "There is no such source. The last part of the URL must be a source of the configuration.")
	}
	d.Source, d.Provider = src.name, src.provider.Name
	if !src.tokenOK(c.Param("token")) {
		return newProblem(unauthorized, "The token in the URL is wrong or missing. Copy the source's URL again, its token included.")
	}

	body, release, p := in.readBody(c.Request())
	defer release()
	if p != nil {
		return p
	}
	d.Body = body
	if src.provider.Refuse != nil {
		if err := src.provider.Refuse(body); err != nil {
			return newProblem(notAnEvent, err.Error())
		}
	}
	if d.Auth, ok = src.verify(c.Request().Header, body); !ok {
		return newProblem(unauthorized, "The signature is wrong or missing. The secret of the source must be the one that the provider signs with.")
	}
	if wait := src.overLimit(); wait > 0 {
		return newProblem(rateLimited, "The source is over its rate limit.").retryAfter(wait)
	}

	id, err := uuid.NewV7()
	if err != nil {
		in.log.Error("no randomness for a delivery id", zap.Error(err))
		return newProblem(unavailable, "The delivery could not be stored. Send it again.").retryAfter(time.Second)
	}
	d.ID = id.String()
	// A sender that hangs up must not undo the publish: it may never send again.
	ctx, cancel := context.WithDeadline(context.WithoutCancel(c.Request().Context()), d.ReceivedAt.Add(in.cfg.AckBudget))
	defer cancel()
	if err := in.bus.PublishDelivery(ctx, d); err != nil {
		in.log.Error("not stored", zap.String("delivery_id", d.ID), zap.Error(err))
		wait := time.Second
		if errors.Is(err, bus.ErrFull) {
			wait = time.Minute
		}
		return newProblem(unavailable, "The delivery could not be stored. Send it again.").retryAfter(wait)
	}
	return nil
}

// overLimit takes one delivery from the source's limit, or says how long to wait for it.
func (s *source) overLimit() time.Duration {
	if s.limit == nil {
		return 0
	}
	r := s.limit.Reserve()
	wait := r.Delay()
	if wait > 0 {
		r.Cancel()
	}
	return wait
}
