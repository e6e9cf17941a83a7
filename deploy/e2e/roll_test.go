//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

const rolled = "Each service in turn replaced as an upgrade does it: a new process is started, and when it is ready no more requests go to the old one, which then gets SIGTERM."

// rolledPart is what became of the load while one service was replaced.
type rolledPart struct {
	Service  string `json:"service"`
	Times    int    `json:"times"`
	Sent     int    `json:"sent"` // deliveries
	Acked    int    `json:"acked"`
	Refused  int    `json:"refused"` // anything but a 200
	Calls    int    `json:"calls"`   // different ones, first sent meanwhile
	Stored   int    `json:"stored"`
	AtCRM    int    `json:"at_crm"`
	Missing  int    `json:"missing"`      // in the database or at the CRM, of those with a 200
	Doubled  int    `json:"doubled"`      // in the database, or under two ids at the CRM
	Stop     string `json:"slowest_stop"` // from SIGTERM to the end
	from, to int    // of the load's calls
}

func rolledTable(parts []rolledPart) string {
	var b strings.Builder
	b.WriteString("| service | times | deliveries sent | acknowledged | refused | calls | stored | at the CRM | missing | doubled | slowest stop |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, p := range parts {
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d | %d | %d | %d | %d | %s |\n", p.Service, p.Times, p.Sent, p.Acked, p.Refused, p.Calls, p.Stored, p.AtCRM, p.Missing, p.Doubled, p.Stop)
	}
	return b.String()
}

// rollServices replaces every process of an installation over the cluster, service by service. Nobody is refused.
func rollServices(t *testing.T, s *suite, r *result) {
	c := takeCluster(t, s, r)
	crm := startReceiver(t)
	in := apart(t, s, layout{nats: c.url(), dsn: c.database.create(t), ingress: 2, decoders: 2, storage: 2, more: sections{
		"nats": {"replicas": len(c.nodes), "durability": "replicated"},
		"crm": {"hooks": map[string]any{"kind": "webhook", "url": crm.URL, "allow_private": true, "body": "thin",
			"secrets": []string{"whsec_" + strings.Repeat("ZmFrZSBz", 4)}}},
	}})
	l := startLoad(t, in, loadOptions{patience: 20 * time.Second})
	for _, service := range []struct {
		name string
		all  *[]*process
	}{{"ingress", &in.ingress}, {"decoder", &in.decoder}, {"storage", &in.storage}, {"crm", &in.crm}, {"ops", &in.ops}} {
		l.awaitAcks(20)
		part := l.part(service.name)
		var slowest time.Duration
		for range s.count(2, 10) {
			slowest = max(slowest, in.replace(l, service.name, service.all))
			part.Times++
			r.Injected++
		}
		l.awaitAcks(20)
		part.Stop = slowest.Round(time.Millisecond).String()
		l.endPart(&part)
		r.Rolled = append(r.Rolled, part)
	}
	check(t, in, l, r)
	rows, err := readCalls(in.dsn)
	if err != nil {
		t.Fatal(err)
	}
	again := crm.again()
	for i := range r.Rolled {
		r.Rolled[i].compare(l, rows, crm.events())
	}
	r.note("Beyond the one that it must have, the CRM got %d requests.", again)
	t.Logf("services rolled:\n%s", rolledTable(r.Rolled))
	for _, p := range r.Rolled {
		if p.Missing > 0 || p.Doubled > 0 || p.Refused > 0 {
			t.Errorf("while %s was replaced: %d missing, %d doubled, %d refused", p.Service, p.Missing, p.Doubled, p.Refused)
		}
	}
	r.wantAnswers(t, "200")
}

// replace puts a new process in the place of the oldest of a service, and says how long that one took to stop.
func (in *installation) replace(l *load, service string, all *[]*process) time.Duration {
	in.t.Helper()
	fresh := in.launch[service]()
	fresh.awaitReady()
	old := (*all)[0]
	*all = append((*all)[1:], fresh)
	if service == "ingress" {
		l.replaceHook(in.hooks[0], in.hooks[len(in.hooks)-1])
		in.hooks, in.admins = in.hooks[1:], in.admins[1:]
	}
	l.awaitAcks(10)
	took := old.retire()
	l.awaitAcks(10)
	return took
}

// part begins a part of the load, which endPart ends.
func (l *load) part(service string) rolledPart {
	l.mu.Lock()
	defer l.mu.Unlock()
	return rolledPart{Service: service, Sent: -l.sent, Acked: -len(l.acks), Refused: len(l.acks) - l.answered(), from: len(l.calls)}
}

func (l *load) endPart(p *rolledPart) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p.Sent += l.sent
	p.Acked += len(l.acks)
	p.Refused += l.answered() - len(l.acks)
	p.to = len(l.calls)
}

// answered is how many requests have ended, in whatever way.
func (l *load) answered() (n int) {
	for _, of := range l.answers {
		n += of
	}
	return n
}

// compare looks for the calls of the part in the database and at the CRM.
func (p *rolledPart) compare(l *load, rows []row, events map[string]int) {
	stored := map[string]int{}
	for _, row := range rows {
		stored[row.id]++
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	p.Calls = p.to - p.from
	for n := p.from; n < p.to; n++ {
		id := l.author.id(n)
		name := l.author.provider(n).Name
		event := events[name+":"+name+":"+id]
		p.Stored += min(stored[id], 1)
		p.AtCRM += min(event, 1)
		if stored[id] > 1 || event > 1 {
			p.Doubled++
		}
		if l.calls[n].acked && (stored[id] == 0 || event == 0) {
			p.Missing++
		}
	}
}

// receiver is a CRM's endpoint for webhooks, which counts what it gets.
type receiver struct {
	*httptest.Server

	mu       sync.Mutex
	requests int
	ids      map[string]string // the key of the call, by webhook-id
}

func startReceiver(t *testing.T) *receiver {
	t.Helper()
	v := &receiver{ids: map[string]string{}}
	v.Server = httptest.NewServer(v)
	t.Cleanup(v.Close)
	return v
}

// ServeHTTP takes whatever comes.
func (v *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var event struct{ Data struct{ Key string } }
	if err := json.NewDecoder(req.Body).Decode(&event); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.requests++
	v.ids[req.Header.Get("webhook-id")] = event.Data.Key
	w.WriteHeader(http.StatusNoContent)
}

// events is under how many ids each call came, by key.
func (v *receiver) events() map[string]int {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := map[string]int{}
	for _, key := range v.ids {
		n[key]++
	}
	return n
}

// again is how many requests came for an event that had come before.
func (v *receiver) again() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.requests - len(v.ids)
}
