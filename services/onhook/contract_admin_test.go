package onhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/bus/bustest"
	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/provider"
	"github.com/onhook/onhook/pkg/service"
	"github.com/onhook/onhook/pkg/store"
	"github.com/onhook/onhook/pkg/store/storetest"
)

func TestAdminAnswersAreAsDocumented(t *testing.T) {
	t.Parallel()
	p := readPaper(t)
	proc, err := service.NewProcess(service.Options{Admin: "127.0.0.1:0"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	b := bustest.Start(t)
	dsn := dataDSN(t.TempDir())
	if _, _, err := store.Migrate(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	proc.Admin.AddCheck(service.Check{Name: "broker", Probe: b.Ready, Note: func(context.Context) string { return "deliveries are spooled" }})
	proc.Admin.Handle("/v1/", newAPI(b, db, []string{"kept"}, zap.NewNop()))
	serveUntilEnd(t, proc.Admin.Run)
	operators := startOps(t, b, db, "t0ken")
	saveExample(t, db)
	buryThree(t, b)
	for _, sink := range []string{"gone", "left"} {
		if _, _, err := b.Open(t.Context(), bus.CRM(sink)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.SetOutage(t.Context(), bus.CRM("kept"), &bus.Outage{Reason: "401", Since: time.Now()}); err != nil {
		t.Fatal(err)
	}

	do := func(status int, host, operation, target, origin, body string) {
		t.Helper()
		method, _, _ := strings.Cut(operation, " ")
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+proc.Admin.Addr()+target, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		if origin != "" {
			req.Header.Set("Origin", origin)
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != status {
			t.Errorf("%s answered %d, want %d", operation, resp.StatusCode, status)
		}
		if status == http.StatusOK && body != "" {
			p.valid(t, []byte(body), "components", "schemas", "Selection")
		}
		p.answer(t, operation, resp)
	}
	for _, c := range adminRequests {
		do(c.status, "", c.operation, c.target, c.origin, c.body)
	}
	operations := p.operations(func(tag string) bool { return tag != "webhooks" })
	for _, operation := range operations {
		_, path, _ := strings.Cut(operation, " ")
		do(http.StatusMisdirectedRequest, "example.com", operation, strings.ReplaceAll(path, "{seq}", "1"), "", "")
	}
	for _, operation := range p.operations(func(tag string) bool { return tag == "operator" }) {
		p.answer(t, operation, ask(t, operators, operation, ""))
	}
	b.Close()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range adminRequests { // what could be answered before cannot now
		if strings.HasSuffix(c.operation, "/healthz") || strings.HasSuffix(c.operation, "/metrics") || c.status != http.StatusOK {
			continue
		}
		do(http.StatusServiceUnavailable, "", c.operation, c.target, c.origin, c.body)
	}
	for _, operation := range operations {
		for _, k := range p.documented(t, operation) {
			if !p.seen[k] {
				t.Errorf("documented, but never answered: %s", k)
			}
		}
	}
}

var adminRequests = []struct {
	status                          int
	operation, target, origin, body string
}{
	{200, "GET /healthz", "/healthz", "", ""},
	{200, "GET /readyz", "/readyz", "", ""},
	{200, "GET /metrics", "/metrics", "", ""},
	{200, "GET /v1/calls", "/v1/calls?source=altur&status=completed&since=2026-01-02T03:04:05Z&limit=5", "", ""},
	{400, "GET /v1/calls", "/v1/calls?limit=100001", "", ""},
	{400, "GET /v1/calls", "/v1/calls?since=yesterday", "", ""},
	{200, "GET /v1/call", "/v1/call?source=altur&id=b5a3f0c1", "", ""},
	{404, "GET /v1/call", "/v1/call?source=altur&id=none", "", ""},
	{200, "GET /v1/call/timeline", "/v1/call/timeline?source=altur&id=b5a3f0c1", "", ""},
	{404, "GET /v1/call/timeline", "/v1/call/timeline?source=altur&id=none", "", ""},
	{200, "DELETE /v1/crm/{sink}", "/v1/crm/gone?force=true", "", ""},
	{400, "DELETE /v1/crm/{sink}", "/v1/crm/kept", "", ""},
	{400, "DELETE /v1/crm/{sink}", "/v1/crm/left?force=maybe", "", ""},
	{403, "DELETE /v1/crm/{sink}", "/v1/crm/left", "http://example.com", ""},
	{404, "DELETE /v1/crm/{sink}", "/v1/crm/gone", "", ""},
	{200, "GET /v1/dead", "/v1/dead?consumer=decoder&limit=2", "", ""},
	{400, "GET /v1/dead", "/v1/dead?limit=0", "", ""},
	{200, "GET /v1/dead/{seq}", "/v1/dead/1", "", ""},
	{400, "GET /v1/dead/{seq}", "/v1/dead/first", "", ""},
	{404, "GET /v1/dead/{seq}", "/v1/dead/99", "", ""},
	{200, "POST /v1/dead/redrive", "/v1/dead/redrive", "", `{"seqs":[1]}`},
	{400, "POST /v1/dead/redrive", "/v1/dead/redrive", "", `{}`},
	{403, "POST /v1/dead/redrive", "/v1/dead/redrive", "http://example.com", `{"consumer":"decoder"}`},
	{404, "POST /v1/dead/redrive", "/v1/dead/redrive", "", `{"seqs":[1]}`},
	{200, "POST /v1/dead/discard", "/v1/dead/discard", "", `{"consumer":"decoder"}`},
	{400, "POST /v1/dead/discard", "/v1/dead/discard", "", `{"seqs":[2],"consumer":"decoder"}`},
	{403, "POST /v1/dead/discard", "/v1/dead/discard", "http://example.com", `{"consumer":"decoder"}`},
	{404, "POST /v1/dead/discard", "/v1/dead/discard", "", `{"seqs":[2]}`},
	{200, "GET /v1/status", "/v1/status", "", ""},
}

func saveExample(t *testing.T, db store.Store) {
	t.Helper()
	body, err := sampleOf("altur")
	if err != nil {
		t.Fatal(err)
	}
	if body, err = withID(body, []string{"id"}, "b5a3f0c1"); err != nil {
		t.Fatal(err)
	}
	altur, _ := provider.Lookup("altur")
	c, err := altur.Call("altur", body)
	if err != nil {
		t.Fatal(err)
	}
	c.ReceivedAt = call.At(time.Now())
	if err := errors.Join(db.Save(t.Context(), storetest.Raw(t, c))...); err != nil {
		t.Fatal(err)
	}
}

func buryThree(t *testing.T, b *bus.Bus) {
	t.Helper()
	own, _, err := b.Open(t.Context(), bus.Decoder)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		d := &bus.Delivery{ID: fmt.Sprint(i), Provider: "altur", Source: "altur", ReceivedAt: time.Now(), Auth: call.AuthVerifiedBody, Body: []byte("{}")}
		if err := b.PublishDelivery(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		batch, err := own.Fetch(t.Context(), 1, 0)
		if err != nil || len(batch) != 1 {
			t.Fatalf("%d messages came: %v", len(batch), err)
		}
		if err := batch[0].Bury(t.Context(), "altur: $.id: missing", errors.New("missing"), 1); err != nil {
			t.Fatal(err)
		}
	}
}
