package bus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/bus/bustest"
	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/retry"
)

// many are calls with the ids from first on, enough for several batches of the server.
func many(first int) []*call.Call {
	cs := make([]*call.Call, 300)
	for i := range cs {
		cs[i] = newCall(fmt.Sprint(first+i), call.Ended)
	}
	return cs
}

// TestManyCallsAreEachAnswered: whatever becomes of the batch that they are published in.
func TestManyCallsAreEachAnswered(t *testing.T) {
	t.Parallel()
	known := func(err error) bool { return errors.Is(err, bus.ErrDuplicate) }
	dead := func(err error) bool { kind, _ := retry.Classify(err); return kind == retry.Dead }
	full := func(err error) bool { return errors.Is(err, bus.ErrFull) }
	for name, test := range map[string]struct {
		stream  func(*jetstream.StreamConfig)
		before  []*call.Call
		spoil   func(cs []*call.Call)
		refused func(error) bool
		want    []int // which are refused
		batched int   // at least so many are stored in batches
	}{
		"all new":              {batched: 300},
		"one known":            {before: many(17)[:1], refused: known, want: []int{17}, batched: 172},
		"known here and there": {before: append(many(3)[:2], many(150)[:1]...), refused: known, want: []int{3, 4, 150}, batched: 44},
		"all known":            {before: many(0), refused: known, want: sequence(0, 300)},
		"one twice":            {spoil: func(cs []*call.Call) { cs[200] = cs[7] }, refused: known, want: []int{200}, batched: 299},
		"one twice in a stream with a limit": { // once it was stored in part, and never answered
			stream: func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 30 },
			spoil:  func(cs []*call.Call) { cs[100] = cs[7] }, refused: known, want: []int{100}, batched: 299,
		},
		"gaps": {spoil: func(cs []*call.Call) { cs[0], cs[299] = nil, nil }, batched: 298},
		"more than a batch has": {
			spoil: func(cs []*call.Call) {
				cs[1].Error, cs[2].Error = strings.Repeat("x", 3<<20), strings.Repeat("y", 3<<20)
			},
			batched: 290,
		},
		"one too large": {
			stream: func(c *jetstream.StreamConfig) { c.MaxMsgSize = 4096 },
			spoil:  func(cs []*call.Call) { cs[40].Error = strings.Repeat("x", 5000) }, refused: dead, want: []int{40}, batched: 44,
		},
		"no room for all":    {stream: func(c *jetstream.StreamConfig) { c.MaxMsgs = 250 }, refused: full, want: sequence(250, 300)},
		"a stream of before": {stream: func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = false }},
		"one known, of before": {
			stream: func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = false },
			before: many(17)[:1], refused: known, want: []int{17},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := bustest.StartServer(t)
			b := srv.Connect(t)
			st, err := admin(t, srv).Stream(t.Context(), "CALLS")
			if err != nil {
				t.Fatal(err)
			}
			if test.stream != nil {
				cfg := st.CachedInfo().Config
				test.stream(&cfg)
				if st, err = admin(t, srv).UpdateStream(t.Context(), cfg); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(b.PublishCalls(t.Context(), test.before)...); err != nil {
				t.Fatal(err)
			}
			cs := many(0)
			if test.spoil != nil {
				test.spoil(cs)
			}
			stored := map[string]bool{}
			for i, err := range b.PublishCalls(t.Context(), cs) {
				switch refused := slices.Contains(test.want, i); {
				case refused && (err == nil || !test.refused(err)), !refused && err != nil:
					t.Errorf("call %d: %v", i, err)
				case cs[i] != nil && (err == nil || errors.Is(err, bus.ErrDuplicate)):
					stored[cs[i].CallID] = true
				}
			}
			info, err := st.Info(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if info.State.Msgs != uint64(len(stored)) {
				t.Errorf("%d calls in the stream, %d were said to be", info.State.Msgs, len(stored))
			}
			inBatches := 0
			for seq := range info.State.LastSeq {
				m, err := st.GetMsg(t.Context(), seq+1)
				if err != nil {
					t.Fatal(err)
				}
				if m.Header.Get("Nats-Batch-Id") != "" {
					inBatches++
				}
			}
			if inBatches < test.batched {
				t.Errorf("%d of the calls were stored in batches, want %d", inBatches, test.batched)
			}
		})
	}
}

// TestCallsWhoseWorkerStopsAreNoOutage: the broker is not to blame, and the calls are not tried again for it.
func TestCallsWhoseWorkerStopsAreNoOutage(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for i, err := range b.PublishCalls(ctx, many(0)) {
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("call %d: %v", i, err)
		}
		if kind, _ := retry.Classify(err); kind == retry.Paused {
			t.Fatalf("call %d is an outage: %v", i, err)
		}
	}
}

func sequence(from, to int) []int {
	var s []int
	for i := from; i < to; i++ {
		s = append(s, i)
	}
	return s
}

// TestABrokerThatGoesInABatchIsAnOutage: what it was told of, it has in full or not at all, and takes once.
func TestABrokerThatGoesInABatchIsAnOutage(t *testing.T) {
	t.Parallel()
	srv := bustest.StartServer(t)
	b := srv.Connect(t)
	cs := make([]*call.Call, 20_000)
	for i := range cs {
		cs[i] = newCall(fmt.Sprint(i), call.Ended)
	}
	stored := make(chan map[string]bool, 1)
	go func() {
		known := map[string]bool{}
		for part := range slices.Chunk(cs, 250) {
			for i, err := range b.PublishCalls(t.Context(), part) {
				if kind, _ := retry.Classify(err); err == nil {
					known[part[i].CallID] = true
				} else if kind != retry.Paused {
					t.Errorf("call %s: %v", part[i].CallID, err)
				}
			}
		}
		stored <- known
	}()
	waitFor(t, func() bool {
		st, err := admin(t, srv).Stream(t.Context(), "CALLS")
		return err == nil && st.CachedInfo().State.Msgs > 1000
	})
	srv.Stop()
	known := <-stored
	srv.Start(t)
	waitFor(t, func() bool { return b.Ready(t.Context()) == nil })
	if len(known) < 1000 || len(known) == len(cs) {
		t.Fatalf("%d of %d calls were stored before the broker went", len(known), len(cs))
	}
	for i, err := range b.PublishCalls(t.Context(), cs) {
		if err != nil && !errors.Is(err, bus.ErrDuplicate) || err == nil && known[cs[i].CallID] {
			t.Fatalf("call %d, acknowledged %t: %v", i, known[cs[i].CallID], err)
		}
	}
}
