package onhook

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/bus/bustest"
)

// rights is the file that we ship.
const rights = "../../deploy/nats/accounts.conf"

// users are those of rights, as the services and their sinks are called.
var users = []string{"ingress", "decoder", "storage", "crm-hooks", "ops", "migrate", "monitoring"}

// guarded is a broker whose users have the rights of the file that we ship.
type guarded struct {
	url   string
	seeds map[string]string // files, by user
}

// startGuarded gives each user a key, as README.md of deploy/nats says.
func startGuarded(t *testing.T) *guarded {
	t.Helper()
	g := &guarded{seeds: map[string]string{}}
	for _, user := range users {
		pair, err := nkeys.CreateUser()
		if err != nil {
			t.Fatal(err)
		}
		public, err := pair.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		seed, err := pair.Seed()
		if err != nil {
			t.Fatal(err)
		}
		g.seeds[user] = filepath.Join(t.TempDir(), user+".nk")
		if err := os.WriteFile(g.seeds[user], seed, 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("ONHOOK_NKEY_"+strings.ToUpper(strings.ReplaceAll(user, "-", "_")), public)
	}
	g.url = bustest.StartConfigured(t, rights, "", 0).ClientURL()
	return g
}

func (g *guarded) config(user string) bus.Config {
	cfg := bus.DefaultConfig()
	cfg.URL, cfg.NkeyFile, cfg.Durability = g.url, g.seeds[user], bus.DurabilityRelaxed
	return cfg
}

// act is something that a user may try. Its subject is published to, or with the word sub before it subscribed to.
type act struct{ what, subject, allowed string }

const workers = "decoder storage crm-hooks"

var acts = []act{
	{"publish a delivery", "webhooks.altur.a", "ingress"},
	{"publish an envelope", "webhooks.many.2", "ingress"},
	{"publish a call", "calls.ended.altur.a.1", "decoder"},
	{"publish an outcome of hooks", "outcomes.hooks", "crm-hooks"},
	{"publish an outcome of another sink", "outcomes.other", ""},
	{"bury for decoder", "dead.decoder", "decoder"},
	{"bury for storage", "dead.storage", "storage"},
	{"bury for outcomes", "dead.outcomes", "storage"},
	{"bury for crm-hooks", "dead.crm-hooks", "crm-hooks"},
	{"bury for another sink", "dead.crm-other", ""},
	{"schedule for decoder", "redrive.decoder.at.1", "decoder"},
	{"schedule for storage", "redrive.storage.at.1", "storage"},
	{"schedule for crm-hooks", "redrive.crm-hooks.at.1", "crm-hooks"},
	{"redrive to decoder", "redrive.decoder.now", "ops"},
	{"redrive to crm-hooks", "redrive.crm-hooks.now", "ops"},
	{"say that decoder waits", "outages.decoder", "decoder ops"},
	{"say that crm-hooks waits", "outages.crm-hooks", "crm-hooks ops"},

	{"put a large body", "$O.bodies.C.1", "ingress"},
	{"name a large body", "$O.bodies.M.1", "ingress ops"},
	{"put a dead body", "$O.dead-bodies.C.1", "decoder"},
	{"name a dead body", "$O.dead-bodies.M.1", "decoder ops"},
	{"ask whether a large body is there", "$JS.API.DIRECT.GET.OBJ_bodies.$O.bodies.M.1", "ingress decoder ops"},
	{"get a large body", "$JS.API.DIRECT.GET.OBJ_bodies.$O.bodies.C.1", "decoder ops"},
	{"get a dead body", "$JS.API.DIRECT.GET.OBJ_dead-bodies.$O.dead-bodies.C.1", "decoder ops"},
	{"write a contact of hooks", "$KV.contacts.hooks.1", "crm-hooks"},
	{"write a contact of another sink", "$KV.contacts.other.1", ""},
	{"get a contact of hooks", "$JS.API.DIRECT.GET.KV_contacts.$KV.contacts.hooks.1", "crm-hooks ops"},
	{"get a contact of another sink", "$JS.API.DIRECT.GET.KV_contacts.$KV.contacts.other.1", "ops"},

	{"read WEBHOOKS", "$JS.API.STREAM.MSG.GET.WEBHOOKS", "decoder ops"},
	{"read CALLS", "$JS.API.DIRECT.GET.CALLS", "storage crm-hooks ops"},
	{"read REDRIVE", "$JS.API.STREAM.MSG.GET.REDRIVE", workers + " ops"},
	{"read DEAD", "$JS.API.STREAM.MSG.GET.DEAD", "ops"},
	{"read OUTCOMES", "$JS.API.STREAM.MSG.GET.OUTCOMES", "storage ops"},
	{"read OUTAGES", "$JS.API.STREAM.MSG.GET.OUTAGES", workers + " ops"},
	{"read WEBHOOKS directly", "$JS.API.DIRECT.GET.WEBHOOKS", "ops"},
	{"read DEAD directly", "$JS.API.DIRECT.GET.DEAD", "ops"},

	{"fetch for decoder", "$JS.API.CONSUMER.MSG.NEXT.WEBHOOKS.decoder", "decoder"},
	{"fetch for storage", "$JS.API.CONSUMER.MSG.NEXT.CALLS.storage", "storage"},
	{"fetch for outcomes", "$JS.API.CONSUMER.MSG.NEXT.OUTCOMES.outcomes", "storage"},
	{"fetch for crm-hooks", "$JS.API.CONSUMER.MSG.NEXT.CALLS.crm-hooks", "crm-hooks"},
	{"fetch for another sink", "$JS.API.CONSUMER.MSG.NEXT.CALLS.crm-other", ""},
	{"fetch what decoder has again", "$JS.API.CONSUMER.MSG.NEXT.REDRIVE.decoder", "decoder"},
	{"acknowledge for decoder", "$JS.ACK.WEBHOOKS.decoder.1.1.1.1.1", "decoder"},
	{"acknowledge for storage", "$JS.ACK.CALLS.storage.1.1.1.1.1", "storage"},
	{"acknowledge for another sink", "$JS.ACK.CALLS.crm-other.1.1.1.1.1", ""},

	{"make a consumer of WEBHOOKS", "$JS.API.CONSUMER.CREATE.WEBHOOKS.spy.webhooks.altur.a", "migrate"},
	{"make a consumer of all WEBHOOKS", "$JS.API.CONSUMER.CREATE.WEBHOOKS.spy", "migrate"},
	{"make a consumer of envelopes", "$JS.API.CONSUMER.CREATE.WEBHOOKS.spy.webhooks.many.*", "decoder ops migrate"},
	{"make a consumer of CALLS", "$JS.API.CONSUMER.CREATE.CALLS.spy", "migrate"},
	{"make a consumer of REDRIVE", "$JS.API.CONSUMER.CREATE.REDRIVE.spy", "migrate"},
	{"make a consumer of DEAD", "$JS.API.CONSUMER.CREATE.DEAD.spy", "migrate"},
	{"make a consumer of OUTCOMES", "$JS.API.CONSUMER.CREATE.OUTCOMES.spy", "migrate"},
	{"make a consumer of large bodies", "$JS.API.CONSUMER.CREATE.OBJ_bodies.spy.$O.bodies.C.1", "decoder ops migrate"},
	{"make a consumer of contacts", "$JS.API.CONSUMER.CREATE.KV_contacts.spy", "migrate"},
	{"change the consumer decoder", "$JS.API.CONSUMER.CREATE.WEBHOOKS.decoder", "migrate"},
	{"make a consumer the old way", "$JS.API.CONSUMER.DURABLE.CREATE.CALLS.spy", ""},
	{"delete the consumer decoder", "$JS.API.CONSUMER.DELETE.WEBHOOKS.decoder", ""},
	{"delete the consumer storage", "$JS.API.CONSUMER.DELETE.CALLS.storage", ""},
	{"delete the consumer outcomes", "$JS.API.CONSUMER.DELETE.OUTCOMES.outcomes", ""},
	{"delete what storage has again", "$JS.API.CONSUMER.DELETE.REDRIVE.storage", ""},
	{"delete the consumer crm-hooks", "$JS.API.CONSUMER.DELETE.CALLS.crm-hooks", "ops"},
	{"pause the consumer storage", "$JS.API.CONSUMER.PAUSE.CALLS.storage", ""},

	{"ask for the state of CALLS", "$JS.API.STREAM.INFO.CALLS", "ingress decoder storage crm-hooks ops migrate"},
	{"ask for the state of contacts", "$JS.API.STREAM.INFO.KV_contacts", "crm-hooks ops migrate"},
	{"list the consumers of CALLS", "$JS.API.CONSUMER.NAMES.CALLS", "ops migrate"},
	{"ask what the account holds", "$JS.API.INFO", "migrate"},
	{"create a stream", "$JS.API.STREAM.CREATE.SPY", "migrate"},
	{"change CALLS", "$JS.API.STREAM.UPDATE.CALLS", "migrate"},
	{"delete WEBHOOKS", "$JS.API.STREAM.DELETE.WEBHOOKS", ""},
	{"delete CALLS", "$JS.API.STREAM.DELETE.CALLS", ""},
	{"delete DEAD", "$JS.API.STREAM.DELETE.DEAD", ""},
	{"purge WEBHOOKS", "$JS.API.STREAM.PURGE.WEBHOOKS", ""},
	{"purge CALLS", "$JS.API.STREAM.PURGE.CALLS", ""},
	{"purge DEAD", "$JS.API.STREAM.PURGE.DEAD", ""},
	{"purge OUTCOMES", "$JS.API.STREAM.PURGE.OUTCOMES", ""},
	{"purge OUTAGES", "$JS.API.STREAM.PURGE.OUTAGES", ""},
	{"purge REDRIVE", "$JS.API.STREAM.PURGE.REDRIVE", "ops"},
	{"purge large bodies", "$JS.API.STREAM.PURGE.OBJ_bodies", "ops"},
	{"delete a message of WEBHOOKS", "$JS.API.STREAM.MSG.DELETE.WEBHOOKS", ""},
	{"delete a message of CALLS", "$JS.API.STREAM.MSG.DELETE.CALLS", ""},
	{"delete a message of DEAD", "$JS.API.STREAM.MSG.DELETE.DEAD", "ops"},
	{"copy a whole stream", "$JS.API.STREAM.SNAPSHOT.CALLS", ""},
	{"depose a leader", "$JS.API.STREAM.LEADER.STEPDOWN.CALLS", ""},

	{"hear all", "sub >", ""},
	{"hear deliveries", "sub webhooks.>", ""},
	{"hear calls", "sub calls.>", ""},
	{"hear what is asked of JetStream", "sub $JS.API.>", ""},
	{"hear what ingress is answered", "sub _INBOX.ingress.>", "ingress monitoring"}, // monitoring is of another account: it hears itself
	{"hear what storage is answered", "sub _INBOX.storage.>", "storage monitoring"},
	{"hear what every service is answered", "sub _INBOX.>", "monitoring"},
	{"answer in the broker's place", "_INBOX.ingress.1.1", ""},
	{"look at the servers", "$SYS.REQ.SERVER.PING.JSZ", "monitoring"},
	{"read a server's configuration anew", "$SYS.REQ.SERVER.1.RELOAD", ""},
}

// may tries an act and reports whether the server lets it.
func (g *guarded) may(t *testing.T, user string, a act) bool {
	t.Helper()
	key, err := nats.NkeyOptionFromSeed(g.seeds[user])
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(g.url, key, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if subject, ok := strings.CutPrefix(a.subject, "sub "); ok {
		_, err = nc.SubscribeSync(subject)
	} else {
		err = nc.Publish(a.subject, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil { // what the server refuses it says before it answers this
		t.Fatal(err)
	}
	if err := nc.LastError(); err != nil && !strings.Contains(err.Error(), "ermissions Violation") {
		t.Fatalf("%s, %s: %v", user, a.what, err)
	} else if err != nil {
		return false
	}
	return true
}

// TestEachUserMayDoWhatItMustAndNothingElse tries every act as every user; with -v it prints what it found.
func TestEachUserMayDoWhatItMustAndNothingElse(t *testing.T) {
	g := startGuarded(t)
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "act\t"+strings.Join(users, "\t"))
	for _, a := range acts {
		row := a.what
		for _, user := range users {
			got, want := g.may(t, user, a), slices.Contains(strings.Fields(a.allowed), user)
			if got != want {
				t.Errorf("%s: %s (%s): allowed is %t, want %t", user, a.what, a.subject, got, want)
			}
			row += map[bool]string{true: "\tallowed", false: "\trefused"}[got]
		}
		_, _ = fmt.Fprintln(w, row)
	}
	_ = w.Flush()
	t.Logf("%d acts of %d users\n%s", len(acts), len(users), table.String())
	if _, err := nats.Connect(g.url); err == nil {
		t.Error("whoever has no key is let in")
	}
}
