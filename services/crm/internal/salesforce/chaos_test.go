package salesforce

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/services/crm/internal/crmtest"
	"github.com/onhook/onhook/services/crm/internal/sink"
)

// TestEveryCallIsOneTaskWhateverGoesWrong retries as the worker does, while requests fail in every way that is not a
// call's fault. None may die, and none may be there twice.
func TestEveryCallIsOneTaskWhateverGoesWrong(t *testing.T) {
	f := setup(t, func(c *Config) { c.InFlight, c.CreateMissing = 2, createLead })
	faults := []crmtest.SalesforceFault{
		{Cut: true}, {Empty: true}, {Path: rows, Short: 1}, {Status: 503}, {Status: 500, Code: "UNKNOWN_EXCEPTION"}, {Expire: true}, {Delay: time.Millisecond},
		{Status: 502}, {Status: 429}, {Path: "composite", Status: 400, Code: "UNABLE_TO_LOCK_ROW"}, {Path: "token", Status: 503},
	}
	const lanes, each = 4, 400
	var wg sync.WaitGroup
	for lane := range lanes {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(lane), 2)) // the same in each run
			var left []sink.Item
			for i := range each {
				c := newCall(fmt.Sprintf("%d-%d", lane, i), with(fmt.Sprintf("+52551234%04d", random.IntN(40))))
				left = append(left, sink.Item{Call: c})
				if random.IntN(10) == 0 {
					left = append(left, sink.Item{Call: c})
				}
			}
			for round := 0; len(left) > 0; round++ {
				if round > 200 {
					t.Errorf("lane %d: %d calls are still not delivered", lane, len(left))
					return
				}
				if round < 30 {
					f.org.Fail(faults[random.IntN(len(faults))])
				}
				batch := left[:min(len(left), 1+random.IntN(150))]
				var again []sink.Item
				for i, r := range f.Deliver(t.Context(), batch) {
					switch kind, _ := retry.Classify(r.Err); kind {
					case retry.Done:
					case retry.Dead:
						t.Errorf("dead: %v", r.Err)
					default:
						again = append(again, batch[i])
					}
				}
				left = slices.Concat(left[len(batch):], again)
			}
		})
	}
	wg.Wait()
	tasks := f.tasks()
	if len(tasks) != lanes*each {
		t.Errorf("%d Tasks of %d calls", len(tasks), lanes*each)
	}
	for lane := range lanes {
		for i := range each {
			if key := call.Key("altur", "mx", fmt.Sprintf("%d-%d", lane, i)); tasks[key]["WhoId"] == nil {
				t.Errorf("%s is with nobody", key)
			}
		}
	}
	if n := len(f.org.Objects("Lead")); n != 40 {
		t.Errorf("%d Leads for 40 numbers", n)
	}
}
