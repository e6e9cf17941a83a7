package main

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/onhook/onhook/deploy/bench/result"
	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/bus/bustest"
	"github.com/onhook/onhook/pkg/provider"
	"github.com/onhook/onhook/pkg/store"
	"github.com/onhook/onhook/services/decoder"
	"github.com/onhook/onhook/services/storage"
)

const few = 300

// start runs a part of the pipeline until the test ends.
func start(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func startBroker(t *testing.T) (broker, *bus.Bus) {
	t.Helper()
	b := broker{url: bustest.StartServer(t).ClientURL(), sync: relaxed}
	client, err := b.bus(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return b, client
}

// await takes a sample of what counts to few.
func await(t *testing.T, count func(context.Context) (int64, error)) {
	t.Helper()
	var s result.Sample
	if err := new(env).timed(t.Context(), &s, few, count); err != nil {
		t.Fatal(err)
	}
	if s.Count <= 0 || s.Count > few || s.Rate <= 0 {
		t.Errorf("%+v", s)
	}
}

func TestDeliveriesBecomeRows(t *testing.T) {
	t.Parallel()
	b, client := startBroker(t)
	if err := b.fillWebhooks(t.Context(), 0, few); err != nil {
		t.Fatal(err)
	}
	d, err := decoder.New(t.Context(), decoder.DefaultConfig(), provider.All(), client, zap.NewNop(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	start(t, d.Run)
	inCalls, done, err := b.countCalls(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	await(t, inCalls)

	dsn := "sqlite:" + filepath.Join(t.TempDir(), "calls.db")
	if _, _, err := store.Migrate(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	s, err := storage.New(t.Context(), storage.DefaultConfig(), st, client, zap.NewNop(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	start(t, s.Run)
	saved, done2, err := b.countSaved(few)
	if err != nil {
		t.Fatal(err)
	}
	defer done2()
	await(t, saved)
	if rows, err := st.List(t.Context(), store.Filter{Limit: few + 1}); err != nil || len(rows) != few {
		t.Errorf("%d rows of %d deliveries, %v", len(rows), few, err)
	}
}

func TestForwardPublishesEachDelivery(t *testing.T) {
	t.Parallel()
	b, _ := startBroker(t)
	if err := b.fillWebhooks(t.Context(), 0, few); err != nil {
		t.Fatal(err)
	}
	start(t, func(ctx context.Context) error { return forward(ctx, []string{"-nats", b.url}) })
	inCalls, done, err := b.countCalls(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	await(t, inCalls)
}

func TestRetainedAndBacklogAreCalls(t *testing.T) {
	t.Parallel()
	b, _ := startBroker(t)
	if err := b.retain(t.Context(), few); err != nil {
		t.Fatal(err)
	}
	if err := b.fillCalls(t.Context(), few); err != nil {
		t.Fatal(err)
	}
	inCalls, done, err := b.countCalls(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	if n, err := inCalls(t.Context()); err != nil || n != 2*few {
		t.Errorf("%d calls, %v; want %d", n, err, 2*few)
	}
}
