package onhook

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/bus/bustest"
	"github.com/onhook/onhook/pkg/provider"
	"github.com/onhook/onhook/pkg/service"
	"github.com/onhook/onhook/pkg/store/storetest/pgtest"
	"github.com/onhook/onhook/services/decoder"
	"github.com/onhook/onhook/services/ingress"
	"github.com/onhook/onhook/services/storage"
)

// apart is the services as they run apart, each with a connection of its own, and an `onhook ops`.
type apart struct {
	t        *testing.T
	webhooks string // URL
	ops      string // host:port
}

func startApart(t *testing.T, dsn string) *apart {
	t.Helper()
	srv := bustest.StartServer(t)
	db := migrated(t, dsn)
	a := &apart{t: t, ops: startOpsCommand(t, srv.ClientURL(), dsn)} // before the workers: it finds no consumer yet
	sto, err := storage.New(t.Context(), storage.DefaultConfig(), db, srv.Connect(t), zap.NewNop(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	serveUntilEnd(t, sto.Run)
	dec, err := decoder.New(t.Context(), decoder.DefaultConfig(), provider.All(), srv.Connect(t), zap.NewNop(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	serveUntilEnd(t, dec.Run)
	cfg := ingress.DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	in, err := ingress.New(cfg, development{devSecret, devToken}.sources(), srv.Connect(t), zap.NewNop(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	serveUntilEnd(t, in.Run)
	a.webhooks = "http://" + in.Addr()
	return a
}

// startOpsCommand runs `onhook ops` until the test ends and returns its address, which the log tells.
func startOpsCommand(t *testing.T, natsURL, dsn string) string {
	t.Helper()
	token := writeTemp(t, "t0ken\nold-t0ken\n")
	file := writeTemp(t, fmt.Sprintf("nats: {url: %q}\nstorage: {dsn: %q}\nops: {token_file: %q}\n", natsURL, dsn, token))
	logs, w := io.Pipe()
	serveUntilEnd(t, func(ctx context.Context) error {
		err := Main(ctx, []string{"ops", "--config", file, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, io.Discard, w)
		w.CloseWithError(errors.Join(err, io.EOF))
		return err
	})
	addr := make(chan string, 1)
	go func() {
		defer close(addr)
		for lines := bufio.NewScanner(logs); lines.Scan(); {
			var line struct{ Msg, Addr string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "ops listening" {
				addr <- line.Addr
			}
		}
	}()
	if a := <-addr; a != "" {
		return a
	}
	t.Fatal("onhook ops did not start")
	return ""
}

// onhook runs a command against ops.
func (a *apart) onhook(args ...string) string {
	a.t.Helper()
	var out bytes.Buffer
	if err := Main(a.t.Context(), append(args, "--server", a.ops, "--token", "t0ken"), &out, io.Discard); err != nil {
		a.t.Fatalf("onhook %s: %v", strings.Join(args, " "), err)
	}
	return out.String()
}

// waitLines waits until a command prints so many lines below its titles.
func (a *apart) waitLines(n int, args ...string) string {
	a.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	out := ""
	for end := time.Now().Add(time.Minute); time.Now().Before(end); <-tick.C {
		if out = a.onhook(args...); strings.Count(out, "\n") == n+1 {
			return out
		}
	}
	a.t.Fatalf("onhook %s does not print %d lines: %s", strings.Join(args, " "), n, out)
	return ""
}

// TestOpsOfServicesApart asks every command that takes --server of `onhook ops`.
func TestOpsOfServicesApart(t *testing.T) {
	t.Parallel()
	for engine, dsn := range map[string]func(*testing.T) string{
		"sqlite":   func(t *testing.T) string { return dataDSN(t.TempDir()) },
		"postgres": func(t *testing.T) string { return pgtest.Start(t).Database(t) },
	} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			a := startApart(t, dsn(t))
			if err := Main(t.Context(), []string{"send", "altur", "--url", a.webhooks, "--count", "50", "--secret", devSecret}, io.Discard, io.Discard); err != nil {
				t.Fatal(err)
			}
			list := a.waitLines(50, "calls", "list", "--limit", "1000")
			id := strings.Fields(strings.Split(list, "\n")[1])[3]
			if out := a.onhook("calls", "show", "altur", id); !strings.Contains(out, id) {
				t.Errorf("calls show: %s", out)
			}
			for range 3 {
				resp, err := http.Post(a.webhooks+"/v1/webhooks/cllr/"+devToken, "application/json", strings.NewReader(`{"no":"id"}`))
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
			}
			a.waitLines(3, "dead", "list")
			if out := a.onhook("dead", "show", "1"); !strings.Contains(out, `{"no":"id"}`) {
				t.Errorf("dead show: %s", out)
			}
			if out := a.onhook("dead", "discard", "1", "2"); out != "discarded 2\n" {
				t.Errorf("dead discard: %s", out)
			}
			if out := a.onhook("dead", "redrive", "--consumer", "decoder"); out != "redriven 1\n" {
				t.Errorf("dead redrive: %s", out)
			}
			var got status
			if err := json.Unmarshal([]byte(a.onhook("status", "--json")), &got); err != nil || len(got.Consumers) != len(bus.Consumers) {
				t.Errorf("status: %v %+v", err, got)
			}
			err := Main(t.Context(), []string{"status", "--server", a.ops, "--token", "wrong"}, io.Discard, io.Discard)
			if err == nil || err.Error() != unauthorized.Detail {
				t.Errorf("a wrong token: %v", err)
			}
			err = Main(t.Context(), []string{"status", "--server", a.ops, "--token", "two words"}, io.Discard, io.Discard)
			if _, usage := errors.AsType[*service.UsageError](err); !usage || strings.Contains(err.Error(), "two words") {
				t.Errorf("a token that is none: %v", err)
			}
		})
	}
}

// TestTokenFromEnvironment: a token on the command line is one that others can see.
func TestTokenFromEnvironment(t *testing.T) {
	addr := startOps(t, bustest.Start(t), migrated(t, dataDSN(t.TempDir())), "t0ken")
	t.Setenv("ONHOOK_TOKEN", "t0ken")
	t.Setenv("ONHOOK_SERVER", "http://"+addr)
	if err := Main(t.Context(), []string{"status"}, io.Discard, io.Discard); err != nil {
		t.Error(err)
	}
}
