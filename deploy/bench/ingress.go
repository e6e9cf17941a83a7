package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onhook/onhook/deploy/bench/body"
	"github.com/onhook/onhook/deploy/bench/load"
	"github.com/onhook/onhook/deploy/bench/process"
	"github.com/onhook/onhook/deploy/bench/result"
)

// receiver is something that takes webhooks.
type receiver struct {
	name    string
	servers int // of NATS: none, 1, or a cluster of 3
	sync    syncing
	stored  bool // a 200 says that the stream has it
	note    string
	start   func(ctx context.Context, e *env, listen string, b broker, r receiver) error
}

var receivers = []receiver{
	{name: "bare handler", start: startBare(), note: "reads, checks the signature, answers"},
	{name: "bare handler, tuned", start: startBare("-tuned"), note: "the ceiling: the same, and its memory as in ingress"},
	{name: "bare + core NATS", servers: 1, sync: relaxed, start: startBare("-tuned"), note: "tuned; publishes, and nobody answers for it"},
	{name: "onhook fsync", servers: 1, sync: always, stored: true, start: startIngress},
	{name: "onhook replicated", servers: 3, sync: always, stored: true, start: startIngress, note: "3 servers, each with fsync"},
	{name: "onhook relaxed", servers: 1, sync: relaxed, stored: true, start: startIngress},
	{name: "Redpanda Connect fsync", servers: 1, sync: always, stored: true, start: startConnect, note: "checks no signature"},
	{name: "Redpanda Connect relaxed", servers: 1, sync: relaxed, stored: true, start: startConnect, note: "checks no signature"},
	{name: "afternoon handler fsync", servers: 1, sync: always, stored: true, start: startAfternoon},
	{name: "afternoon handler relaxed", servers: 1, sync: relaxed, stored: true, start: startAfternoon},
}

const (
	kib2  = 2 << 10
	kib20 = 20 << 10
)

// rowName is what bounds call a row.
func rowName(what string, size, connections int) string {
	return fmt.Sprintf("%s, %d KiB, %d", what, size>>10, connections)
}

func ingressRows() []row {
	var rows []row
	for _, size := range []int{kib2, kib20} {
		for _, connections := range []int{64, 256} {
			for _, r := range receivers {
				rows = append(rows, row{
					Row: result.Row{Name: rowName(r.name, size, connections), Connections: connections, Body: size, Unit: "acks/s", Note: r.note},
					measure: func(ctx context.Context, e *env) (result.Sample, error) {
						return r.measure(ctx, e, load.Config{Connections: connections, Size: size})
					},
				})
			}
		}
	}
	return slices.Concat(rows, rawRows(), halfRows(), slowRows())
}

// warm is how long a row runs before it counts.
func warm(duration time.Duration) time.Duration { return min(duration/3, 2*time.Second) }

// measure loads the receiver and looks for what it has acknowledged.
func (r receiver) measure(ctx context.Context, e *env, c load.Config) (s result.Sample, err error) {
	var b broker
	if r.servers > 0 {
		if b, err = e.startNATS(ctx, r.servers, r.sync); err != nil {
			return s, err
		}
	}
	addrs, err := process.FreeAddrs(1)
	if err != nil {
		return s, err
	}
	c.Addr, c.Warm, c.Duration = addrs[0], warm(e.duration), e.duration
	if err := r.start(ctx, e, c.Addr, b, r); err != nil {
		return s, err
	}
	c.Begin, c.End = e.begin, func() { e.end(&s) }
	got, err := load.Run(ctx, c)
	if err != nil {
		return s, err
	}
	s.Rate, s.Count, s.Latency = got.Rate(), got.Count, result.LatencyOf(got.Took)
	if len(got.Refused) > 0 {
		s.Wrong = fmt.Sprintf("answers by status besides 200: %v", got.Refused)
	}
	if s.Wrong == "" && r.stored {
		s.Wrong, err = b.missing(ctx, got.Acked)
	}
	return s, err
}

func startBare(flags ...string) func(context.Context, *env, string, broker, receiver) error {
	return func(ctx context.Context, e *env, listen string, b broker, _ receiver) error {
		p, err := e.start("bare", "bare", append([]string{"-listen", listen, "-nats", b.url}, flags...)...)
		if err != nil {
			return err
		}
		return p.AwaitPort(ctx, listen)
	}
}

func startAfternoon(ctx context.Context, e *env, listen string, b broker, _ receiver) error {
	if err := b.createStream(ctx); err != nil {
		return err
	}
	p, err := e.start("afternoon", "afternoon", "-listen", listen, "-nats", b.url)
	if err != nil {
		return err
	}
	return p.AwaitPort(ctx, listen)
}

// startIngress starts ingress as a split installation runs it.
func startIngress(ctx context.Context, e *env, listen string, b broker, r receiver) error {
	addrs, err := process.FreeAddrs(1)
	if err != nil {
		return err
	}
	durability := "fsync"
	switch {
	case r.servers > 1:
		durability = "replicated"
	case r.sync == relaxed:
		durability = "relaxed"
	}
	conf, err := e.write("onhook.yaml", `%s
nats: {url: "%s", monitor_url: "%s", replicas: %d, durability: %s}
ingress: {listen: "%s"}
admin: {listen: "%s"}
log: {level: warn}
`, sources, b.url, b.monitor, r.servers, durability, listen, addrs[0])
	if err != nil {
		return err
	}
	p, err := e.start("ingress", "ingress", "--config", conf)
	if err != nil {
		return err
	}
	return p.AwaitReady(ctx, "http://"+addrs[0]+"/readyz")
}

// sources is that section of onhook.yaml.
var sources = strings.Join([]string{
	"sources:",
	"  altur: {provider: altur, secrets: [" + body.Secret + "]}",
	"  cllr: {provider: cllr, token: " + body.Token + "}",
	"  synthflow: {provider: synthflow, secrets: [" + body.Secret + "]}",
}, "\n")

// startConnect starts Redpanda Connect.
func startConnect(ctx context.Context, e *env, listen string, b broker, _ receiver) error {
	if err := b.createStream(ctx); err != nil {
		return err
	}
	conf, err := e.write("connect.yaml", connectConfig, listen, b.url)
	if err != nil {
		return err
	}
	p, err := e.start("connect", connectProgram, "run", conf)
	if err != nil {
		return err
	}
	return p.AwaitPort(ctx, listen)
}

func ingressBounds() []result.Bound {
	ratio := func(text string, of, over string, atLeast float64) result.Bound {
		return result.Bound{Text: text, Figure: result.Ratio(of, over), AtLeast: atLeast}
	}
	at := rowName
	bare := func(what string, of string, size int, atLeast float64) []result.Bound {
		return []result.Bound{
			ratio(fmt.Sprintf("%s ÷ bare handler, %d KiB, 256", what, size>>10), at(of, size, 256), at("bare handler", size, 256), atLeast),
			ratio("the same ÷ bare handler, tuned", at(of, size, 256), at("bare handler, tuned", size, 256), atLeast),
		}
	}
	return slices.Concat(
		bare("onhook fsync", "onhook fsync", kib2, 0.6),
		bare("onhook fsync", "onhook fsync", kib20, 0.55),
		bare("onhook on 3 replicas with fsync", "onhook replicated", kib2, 0.4),
		bare("onhook relaxed", "onhook relaxed", kib2, 0.7),
		[]result.Bound{
			ratio("onhook fsync ÷ Redpanda Connect fsync, 2 KiB, 256", at("onhook fsync", kib2, 256), at("Redpanda Connect fsync", kib2, 256), 8),
			ratio("onhook fsync ÷ Redpanda Connect fsync, 20 KiB, 256", at("onhook fsync", kib20, 256), at("Redpanda Connect fsync", kib20, 256), 4),
			ratio("the same at 2 KiB, the disk 1 ms slower", slowName("onhook fsync", kib2), slowName("Redpanda Connect fsync", kib2), 8),
			ratio("the same at 20 KiB, the disk 1 ms slower", slowName("onhook fsync", kib20), slowName("Redpanda Connect fsync", kib20), 4),
			ratio("onhook relaxed ÷ Redpanda Connect relaxed, 2 KiB, 64", at("onhook relaxed", kib2, 64), at("Redpanda Connect relaxed", kib2, 64), 1.5),
			ratio("onhook relaxed ÷ Redpanda Connect relaxed, 2 KiB, 256", at("onhook relaxed", kib2, 256), at("Redpanda Connect relaxed", kib2, 256), 1.5),
			ratio("onhook relaxed ÷ afternoon handler relaxed, 2 KiB, 256", at("onhook relaxed", kib2, 256), at("afternoon handler relaxed", kib2, 256), 1.2),
			ratio("onhook fsync ÷ afternoon handler fsync, 2 KiB, 256", at("onhook fsync", kib2, 256), at("afternoon handler fsync", kib2, 256), 8),
			ratio("the same, the disk 1 ms slower", slowName("onhook fsync", kib2), slowName("afternoon handler fsync", kib2), 8),
			{Text: "p99 of the ack of onhook fsync at half of its most, 2 KiB ÷ (3 × that of one fsynced append + 5 ms)", Figure: ackOverAppend(kib2), AtMost: 1},
			{Text: "the same, 20 KiB", Figure: ackOverAppend(kib20), AtMost: 1},
			{Text: "resident memory of ingress at its most, onhook fsync, 2 KiB, 256, MB", Figure: ingressMemory, AtMost: 80},
		})
}

func ackOverAppend(size int) func(*result.Run) (float64, error) {
	return func(r *result.Run) (float64, error) {
		ack, err := r.Figure(halfName("onhook fsync", size), result.P99)
		if err != nil {
			return 0, err
		}
		one, err := r.Figure(appendName(size), result.P99)
		return ack / (3*one + 5), err
	}
}

func ingressMemory(r *result.Run) (float64, error) {
	bytes, err := r.Figure(rowName("onhook fsync", kib2, 256), result.Resident("ingress"))
	return bytes / 1e6, err
}
