package prometheus_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
)

const step = 5 * time.Minute

// recent is how much the rules are evaluated before the end, and before the same time a day and a week ago: what they look at.
const recent = 3 * time.Hour

// firing evaluates the rules every step over the samples, which are a step apart, and returns what fires at the end.
func firing(t *testing.T, load string, until time.Duration) []string {
	t.Helper()
	loader, err := promqltest.NewLazyLoader("load 5m\n"+load, promqltest.LazyLoaderOpts{EnableAtModifier: true, EnableNegativeOffset: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = loader.Close() })
	store := loader.Storage()
	m := rules.NewManager(&rules.ManagerOptions{
		Context: loader.Context(), Appendable: store, Queryable: store, QueryFunc: rules.EngineQueryFunc(loader.QueryEngine(), store),
		NotifyFunc:             func(context.Context, string, ...*rules.Alert) {},
		DefaultRuleQueryOffset: func() time.Duration { return 0 },
	})
	groups, errs := m.LoadGroups(step, labels.EmptyLabels(), "", nil, false, "rules.yaml")
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	usual, alerts := groups[rules.GroupKey("rules.yaml", "onhook.usual")], groups[rules.GroupKey("rules.yaml", "onhook")]
	for at := time.Duration(0); at <= until; at += step {
		ago := until - at
		if ago > recent && (ago-24*time.Hour).Abs() > recent && (ago-7*24*time.Hour).Abs() > recent {
			continue
		}
		now := time.UnixMilli(0).Add(at)
		loader.WithSamplesTill(now, func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		})
		usual.Eval(loader.Context(), now)
		alerts.Eval(loader.Context(), now)
	}
	var names []string
	for _, r := range append(usual.Rules(), alerts.Rules()...) {
		if r.Health() != rules.HealthGood {
			t.Errorf("%s: %v", r.Name(), r.LastError())
		}
	}
	for _, r := range alerts.AlertingRules() {
		for _, a := range r.ActiveAlerts() {
			if a.State == rules.StateFiring {
				names = append(names, r.Name()+" "+a.Labels.Get("source")+a.Labels.Get("sink"))
			}
		}
	}
	slices.Sort(names)
	return names
}

func TestRules(t *testing.T) {
	t.Parallel()
	const (
		hour     = 12 // in steps
		day      = 24 * hour
		week     = 7 * day
		accepted = `onhook_deliveries_total{outcome="accepted",source="a",instance="%s"} `
	)
	steady := func(instance, values string, args ...any) string {
		return fmt.Sprintf("  "+accepted+values+"\n", append([]any{instance}, args...)...)
	}
	for name, c := range map[string]struct {
		load  string
		until time.Duration
		want  []string
	}{
		"nothing":                     {"  up 1\n", time.Hour, nil},
		"a source goes silent":        {steady("i", "0+10x%d 0+0x%d", week, 2*hour), (week + 2*hour) * step, []string{"OnhookSourceSilent a"}},
		"after a day, it goes silent": {steady("i", "0+10x%d 0+0x%d", 30*hour, 2*hour), 32 * hour * step, []string{"OnhookSourceSilent a"}},
		"it is gone altogether":       {steady("i", "0+10x%d", week), (week + 2*hour) * step, []string{"OnhookSourceSilent a"}},
		"it goes on":                  {steady("i", "0+10x%d", week+2*hour), (week + 2*hour) * step, nil},
		"it is restarted":             {steady("i", "0+10x%d _x%d", week, 2*hour) + steady("j", "_x%d 0+10x%d", week, 2*hour), (week + 2*hour) * step, nil},
		"its nights are quiet": { // half days with and without, and it is night
			steady("i", "0+10x%[2]d 1440+0x%[2]d 1440+10x%[2]d 2880+0x%[2]d 2880+10x%[2]d 4320+0x%[2]d 4320+10x%[2]d 5760+0x%[2]d 5760+10x%[2]d 7200+0x%[2]d 7200+10x%[2]d 8640+0x%[2]d 8640+10x%[2]d 10080+0x%[2]d 10080+10x%[2]d 11520+0x%[2]d", day/2-1),
			(week + day - 2*hour) * step, nil},
		"it never sent much": {steady("i", "0+1x%d 0+0x%d", week, 2*hour), (week + 2*hour) * step, nil},
		"deliveries are refused": {`  onhook_deliveries_total{outcome="unavailable",source="a"} 0 0 0+10x4
  onhook_deliveries_total{outcome="unauthorized",source="b"} 0 0 0+10x4
`, 6 * step, []string{"OnhookDeliveriesNotStored a"}},
		"the database is slow":       {"  onhook_sink_oldest_seconds{sink=\"storage\"} 0 400x4\n", 4 * step, []string{"OnhookCallsLate storage"}},
		"it is slow for a moment":    {"  onhook_sink_oldest_seconds{sink=\"storage\"} 0 400 0 0 0\n", 3 * step, nil},
		"no decoder is left":         {"  onhook_sink_oldest_seconds{sink=\"decoder\",instance=\"i\"} 0x6 _x6\n  onhook_sink_oldest_seconds{sink=\"storage\",instance=\"i\"} 0x12\n", 12 * step, []string{"OnhookWorkerGone decoder"}},
		"one decoder of two is left": {"  onhook_sink_oldest_seconds{sink=\"decoder\",instance=\"i\"} 0x6 _x6\n  onhook_sink_oldest_seconds{sink=\"decoder\",instance=\"j\"} 0x12\n", 12 * step, nil},
		"a CRM is slow":              {"  onhook_sink_oldest_seconds{sink=\"crm-a\"} 4000x6\n  onhook_sink_down{sink=\"crm-a\"} 0x6\n", 6 * step, []string{"OnhookCRMLate crm-a"}},
		"a CRM has stopped":          {"  onhook_sink_oldest_seconds{sink=\"crm-a\"} 4000x6\n  onhook_sink_down{sink=\"crm-a\"} 1x6\n", 6 * step, []string{"OnhookCRMStopped crm-a"}},
		"the database is down":       {"  onhook_sink_down{sink=\"storage\"} 1x6\n", 6 * step, nil},
		"a call dies":                {"  onhook_sink_results_total{result=\"dead\",sink=\"crm-a\"} 0 0 1 1 1\n", 4 * step, []string{"OnhookDeadGrowing crm-a"}},
		"calls died long ago":        {"  onhook_sink_results_total{result=\"dead\",sink=\"crm-a\"} 7x12\n", 12 * step, nil},
		"ingress is not durable": {"  onhook_check_ok{check=\"durability\",instance=\"i\"} 1x3\n  onhook_check_ok{check=\"durability\",instance=\"j\"} 0x3\n" +
			"  onhook_check_ok{check=\"broker\",instance=\"i\"} 1x3\n  onhook_check_ok{check=\"broker\",instance=\"j\"} 1x3\n", 3 * step, []string{"OnhookNotDurable "}},
		"the broker is away":          {"  onhook_check_ok{check=\"durability\"} 0x3\n  onhook_check_ok{check=\"broker\"} 0x3\n", 3 * step, nil},
		"another check fails":         {"  onhook_check_ok{check=\"broker\"} 0x3\n", 3 * step, nil},
		"the spool is used":           {"  onhook_spool_deliveries 5x3\n  onhook_spool_bytes 10x3\n  onhook_spool_max_bytes 100x3\n", 3 * step, []string{"OnhookSpoolInUse "}},
		"the spool is nearly full":    {"  onhook_spool_deliveries 5x3\n  onhook_spool_bytes 80x3\n  onhook_spool_max_bytes 100x3\n", 3 * step, []string{"OnhookSpoolFilling ", "OnhookSpoolInUse "}},
		"the quota is nearly used up": {"  onhook_sink_quota_left_ratio{sink=\"crm-a\"} .05x3\n  onhook_sink_quota_left_ratio{sink=\"crm-b\"} .5x3\n", 3 * step, []string{"OnhookQuotaNearlyUsed crm-a"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := firing(t, c.load, c.until); !slices.Equal(got, c.want) {
				t.Errorf("fires: %q, want %q", got, c.want)
			}
		})
	}
}
