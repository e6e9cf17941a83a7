package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"flag"
	"io"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/onhook/onhook/deploy/bench/body"
	"github.com/onhook/onhook/pkg/provider"
	"github.com/onhook/onhook/pkg/service"
)

// roles is what this program is when its first argument names one: what onhook is compared with, or stands on.
var roles = map[string]func(ctx context.Context, args []string) error{
	"afternoon": afternoon,
	"bare":      bare,
	"forward":   forward,
	"slowdisk":  slowDisk,
}

type receipt struct {
	Received   bool   `json:"received"`
	DeliveryID string `json:"delivery_id"`
}

// bare is an echo handler that reads a body and checks its signature. With -tuned it does so as ingress does: the collector
// rarely runs, and a body is read into memory of its size. With -nats it publishes the body to core NATS, which answers nothing.
func bare(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bare", flag.ContinueOnError)
	listen := flags.String("listen", "", "`host:port`")
	url := flags.String("nats", "", "publish to this `URL`")
	tuned := flags.Bool("tuned", false, "allocate and collect as ingress does")
	if err := flags.Parse(args); err != nil {
		return err
	}
	read := func(r *http.Request) ([]byte, error) { return io.ReadAll(r.Body) }
	if *tuned {
		service.CollectRarely()
		read = func(r *http.Request) ([]byte, error) {
			data := make([]byte, max(0, min(r.ContentLength, 8<<20)))
			_, err := io.ReadFull(r.Body, data)
			return data, err
		}
	}
	publish := func(string, []byte) error { return nil }
	if *url != "" {
		nc, err := nats.Connect(*url)
		if err != nil {
			return err
		}
		defer nc.Close()
		publish = nc.Publish
	}
	e := echo.New()
	receive := func(c echo.Context) error {
		name := c.Param("source")
		data, err := read(c.Request())
		if err != nil || !verified(c.Request(), name, c.Param("token"), data) {
			return c.NoContent(http.StatusUnauthorized)
		}
		if err := publish("webhooks."+name+"."+name, data); err != nil {
			return err
		}
		return c.JSON(http.StatusOK, receipt{true, uuid.Must(uuid.NewV7()).String()})
	}
	e.POST("/v1/webhooks/:source", receive)
	e.POST("/v1/webhooks/:source/:token", receive)
	return serve(ctx, *listen, e)
}

// afternoon is what somebody who knows Go and NATS writes in an afternoon: a handler that waits for its own PubAck.
func afternoon(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("afternoon", flag.ContinueOnError)
	listen := flags.String("listen", "", "`host:port`")
	url := flags.String("nats", "", "publish to this `URL`")
	if err := flags.Parse(args); err != nil {
		return err
	}
	nc, err := nats.Connect(*url)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	receive := func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("source")
		data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 8<<20))
		if err != nil || !verified(r, name, r.PathValue("token"), data) {
			http.Error(w, "unauthorized", http.StatusUnauthorized)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), 8*time.Second)
		defer cancel()
		if _, err := js.PublishMsg(ctx, &nats.Msg{Subject: "webhooks." + name + "." + name, Data: data}); err != nil {
			http.Error(w, "not stored", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"received":true}`)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/webhooks/{source}", receive)
	mux.HandleFunc("POST /v1/webhooks/{source}/{token}", receive)
	return serve(ctx, *listen, mux)
}

// verified reports whether the source's provider has sent the body.
func verified(r *http.Request, source, token string, data []byte) bool {
	p, ok := provider.Lookup(source)
	if !ok {
		return false
	}
	if p.Verify == nil {
		a, b := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(body.Token))
		return hmac.Equal(a[:], b[:])
	}
	_, ok = p.Verify(r.Header, data, []string{body.Secret}, "")
	return ok
}

func serve(ctx context.Context, listen string, h http.Handler) error {
	s := &http.Server{Addr: listen, Handler: h, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		_ = s.Close()
	}()
	if err := s.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
