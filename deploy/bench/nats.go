package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/onhook/onhook/deploy/bench/body"
	"github.com/onhook/onhook/deploy/bench/process"
	"github.com/onhook/onhook/pkg/bus"
)

// syncing is when a NATS server writes through to the disk.
type syncing string

const (
	always  syncing = "always" // before each acknowledgement
	relaxed syncing = "2m"     // every two minutes, which is the server's default
)

const stream = "WEBHOOKS"

// broker is NATS as it runs for a row.
type broker struct {
	url     string // of all servers
	monitor string // http://host:port of the first
	sync    syncing
}

// startNATS starts so many servers: 1, or a cluster of 3.
func (e *env) startNATS(ctx context.Context, servers int, s syncing) (broker, error) {
	var b broker
	addrs, err := process.FreeAddrs(3 * servers)
	if err != nil {
		return b, err
	}
	clients, monitors, routes := addrs[:servers], addrs[servers:2*servers], addrs[2*servers:]
	for i := range servers {
		name := "nats"
		cluster := ""
		if servers > 1 {
			name = fmt.Sprintf("nats-%d", i+1)
			cluster = fmt.Sprintf("cluster: {name: bench, listen: \"%s\", routes: [\"nats://%s\"]}\n", routes[i], strings.Join(routes, `", "nats://`))
		}
		conf, err := e.write(name+".conf", "server_name: %s\nlisten: \"%s\"\nhttp: \"%s\"\nmax_payload: 8MB\n"+
			"jetstream: {store_dir: \"%s\", sync_interval: \"%s\", max_file_store: 1TB}\n%s",
			name, clients[i], monitors[i], filepath.Join(e.data, name), s, cluster)
		if err != nil {
			return b, err
		}
		if _, err := e.start(name, "nats-server", "-c", conf); err != nil {
			return b, err
		}
	}
	for i, p := range e.processes[len(e.processes)-servers:] {
		if err := p.AwaitReady(ctx, "http://"+monitors[i]+"/healthz"); err != nil {
			return b, err
		}
	}
	return broker{url: "nats://" + strings.Join(clients, ",nats://"), monitor: "http://" + monitors[0], sync: s}, nil
}

// connect is a client of the broker, which the caller closes.
func (b broker) connect() (jetstream.JetStream, func(), error) {
	nc, err := nats.Connect(b.url)
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
	}
	return js, nc.Close, err
}

// createStream creates the stream as onhook would.
func (b broker) createStream(ctx context.Context) error {
	js, done, err := b.connect()
	if err != nil {
		return err
	}
	defer done()
	_, err = js.CreateStream(ctx, jetstream.StreamConfig{
		Name: stream, Subjects: []string{"webhooks.>"}, Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew, MaxAge: 14 * 24 * time.Hour,
	})
	return err
}

// awaitConsumer waits until the stream has a consumer, for up to a minute.
func (b broker) awaitConsumer(ctx context.Context) error {
	js, done, err := b.connect()
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if st, err := js.Stream(ctx, stream); err == nil && st.CachedInfo().State.Consumers > 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("stream %s has no consumer: %w", stream, ctx.Err())
		}
	}
}

// missing says which of the acknowledged call ids are not in the stream, or "".
func (b broker) missing(ctx context.Context, acked []int64) (string, error) {
	js, done, err := b.connect()
	if err != nil {
		return "", err
	}
	defer done()
	wanted := make(map[int64]bool, len(acked))
	for _, n := range acked {
		wanted[n] = true
	}
	if len(wanted) < len(acked) {
		return "a call id was sent twice", nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	st, err := js.Stream(ctx, stream)
	if err != nil {
		return "", err
	}
	left := st.CachedInfo().State.Msgs
	con, err := st.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return "", err
	}
	msgs, err := con.Messages(jetstream.PullMaxMessages(512))
	if err != nil {
		return "", err
	}
	defer msgs.Stop()
	for ; left > 0; left-- {
		m, err := msgs.Next(jetstream.NextContext(ctx))
		if err != nil {
			return "", err
		}
		if err := bodies(m, func(b []byte) {
			if n, ok := body.Number(b); ok {
				delete(wanted, n)
			}
		}); err != nil {
			return "", err
		}
	}
	if len(wanted) > 0 {
		return fmt.Sprintf("%d of %d acknowledged deliveries are not in the stream", len(wanted), len(acked)), nil
	}
	return "", nil
}

// bodies calls yield with the body of each delivery in a message.
func bodies(m jetstream.Msg, yield func([]byte)) error {
	if m.Headers().Get("Onhook-Envelope") == "" {
		yield(m.Data())
		return nil
	}
	for rest := m.Data(); len(rest) > 0; {
		d, length, err := bus.ReadRecord(rest)
		if err != nil {
			return err
		}
		yield(d.Body)
		rest = rest[length:]
	}
	return nil
}
