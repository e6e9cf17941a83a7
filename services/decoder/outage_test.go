package decoder_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/provider"
	"github.com/onhook/onhook/pkg/retry"
)

// broken is the table of providers in which cllr's decoder has a defect, met by bodies that hold "defect".
func broken(t *testing.T, defect func() (*call.Call, error)) []provider.Provider {
	t.Helper()
	table := provider.All()
	i := slices.IndexFunc(table, func(p provider.Provider) bool { return p.Name == "cllr" })
	sound := table[i].Decode
	table[i].Decode = func(body []byte) (*call.Call, error) {
		if strings.Contains(string(body), "defect") {
			return defect()
		}
		return sound(body)
	}
	return table
}

func TestADefectOfTheDecoderIsMendedAndRedriven(t *testing.T) {
	for name, test := range map[string]struct {
		defect   func() (*call.Call, error)
		attempts int
		reason   string
	}{
		"dies":            {func() (*call.Call, error) { return nil, retry.Never(errors.New("cllr: $.x: unheard of")) }, 1, "cllr: $.x: unheard of"},
		"panics":          {func() (*call.Call, error) { panic("a caller's name") }, 3, "gave up after 3 attempts: the handler panicked"},
		"an invalid call": {func() (*call.Call, error) { return &call.Call{Provider: "cllr"}, nil }, 3, "gave up after 3 attempts: cllr: decoded a call that breaks the schema"},
	} {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			d := f.start(broken(t, test.defect)...)
			sent := newDelivery("cllr", "s", cllrBody("defect"))
			f.publish(sent)
			for i := range 50 {
				f.publish(newDelivery("cllr", "s", cllrBody(fmt.Sprint(i))))
			}
			if got := f.ids(); len(got) != 50 {
				t.Errorf("%d sound calls, want 50", len(got))
			}
			dead := f.dead()
			if len(dead) != 1 || dead[0].Attempts != test.attempts || !strings.HasPrefix(dead[0].Reason, test.reason) {
				t.Fatalf("dead %+v", dead)
			}
			if strings.Contains(dead[0].Reason, "caller's name") {
				t.Errorf("what a panic said, which may quote the call, stands in the reason: %s", dead[0].Reason)
			}
			d.stop()

			f.start()
			if err := f.bus.RedriveDead(t.Context(), dead[0].Seq); err != nil {
				t.Fatal(err)
			}
			cs := f.calls()
			if len(cs) != 51 || len(f.dead()) != 0 {
				t.Fatalf("%d calls, dead %+v", len(cs), f.dead())
			}
			if c := cs[50]; c.CallID != "defect" || c.DeliveryID != sent.ID || c.BodyRef != "WEBHOOKS/1" {
				t.Errorf("call %s of delivery %s at %s, want that of %s at WEBHOOKS/1", c.CallID, c.DeliveryID, c.BodyRef, sent.ID)
			}
		})
	}
}

func TestAFullCallsStreamIsAnOutage(t *testing.T) {
	f := setup(t)
	f.cfg.Attempts = 2
	const n = 40
	f.limitCalls(10)
	for i := range n {
		f.publish(newDelivery("cllr", "s", cllrBody(fmt.Sprint(i))))
	}
	d := f.start()
	f.waitFor("a few probes", func() bool { return d.count(t, "cllr", "error") >= n+10 })
	s, err := f.bus.Status(t.Context(), bus.Decoder)
	if err != nil || s.Pending != n-10 || s.Scheduled != 0 || s.Dead != 0 {
		t.Errorf("during the outage: %+v %v", s, err)
	}
	f.limitCalls(-1)
	if got := f.ids(); len(got) != n || len(f.dead()) != 0 {
		t.Errorf("%d calls, want %d; dead %+v", len(got), n, f.dead())
	}
	if got := d.count(t, "cllr", "call"); got != n || d.count(t, "cllr", "duplicate") != 0 {
		t.Errorf("%d calls counted", got)
	}
}

// What a broker that goes away costs is time: no delivery is lost, none is dead, none has burnt an attempt.
func TestEveryDeliveryIsOneCallOverRestartsOfTheBroker(t *testing.T) {
	f := setup(t)
	f.cfg.Attempts = 1 // an attempt that is counted is a dead letter
	f.ackWait = time.Second
	const senders, each = 20, 100
	f.start()
	f.start()
	var wg sync.WaitGroup
	half := make(chan struct{}, senders)
	for s := range senders {
		wg.Go(func() {
			for i := range each {
				if i == each/2 {
					half <- struct{}{}
				}
				f.publish(newDelivery("cllr", "s", cllrBody(fmt.Sprintf("%d-%d", s, i))))
			}
		})
	}
	for range 3 {
		for range senders / 4 {
			<-half
		}
		f.server.Stop()
		f.server.Start(t)
	}
	wg.Wait()
	got := f.ids()
	slices.Sort(got)
	if len(got) != senders*each || len(slices.Compact(got)) != senders*each || len(f.dead()) != 0 {
		t.Errorf("%d calls, want %d; dead %+v", len(got), senders*each, f.dead())
	}
}
