package onhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/bus/bustest"
	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/pkg/service"
	"github.com/onhook/onhook/pkg/store"
)

// startOps serves the API behind tokens until the test ends and returns its address.
func startOps(t *testing.T, b *bus.Bus, db store.Store, tokens ...config.Secret) string {
	t.Helper()
	o, err := newOps(opsConfig{Listen: "127.0.0.1:0", Token: tokens}, b, db, nil, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	serveUntilEnd(t, o.run)
	return o.addr()
}

// ask sends one request with an Authorization header, or without one if it is empty.
func ask(t *testing.T, addr, operation, authorization string) *http.Response {
	t.Helper()
	method, path, _ := strings.Cut(operation, " ")
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+strings.ReplaceAll(path, "{seq}", "1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func migrated(t *testing.T, dsn string) store.Store {
	t.Helper()
	if _, _, err := store.Migrate(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestOpsAsksForAToken(t *testing.T) {
	t.Parallel()
	addr := startOps(t, bustest.Start(t), migrated(t, dataDSN(t.TempDir())), "new-token", "old-token")
	for _, c := range []struct {
		authorization string
		status        int
	}{
		{"", 401},
		{"Bearer", 401},
		{"Bearer ", 401},
		{"Bearer new-toke", 401},
		{"Bearer new-token ", 200}, // HTTP takes the space away
		{"Bearer new-token old-token", 401},
		{"Bearer  new-token", 401},
		{"Basic new-token", 401},
		{"new-token", 401},
		{"Bearer new-token", 200},
		{"bearer old-token", 200},
	} {
		for _, operation := range []string{"GET /v1/status", "GET /v1/calls"} {
			if got := ask(t, addr, operation, c.authorization).StatusCode; got != c.status {
				t.Errorf("%s with %q: got %d, want %d", operation, c.authorization, got, c.status)
			}
		}
	}
	if got := ask(t, addr, "GET /v1/nothing", "").StatusCode; got != 401 { // which paths there are is nobody's business
		t.Errorf("an unknown path without a token: %d", got)
	}
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} { // those are the admin listener's
		if got := ask(t, addr, "GET "+path, "Bearer new-token").StatusCode; got != 404 {
			t.Errorf("%s: %d", path, got)
		}
	}
}

// TestOpsLogHasNoSecret reads what requests leave in the log.
func TestOpsLogHasNoSecret(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.DebugLevel)
	o, err := newOps(opsConfig{Listen: "127.0.0.1:0", Token: config.Secrets{"t0ken-of-ops"}}, bustest.Start(t), migrated(t, dataDSN(t.TempDir())), nil, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	serveUntilEnd(t, o.run)
	ask(t, o.addr(), "GET /v1/calls?phone=%2B525512345678", "Bearer t0ken-of-ops")
	ask(t, o.addr(), "GET /v1/calls", "Bearer wr0ng-token")
	var lines bytes.Buffer
	for _, e := range logs.All() {
		b, err := json.Marshal(e.ContextMap())
		if err != nil {
			t.Fatal(err)
		}
		lines.WriteString(e.Message + " " + string(b) + "\n")
	}
	for _, secret := range []string{"t0ken", "wr0ng", "5512345678"} {
		if strings.Contains(lines.String(), secret) {
			t.Errorf("the log holds %s:\n%s", secret, &lines)
		}
	}
	if n := logs.FilterMessage("request").Len(); n != 2 {
		t.Errorf("%d requests in the log:\n%s", n, &lines)
	}
}

func TestOpsRefusesToStart(t *testing.T) {
	t.Parallel()
	empty := writeTemp(t, "\n")
	for name, c := range map[string]struct{ yaml, says string }{
		"no token":     {"nats: {url: \"nats://127.0.0.1:1\"}\nstorage: {dsn: \"postgres://h/d\"}", "neither ops.token nor ops.token_file"},
		"empty token":  {"ops: {token: \"\"}", "ops.token"},
		"empty file":   {"ops: {token_file: " + empty + "}", "is empty"},
		"no file":      {"ops: {token_file: /nonexistent}", ":1: ops.token_file: cannot read secret file /nonexistent"},
		"both":         {"ops: {token: a, token_file: " + empty + "}", "not both"},
		"not a header": {"ops: {token: \"two words\"}", ":1: ops.token: a token stands in a header"},
		"listen":       {"ops: {token: a, listen: nowhere}", "ops.listen"},
		"not split":    {"ops: {token: a}", "`onhook run` answers the commands itself"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := Main(t.Context(), []string{"ops", "--admin", "127.0.0.1:0", "--config", writeTemp(t, c.yaml)}, &bytes.Buffer{}, &bytes.Buffer{})
			_, usage := errors.AsType[*service.UsageError](err)
			_, configuration := errors.AsType[*config.Error](err)
			if !usage && !configuration || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "two words") {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
}

func writeTemp(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
