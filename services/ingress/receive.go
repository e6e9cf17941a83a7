package ingress

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/trace"
)

// receive takes one webhook: the whole way from request to answer.
func (in *Ingress) receive(c echo.Context) error {
	r := c.Request()
	d := &bus.Delivery{ReceivedAt: time.Now(), ContentType: r.Header.Get(echo.HeaderContentType), UserAgent: r.UserAgent()}
	span := trace.From(r.Context()).Receive(r.Header)
	d.Trace = span.Parent()
	p := in.accept(c, d)
	in.record(d, p, span)
	if p != nil {
		return p.write(c)
	}
	return c.JSONBlob(http.StatusOK, []byte(`{"received":true,"delivery_id":"`+d.ID+"\"}\n")) // a UUID: nothing to escape
}

// record counts, logs and traces what became of a request. Its path is in none of them: it may hold a token.
func (in *Ingress) record(d *bus.Delivery, p *problem, span trace.Span) {
	took := time.Since(d.ReceivedAt)
	source, outcome, status, level := d.Source, accepted, http.StatusOK, zap.InfoLevel
	if source == "" {
		source = unknownSource
	}
	var cause error
	if p == nil {
		in.metrics.ackSeconds.Observe(took.Seconds())
	} else {
		outcome, status, cause = p.outcome, p.Status, p.cause
	}
	if cause != nil {
		level = zap.ErrorLevel
	}
	in.metrics.deliveries.WithLabelValues(source, outcome).Inc()
	if line := in.log.Check(level, "delivery"); line != nil {
		line.Write(zap.String("source", source), zap.String("outcome", outcome), zap.Int("status", status),
			zap.String("delivery_id", d.ID), zap.String("auth", string(d.Auth)), zap.Int("bytes", len(d.Body)), zap.Duration("took", took), zap.Error(cause))
	}
	span.End(trace.About{ID: d.ID, Provider: d.Provider, Source: d.Source, Result: outcome, Failed: status >= http.StatusInternalServerError})
}

// accept fills d from the request and stores it. It returns nil once d is safe, else why the request is refused.
func (in *Ingress) accept(c echo.Context, d *bus.Delivery) (p *problem) {
	defer func() {
		if v := recover(); v != nil { // by a provider's reading of foreign bytes; it must be seen, not only cut the connection
			p = newProblem(internal, "Something went wrong here. Send it again.").because(fmt.Errorf("panic: %v\n%s", v, debug.Stack()))
		}
	}()
	src, ok := in.sources[pathPart(c, "source")]
	if !ok {
		return newProblem(unknown, "There is no such source. The last part of the URL must be a source of the configuration.")
	}
	d.Source, d.Provider = src.name, src.provider.Name
	if !src.tokenOK(pathPart(c, "token")) {
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

	d.ID = uuid.Must(uuid.NewV7()).String() // crypto/rand does not fail
	// A sender that hangs up must not undo the publish: it may never send again.
	ctx, cancel := context.WithDeadline(context.WithoutCancel(c.Request().Context()), d.ReceivedAt.Add(in.cfg.AckBudget))
	defer cancel()
	if err := in.bus.PublishDelivery(ctx, d); err != nil {
		return notStored(err)
	}
	return nil
}

func notStored(err error) *problem {
	if errors.Is(err, bus.ErrOverload) {
		return tooMuch()
	}
	wait := time.Second
	if errors.Is(err, bus.ErrFull) {
		wait = time.Minute
	}
	return newProblem(unavailable, "The delivery could not be stored. Send it again.").retryAfter(wait).because(err)
}

// pathPart is a part of the path, whichever of its characters the sender has escaped: echo hands it over as it was
// sent if not all were escaped in the usual way.
func pathPart(c echo.Context, name string) string {
	v := c.Param(name)
	if c.Request().URL.RawPath == "" {
		return v
	}
	if plain, err := url.PathUnescape(v); err == nil {
		return plain
	}
	return v
}
