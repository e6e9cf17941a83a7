package bus_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/bus/bustest"
	"github.com/onhook/onhook/pkg/call"
)

// edit changes a stream as an operator does.
func edit(t *testing.T, js jetstream.JetStream, stream string, change func(c *jetstream.StreamConfig)) {
	t.Helper()
	st, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	cfg := st.CachedInfo().Config
	change(&cfg)
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
}

// recreate replaces a stream by one that differs in what cannot be changed of one that is there.
func recreate(t *testing.T, js jetstream.JetStream, stream string, change func(c *jetstream.StreamConfig)) {
	t.Helper()
	st, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	cfg := st.CachedInfo().Config
	change(&cfg)
	if err := js.DeleteStream(t.Context(), stream); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
}

func drift(t *testing.T, b *bus.Bus) []bus.Difference {
	t.Helper()
	found, missing, err := b.Drift(t.Context())
	if err != nil || len(missing) > 0 {
		t.Fatal(err, missing)
	}
	return found
}

func TestWhatDiffersFromTheTable(t *testing.T) {
	t.Parallel()
	type changes = func(t *testing.T, js jetstream.JetStream)
	editing := func(stream string, change func(c *jetstream.StreamConfig)) changes {
		return func(t *testing.T, js jetstream.JetStream) { edit(t, js, stream, change) }
	}
	recreating := func(stream string, change func(c *jetstream.StreamConfig)) changes {
		return func(t *testing.T, js jetstream.JetStream) { recreate(t, js, stream, change) }
	}
	for _, tt := range []struct {
		name    string
		change  changes
		want    string // stream setting is should_be kind, of each
		refused string // what Migrate says that cannot be changed
	}{
		{"nothing", func(*testing.T, jetstream.JetStream) {}, "", ""},
		{"a full stream drops the oldest", editing("WEBHOOKS", func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }),
			"WEBHOOKS discard old new breaks", ""},
		{"the second call replaces the first", editing("CALLS", func(c *jetstream.StreamConfig) { c.Discard, c.DiscardNewPerSubject = jetstream.DiscardOld, false }),
			"CALLS discard old new breaks, CALLS discard_new_per_subject not set true breaks", ""},
		{"two of each call", editing("CALLS", func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 2 }),
			"CALLS max_msgs_per_subject 2 1 breaks", ""},
		{"one delivery per source", editing("WEBHOOKS", func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 }),
			"WEBHOOKS max_msgs_per_subject 1 not set breaks", ""},
		{"a limit on what waits for its time", editing("REDRIVE", func(c *jetstream.StreamConfig) { c.MaxMsgs = 10 }),
			"REDRIVE max_msgs 10 not set breaks", ""},
		{"a shorter age", editing("WEBHOOKS", func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }),
			"WEBHOOKS max_age 1h0m0s 336h0m0s differs", ""},
		{"another subject", editing("DEAD", func(c *jetstream.StreamConfig) { c.Subjects = append(c.Subjects, "graveyard.>") }),
			"DEAD subjects [dead.> graveyard.>] [dead.>] differs", ""},
		{"the operator's own limits", editing("DEAD", func(c *jetstream.StreamConfig) {
			c.MaxAge, c.MaxBytes, c.Duplicates = 365*24*time.Hour, 1<<49+1, 5*time.Minute
		}), "DEAD duplicate_window 5m0s 2m0s allowed, DEAD max_age 8760h0m0s 2160h0m0s allowed, DEAD max_bytes 562949953421313 not set allowed", ""},
		{"kept for ever", editing("WEBHOOKS", func(c *jetstream.StreamConfig) { c.MaxAge = 0 }),
			"WEBHOOKS max_age not set 336h0m0s allowed", ""},
		{"in memory", recreating("WEBHOOKS", func(c *jetstream.StreamConfig) { c.Storage, c.MaxAge = jetstream.MemoryStorage, time.Hour }),
			"WEBHOOKS storage memory file breaks, WEBHOOKS max_age 1h0m0s 336h0m0s differs", "cannot change storage"},
		{"calls as a work queue", recreating("CALLS", func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy }),
			"CALLS retention workqueue limits breaks", "cannot change retention"},
		{"calls by interest", recreating("CALLS", func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy }),
			"CALLS retention interest limits breaks", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := bustest.StartServer(t)
			b, js := srv.Connect(t), admin(t, srv)
			tt.change(t, js)
			var got []string
			breaks, allowed := false, 0
			for _, d := range drift(t, b) {
				got = append(got, strings.Join([]string{d.Stream, d.Setting, d.Is, d.ShouldBe, d.Kind}, " "))
				breaks = breaks || d.Kind == bus.DriftBreaks
				if (d.Kind == bus.DriftBreaks) != (d.Breaks != "") {
					t.Errorf("%s: what it breaks is %q", d, d.Breaks)
				}
				if d.Kind == bus.DriftAllowed {
					allowed++
				}
			}
			if s := strings.Join(got, ", "); s != tt.want {
				t.Errorf("got  %s\nwant %s", s, tt.want)
			}
			if err := b.Sound(t.Context()); (err != nil) != breaks {
				t.Errorf("sound: %v", err)
			}
			before := streamConfig(t, js, "DEAD")
			changed, err := b.Migrate(t.Context())
			if tt.refused == "" {
				if err != nil || len(changed) != len(got)-allowed {
					t.Fatalf("migrate: %v, changed %v", err, changed)
				}
				if left := drift(t, b); len(left) != allowed {
					t.Errorf("after it: %v", left)
				}
				if after := streamConfig(t, js, "DEAD"); after.MaxBytes != before.MaxBytes || after.MaxAge != before.MaxAge {
					t.Errorf("it took the operator's limits for its own: %+v", after)
				}
				if err := b.Sound(t.Context()); err != nil {
					t.Error(err)
				}
			} else {
				if err == nil || !strings.Contains(err.Error(), tt.refused) || !strings.Contains(err.Error(), "nats stream rm "+strings.Fields(tt.want)[0]) {
					t.Errorf("migrate: %v", err)
				}
				if left := drift(t, b); len(left) != 1 {
					t.Errorf("what could be changed was not: %v", left)
				}
			}
			if changed, _ := b.Migrate(t.Context()); len(changed) > 0 {
				t.Errorf("the second time it changed %v", changed)
			}
		})
	}
}

func streamConfig(t *testing.T, js jetstream.JetStream, name string) jetstream.StreamConfig {
	t.Helper()
	st, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return st.CachedInfo().Config
}

// A look at the streams is to create none.
func TestDriftCreatesNothing(t *testing.T) {
	t.Parallel()
	srv := bustest.StartServer(t)
	cfg := bus.DefaultConfig()
	cfg.URL = srv.ClientURL()
	b := newBus(t, cfg)
	found, missing, err := b.Drift(t.Context())
	if err != nil || len(found) > 0 || !slices.Equal(missing[:4], []string{"WEBHOOKS", "CALLS", "REDRIVE", "DEAD"}) {
		t.Error(found, missing, err)
	}
	for name := range admin(t, srv).StreamNames(t.Context()).Name() {
		t.Errorf("%s was created", name)
	}
	if _, err := b.Migrate(t.Context()); err == nil || !strings.Contains(err.Error(), "WEBHOOKS, CALLS, REDRIVE, DEAD") {
		t.Error(err)
	}
}

// The table wants what nats.replicas says. Fewer are made more; more are the operator's.
func TestReplicasAreRaisedAndNeverLowered(t *testing.T) {
	t.Parallel()
	skipSlow(t)
	c := bustest.Cluster(t)
	three := c.Connect(t)
	one := c.Config()
	one.Replicas = 1
	all, err := three.Streams(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if b := newBus(t, one); len(drift(t, b)) != len(all) || drift(t, b)[0].Kind != bus.DriftAllowed {
		t.Error("three replicas where one is configured")
	} else if changed, err := b.Migrate(t.Context()); err != nil || len(changed) > 0 {
		t.Error(changed, err)
	}
	if err := three.PublishCalls(t.Context(), []*call.Call{newCall("a", call.Ended)})[0]; err != nil {
		t.Fatal(err)
	}
	edit(t, c.JetStream(t), "CALLS", func(c *jetstream.StreamConfig) { c.Replicas = 1 })
	if d := drift(t, three); len(d) != 1 || d[0].Setting != "num_replicas" || d[0].Kind != bus.DriftDiffers {
		t.Errorf("%v", d)
	}
	if err := three.Durable(t.Context()); err == nil {
		t.Error("durable with one replica")
	}
	if changed, err := three.Migrate(t.Context()); err != nil || len(changed) != 1 {
		t.Errorf("%v, changed %v", err, changed)
	}
	waitUpTo(t, time.Minute, "three replicas", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return three.Durable(ctx) == nil && c.Settled(ctx, c.JetStream(t)) == nil
	})
}
