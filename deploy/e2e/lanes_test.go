//go:build linux

package e2e

import (
	"os"
	"testing"
)

// lane is faults that share servers in containers: they run one after the other.
type lane struct {
	name  string
	long  []fault
	short []fault // does several things to one installation: starting and draining one takes most of the time
}

func (l lane) faults(s *suite) []fault {
	if s.long {
		return l.long
	}
	return l.short
}

var (
	cutOff = without((*server).leave, (*server).join)
	frozen = without((*server).pause, (*server).resume)
)

// lanes is every such fault.
var lanes = []lane{
	{"cluster", []fault{
		{"NATS leader killed", "SIGKILL to the one of three NATS servers that leads WEBHOOKS, then to the one that leads CALLS; each is started again when the others go on.", overCluster(noSpools, nil, killLeaders)},
		{"NATS node killed", "SIGKILL to one of three NATS servers, in turn.", overCluster(noSpools, nil, killNodes)},
		{"NATS rolling restart", "Three NATS servers restarted one after the other, each when the last has caught up.", overCluster(noSpools, nil, restartNodes)},
		{"NATS node cut off", "One of three NATS servers taken off the network for half a minute: first one that does not lead WEBHOOKS, then the one that does.", overCluster(noSpools, nil, cutOff)},
		{"NATS node silent", "The same two frozen in place of cut off: their connections stay, and nobody answers.", overCluster(noSpools, nil, frozen)},
		{"services rolled", rolled, rollServices},
		{"NATS down, spool", "SIGKILL to three NATS servers at once, which stay down for a minute. There is a spool: nobody is refused.", overCluster(spools, []string{"200"}, allDown)},
		{"NATS down", "The same without a spool: what is not stored gets 503.", overCluster(noSpools, []string{"200", "503"}, allDown)},
	}, []fault{
		{"services rolled", rolled, rollServices},
		{"NATS away, spool", "Of three NATS servers the one that leads WEBHOOKS cut off the network, then each restarted in turn, then all killed at once, and down for ten seconds. There is a spool: nobody is refused.",
			overCluster(spools, []string{"200"}, cutOff, restartNodes, allDown)},
		{"NATS away", "Of three NATS servers the one that leads WEBHOOKS killed, then all at once, and down for ten seconds. There is no spool: what is not stored gets 503.",
			overCluster(noSpools, []string{"200", "503"}, killLeaders, allDown)},
	}},
	{"postgres", []fault{
		{"PostgreSQL down", "PostgreSQL is stopped for two minutes.", overPostgres(down)},
		{"PostgreSQL restarted", "PostgreSQL is restarted under its clients, again and again.", overPostgres(restarted)},
		{"PostgreSQL killed", "SIGKILL to PostgreSQL when it has written a batch and not yet committed it.", overPostgres(killed)},
	}, []fault{
		{"PostgreSQL away", "PostgreSQL is stopped for a while, then restarted, then killed when it has written a batch and not yet committed it.", overPostgres(down, restarted, killed)},
	}},
}

// shared is the servers of a lane. Each is started when a fault wants it first, and ends with the lane.
type shared struct {
	t        *testing.T // the lane's
	cluster  *cluster
	postgres *postgres
	unable   error // to start one of them
}

// run runs the faults one after the other.
func (l lane) run(t *testing.T, s *suite, results []*result) {
	own := *s
	own.shared = &shared{t: t}
	for i, f := range l.faults(s) {
		t.Run(f.name, func(t *testing.T) { f.inject(t, &own, &results[i]) })
	}
}

// require skips the fault where its servers could not be started, or fails it where they must.
func (sh *shared) require(t *testing.T, r *result) {
	t.Helper()
	if sh.unable == nil {
		return
	}
	if os.Getenv("ONHOOK_REQUIRE_DOCKER") == "1" {
		t.Fatal(sh.unable)
	}
	r.skip(t, "%v", sh.unable)
}
