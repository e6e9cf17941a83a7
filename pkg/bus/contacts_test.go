package bus_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onhook/onhook/pkg/bus/bustest"
)

func TestContactsAreRememberedBySinkAcrossProcesses(t *testing.T) {
	t.Parallel()
	s := bustest.StartServer(t)
	one, other := s.Connect(t).Contacts("hubspot-main"), s.Connect(t).Contacts("hubspot-eu")
	numbers := make([]string, 300)
	ids := map[string]string{}
	for i := range numbers {
		numbers[i] = fmt.Sprintf("+5255%08d", i)
		ids[numbers[i]] = fmt.Sprint(i)
	}
	get := func(name string, of []string, want map[string]string) {
		t.Helper()
		for sink, c := range map[string]interface {
			Get(ctx context.Context, e164 []string) (map[string]string, error)
		}{"hubspot-main": s.Connect(t).Contacts("hubspot-main"), "hubspot-eu": other} {
			got, err := c.Get(t.Context(), of)
			expected := want
			if sink == "hubspot-eu" {
				expected = map[string]string{}
			}
			if d := cmp.Diff(expected, got); d != "" || err != nil {
				t.Errorf("%s: %s: %v\n%s", name, sink, err, d)
			}
		}
	}
	get("none yet", numbers, map[string]string{})
	if err := one.Put(t.Context(), ids); err != nil {
		t.Fatal(err)
	}
	get("all", numbers, ids)
	get("no numbers", nil, map[string]string{})
	if err := one.Put(t.Context(), map[string]string{numbers[0]: "new"}); err != nil {
		t.Fatal(err)
	}
	if err := one.Delete(t.Context(), numbers[1], "+19999999999"); err != nil {
		t.Fatal(err)
	}
	get("changed", numbers[:3], map[string]string{numbers[0]: "new", numbers[2]: "2"})
	st, err := admin(t, s).Stream(t.Context(), "KV_contacts")
	if err != nil || st.CachedInfo().Config.MaxAge != 30*24*time.Hour {
		t.Errorf("the bucket keeps for %v: %v", st.CachedInfo().Config.MaxAge, err)
	}
}
