package decoder_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onhook/onhook/pkg/call"
)

func TestIdentityIsProviderSourceEventAndCallID(t *testing.T) {
	f := setup(t)
	d := f.start()
	f.publish(
		newDelivery("cllr", "one", cllrBody("a")),
		newDelivery("cllr", "two", cllrBody("a")),                   // another source
		newDelivery("synthflow", "one", synthflowBody("a", "busy")), // another provider
		newDelivery("cllr", "one", cllrBody("A")),                   // another id
		newDelivery("cllr", "one", cllrBody("a")),                   // the same again
	)
	got := f.ids()
	slices.Sort(got)
	if diff := cmp.Diff([]string{"ended cllr:one:A", "ended cllr:one:a", "ended cllr:two:a", "ended synthflow:one:a"}, got); diff != "" {
		t.Error(diff)
	}
	if n := d.count(t, "cllr", "duplicate"); n != 1 {
		t.Errorf("%d duplicates counted", n)
	}
}

func TestProgressNeverBlocksEnded(t *testing.T) {
	for name, test := range map[string]struct {
		statuses   []string
		want       []string
		duplicates int
	}{
		"progress then ended": {[]string{"in_progress", "completed"}, []string{"progress synthflow:s:a", "ended synthflow:s:a"}, 0},
		"ended then progress": {[]string{"completed", "in_progress"}, []string{"ended synthflow:s:a", "progress synthflow:s:a"}, 0},
		"two progress":        {[]string{"queue", "in_progress"}, []string{"progress synthflow:s:a"}, 1},
		"two ended":           {[]string{"completed", "busy"}, []string{"ended synthflow:s:a"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			d := f.start()
			for _, status := range test.statuses {
				f.publish(newDelivery("synthflow", "s", synthflowBody("a", status)))
				f.waitSettled() // so that the first is first
			}
			if diff := cmp.Diff(test.want, f.ids()); diff != "" {
				t.Error(diff)
			}
			if first := f.read[0].StatusRaw; first != test.statuses[0] {
				t.Errorf("the first call has status %q, want the first delivery's, %q", first, test.statuses[0])
			}
			if n := d.count(t, "synthflow", "duplicate"); n != test.duplicates {
				t.Errorf("%d duplicates counted, want %d", n, test.duplicates)
			}
		})
	}
}

func TestTenThousandCopiesAreOneCallOverTwoDecoders(t *testing.T) {
	f := setup(t)
	const copies, senders = 10_000, 100
	one, two := f.start(), f.start()
	began := time.Now()
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for range copies / senders {
				f.publish(newDelivery("cllr", "s", cllrBody("a")))
			}
		})
	}
	wg.Wait()
	if got := f.ids(); len(got) != 1 {
		t.Errorf("calls %q", got)
	}
	if took := time.Since(began); took > 90*time.Second {
		t.Errorf("it took %v", took)
	}
	calls := one.count(t, "cllr", "call") + two.count(t, "cllr", "call")
	duplicates := one.count(t, "cllr", "duplicate") + two.count(t, "cllr", "duplicate")
	if calls != 1 || duplicates != copies-1 || len(f.dead()) != 0 {
		t.Errorf("counted %d calls and %d duplicates, dead %+v", calls, duplicates, f.dead())
	}
}

func TestCopiesOverRestartsOfDecoderAndBrokerAreOneCall(t *testing.T) {
	f := setup(t)
	d := f.start()
	var all []*call.Call
	for round := range 3 {
		f.publish(newDelivery("cllr", "s", cllrBody("a")), newDelivery("cllr", "s", cllrBody(fmt.Sprint(round))))
		all = f.calls()
		if want := 2 + round; len(all) != want {
			t.Fatalf("round %d: %d calls, want %d", round, len(all), want)
		}
		d.stop()
		if round == 1 {
			f.server.Stop()
			f.server.Start(t)
		}
		d = f.start()
	}
}
