package onhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sync/errgroup"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/pkg/provider"
	"github.com/onhook/onhook/pkg/service"
	"github.com/onhook/onhook/pkg/spool"
	"github.com/onhook/onhook/schemas"
	"github.com/onhook/onhook/services/crm"
	"github.com/onhook/onhook/services/decoder"
	"github.com/onhook/onhook/services/ingress"
	"github.com/onhook/onhook/services/storage"
)

// connect is a user's connection, as a process called name makes it.
func (g *guarded) connect(t *testing.T, user, name string, log *zap.Logger) *bus.Bus {
	t.Helper()
	b, err := bus.Connect(t.Context(), g.config(user), name, log)
	if err != nil {
		t.Fatalf("%s: %v", user, err)
	}
	t.Cleanup(b.Close)
	return b
}

// TestEveryServiceWorksWithItsRightsAlone has every service do all that it ever does, each as its own user, and the broker
// refuse none of it.
func TestEveryServiceWorksWithItsRightsAlone(t *testing.T) {
	g := startGuarded(t)
	core, logs := observer.New(zapcore.WarnLevel)
	log := zap.New(core)
	t.Cleanup(func() {
		for _, line := range logs.FilterMessage("broker").All() {
			t.Errorf("the broker refused what a service wants: %v", line.ContextMap()["error"])
		}
	})
	var received sync.Map // call ids that the sink was sent
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		received.Store(string(body), true)
	}))
	t.Cleanup(receiver.Close)
	dsn := dataDSN(t.TempDir())
	file := writeTemp(t, fmt.Sprintf("sources: {altur: {provider: altur, secrets: [%s]}}\nnats: {url: %q, nkey_file: %q}\nstorage: {dsn: %q}\n"+
		"crm: {hooks: {kind: webhook, url: %q, secrets: [whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0], allow_private: true}}\n",
		devSecret, g.url, g.seeds["migrate"], dsn, receiver.URL))
	var said bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // what the broker refuses is waited for
	defer cancel()
	for _, command := range []string{"migrate", "check", "migrate"} {
		if err := Main(ctx, []string{command, "--config", file}, &said, &said); err != nil {
			t.Fatalf("onhook %s: %v\n%s", command, err, said.String())
		}
	}

	in, dec, sto := g.connect(t, "ingress", "ingress", log), g.connect(t, "decoder", "decoder", log), g.connect(t, "storage", "storage", log)
	hooks, ops := g.connect(t, "crm-hooks", bus.CRM("hooks").Name, log), g.connect(t, "ops", "ops", log)
	for name, b := range map[string]*bus.Bus{"ingress": in, "decoder": dec, "storage": sto, "crm-hooks": hooks, "ops": ops} {
		for _, probe := range []func(context.Context) error{b.Ready, b.Durable, b.Sound} {
			if err := probe(t.Context()); err != nil {
				t.Errorf("%s is not ready: %v", name, err)
			}
		}
	}
	settleAll(t, in, dec, sto, hooks, ops)
	rememberContacts(t, hooks)
	countEnvelopes(t, in, dec, ops)
	drain(t, g, delivery("1"), delivery("2"))

	f, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	sinks := crm.Config{}
	if err := f.Section("crm", &sinks); err != nil {
		t.Fatal(err)
	}
	a := g.startServices(t, dsn, sinks, in, dec, sto, hooks, ops)
	if err := Main(t.Context(), []string{"send", "altur", "--url", a.webhooks, "--count", "200", "--secret", devSecret}, io.Discard, io.Discard); err != nil {
		t.Fatal(err)
	}
	large, err := schemas.FS.ReadFile("provider/cllr/full.example.json")
	if err != nil {
		t.Fatal(err)
	}
	padding := strings.Repeat(" ", 3<<20) // more than a message of this server holds
	a.post(string(large) + padding)
	a.waitLines(201, "calls", "list", "--limit", "1000")
	const died = settled + enveloped + spooled
	a.waitLines(died, "dead", "list")
	a.post(`{"no":"id"}` + padding)
	a.waitLines(died+1, "dead", "list")
	if out := a.onhook("dead", "show", fmt.Sprint(died+1)); !strings.Contains(out, `{"no":"id"}`) {
		t.Errorf("dead show: %.200s", out)
	}
	a.onhook("dead", "redrive", fmt.Sprint(died+1)) // and it dies again, its body in the other store by now
	again := fmt.Sprint(died + 2)
	eventually(t, "the redriven message to die", func() bool { return strings.Contains(a.onhook("dead", "list"), "\n"+again+" ") })
	a.onhook("dead", "discard", again)
	eventually(t, "outcomes", func() bool {
		return strings.Contains(a.onhook("calls", "show", "cllr", "69a1c0de619c51fac21acf77"), "delivered")
	})
	migrate := g.connect(t, "migrate", "migrate", log)
	if err := migrate.MakeConsumers(t.Context(), []bus.Consumer{bus.CRM("old")}); err != nil {
		t.Fatal(err)
	}
	if out := a.onhook("status"); !strings.Contains(out, "old") {
		t.Errorf("status names no orphan: %s", out)
	}
	a.onhook("crm", "remove", "old")

	if strings.Contains(said.String(), "ermissions") {
		t.Error(said.String())
	}
}

// What is no call of altur, and dies: a message of each consumer, and deliveries.
const (
	settled   = 4
	enveloped = 100
	spooled   = 2
)

func delivery(id string) *bus.Delivery {
	return &bus.Delivery{ID: id, Provider: "altur", Source: "altur", ReceivedAt: time.Now(), Auth: call.AuthToken, Body: []byte("{}")}
}

// settleAll takes one message of each consumer through all that can become of it, and has its worker say that it waits.
func settleAll(t *testing.T, in, dec, sto, hooks, ops *bus.Bus) {
	t.Helper()
	if err := in.PublishDelivery(t.Context(), delivery("0")); err != nil {
		t.Fatal(err)
	}
	c := &call.Call{}
	c.Provider, c.Source, c.Event, c.CallID = "altur", "altur", call.Ended, "0"
	o := call.Outcome{Sink: "hooks", Provider: "altur", Source: "altur", CallID: "0", Event: call.Ended, Result: call.ResultDelivered, At: call.At(time.Now())}
	if err := errors.Join(append(dec.PublishCalls(t.Context(), []*call.Call{c}), hooks.PublishOutcomes(t.Context(), []call.Outcome{o}, []string{""})...)...); err != nil {
		t.Fatal(err)
	}
	for _, w := range []struct {
		bus      *bus.Bus
		consumer bus.Consumer
	}{{dec, bus.Decoder}, {sto, bus.Storage}, {sto, bus.Outcomes}, {hooks, bus.CRM("hooks")}} {
		settle(t, w.bus, w.consumer, ops)
	}
}

// drain has the command forward what a spool holds, as the user ingress.
func drain(t *testing.T, g *guarded, deliveries ...*bus.Delivery) {
	t.Helper()
	dir := t.TempDir()
	s, err := spool.Open(dir, 1<<20, zap.NewNop())
	must(t, "spool", err)
	for _, d := range deliveries {
		must(t, "spool", s.Append(t.Context(), d))
	}
	must(t, "spool", s.Close())
	file := writeTemp(t, fmt.Sprintf("nats: {url: %q, nkey_file: %q}\n", g.url, g.seeds["ingress"]))
	var said bytes.Buffer
	if err := Main(t.Context(), []string{"spool", "drain", dir, "--config", file}, &said, &said); err != nil || strings.Contains(said.String(), "ermissions") {
		t.Errorf("the spool is not drained: %v\n%s", err, said.String())
	}
}

func settle(t *testing.T, b *bus.Bus, c bus.Consumer, ops *bus.Bus) {
	t.Helper()
	ctx := t.Context()
	own, again, err := b.Open(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	m := first(t, own)
	bus.InProgress([]*bus.Message{m})
	must(t, c.Name, m.HandBack())
	must(t, c.Name, first(t, own).Schedule(ctx, time.Now().Add(time.Second), 1))
	must(t, c.Name, first(t, again).Bury(ctx, "test", errors.New("test"), 2))
	must(t, c.Name, b.SetOutage(ctx, c, &bus.Outage{Reason: "test", Since: time.Now()}))
	for _, asking := range []*bus.Bus{b, ops} {
		if s, err := asking.Status(ctx, c); err != nil || s.Outage == nil || s.Dead != 1 {
			t.Errorf("%s: %+v, %v", c.Name, s, err)
		}
	}
	must(t, c.Name, b.SetOutage(ctx, c, nil))
	if s, err := ops.Status(ctx, c); err != nil || s.Outage != nil {
		t.Errorf("%s: %+v, %v", c.Name, s, err)
	}
}

func first(t *testing.T, in *bus.Inbox) *bus.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		got, err := in.Fetch(ctx, 1, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) > 0 {
			return got[0]
		}
	}
	t.Fatal("no message came")
	return nil
}

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// rememberContacts uses the contacts as a sink does.
func rememberContacts(t *testing.T, hooks *bus.Bus) {
	t.Helper()
	c := hooks.Contacts("hooks")
	must(t, "put", c.Put(t.Context(), map[string]string{"+525512345678": "1"}))
	if got, err := c.Get(t.Context(), []string{"+525512345678", "+525500000000"}); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	must(t, "delete", c.Delete(t.Context(), "+525512345678"))
}

// countEnvelopes has deliveries wait in envelopes, whose number the decoder and the operator's API want to know.
func countEnvelopes(t *testing.T, in, dec, ops *bus.Bus) {
	t.Helper()
	var g errgroup.Group
	for i := range enveloped {
		g.Go(func() error { return in.PublishDelivery(t.Context(), delivery(fmt.Sprint("e", i))) })
	}
	must(t, "publish", g.Wait())
	for _, b := range []*bus.Bus{dec, ops} { // the broker counts a message a moment after it has stored it
		eventually(t, "all deliveries to be counted", func() bool {
			s, err := b.Status(t.Context(), bus.Decoder)
			must(t, "status", err)
			return s.Pending == enveloped
		})
	}
}

// startServices starts every service over its connection until the test ends.
func (g *guarded) startServices(t *testing.T, dsn string, sinks crm.Config, in, dec, sto, hooks, ops *bus.Bus) *apart {
	t.Helper()
	db := migrated(t, dsn)
	o, err := newOps(opsConfig{Listen: "127.0.0.1:0", Token: config.Secrets{"t0ken"}}, ops, db, sinks.Names(), zap.NewNop())
	must(t, "ops", err)
	s, err := storage.New(t.Context(), storage.DefaultConfig(), db, sto, zap.NewNop(), prometheus.NewRegistry())
	must(t, "storage", err)
	d, err := decoder.New(t.Context(), decoder.DefaultConfig(), provider.All(), dec, zap.NewNop(), prometheus.NewRegistry())
	must(t, "decoder", err)
	c, err := crm.New(t.Context(), sinks, hooks, zap.NewNop(), prometheus.NewRegistry())
	must(t, "crm", err)
	cfg := ingress.DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	i, err := ingress.New(cfg, development{devSecret, devToken}.sources(), in, zap.NewNop(), prometheus.NewRegistry())
	must(t, "ingress", err)
	for _, p := range []service.Part{{Run: o.run}, {Run: s.Run}, {Run: d.Run}, {Run: c.Run}, {Run: i.Run}} {
		serveUntilEnd(t, p.Run)
	}
	return &apart{t: t, webhooks: i.URL(), ops: o.addr()}
}

// post sends a body to the source of cllr.
func (a *apart) post(body string) {
	a.t.Helper()
	resp, err := http.Post(a.webhooks+"/v1/webhooks/cllr/"+devToken, "application/json", strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		a.t.Fatalf("status %d", resp.StatusCode)
	}
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); <-tick.C {
		if done() {
			return
		}
	}
	t.Fatalf("waited in vain for %s", what)
}
