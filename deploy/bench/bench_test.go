package main

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"

	"github.com/onhook/onhook/deploy/bench/body"
	"github.com/onhook/onhook/deploy/bench/result"
	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/natsembed"
)

// An acknowledged delivery that the stream does not have makes a row wrong, whether the others came alone or in envelopes.
func TestALostDeliveryIsNoticed(t *testing.T) {
	t.Parallel()
	s, err := natsembed.Start(natsembed.Config{Dir: t.TempDir(), Listen: "127.0.0.1:0"}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	cfg := bus.DefaultConfig()
	cfg.URL = s.ClientURL()
	b, err := bus.Connect(t.Context(), cfg, "test", zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	var acked []int64
	var wg sync.WaitGroup
	for n := range int64(100) {
		acked = append(acked, n)
		name := body.Providers[n%3]
		wg.Go(func() {
			d := &bus.Delivery{ID: fmt.Sprint(n), Provider: name, Source: name, Body: body.New(uint64(n), name, kib2<<(n%2*2)).Body(n)}
			if err := b.PublishDelivery(t.Context(), d); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	streams, err := b.Streams(t.Context())
	if err != nil || streams[0].Messages != 100 {
		t.Fatalf("%v; %d deliveries in the stream", err, streams[0].Messages)
	}
	for _, c := range []struct {
		acked []int64
		want  string
	}{
		{acked, ""},
		{nil, ""},
		{append([]int64{100, 101}, acked...), "2 of 102 acknowledged deliveries are not in the stream"},
		{append([]int64{0}, acked...), "a call id was sent twice"},
	} {
		got, err := broker{url: s.ClientURL()}.missing(t.Context(), c.acked)
		if err != nil || got != c.want {
			t.Errorf("of %d: %q %v, want %q", len(c.acked), got, err, c.want)
		}
	}
}

// Every bound finds the rows that it is of.
func TestBoundsAreOfRows(t *testing.T) {
	t.Parallel()
	run := &result.Run{}
	for _, r := range rows([]int64{0, 1_000_000}) {
		if run.Row(r.Name) != nil {
			t.Errorf("there are two rows %q", r.Name)
		}
		r.Samples = []result.Sample{{Rate: 1, Latency: &result.Latency{}, Resident: map[string]int64{"ingress": 1}}}
		run.Rows = append(run.Rows, &r.Row)
	}
	run.Hold(bounds([]int64{0, 1_000_000}))
	for _, b := range run.Bounds {
		if strings.Contains(b.Why, "was not measured") {
			t.Errorf("%s: %s", b.Text, b.Why)
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args string
		ok   bool
	}{
		{"-rounds 1 -duration 1s -only fsync", true},
		{"-quick", true},
		{"-retained 0,10", true},
		{"-retained x", false},
		{"-rounds 0", false},
		{"-duration 0s", false},
		{"onhook", false},
	} {
		if _, err := parse(strings.Fields(c.args)); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.args, err)
		}
	}
}
