//go:build linux

package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fight has two decoders and two storage workers handle the same messages: each in turn is stopped for longer than the
// ack wait, with work in its hands that the other is given, and then goes on with it.
func fight(t *testing.T, s *suite, r *result) {
	in := apart(t, s, layout{decoders: 2, storage: 2, more: sections{"nats": {"ack_wait": "1s"}}})
	l := startLoad(t, in, loadOptions{})
	l.awaitAcks(20)
	all := slices.Concat(in.decoder, in.storage)
	for i := range s.count(4, 40) {
		p := all[i%len(all)]
		if !p.signal(syscall.SIGSTOP) {
			t.Fatalf("%s is not there to be stopped", p.name)
		}
		r.Injected++
		last(1500 * time.Millisecond)
		if !p.signal(syscall.SIGCONT) {
			t.Fatalf("%s is not there to go on", p.name)
		}
		l.awaitAcks(20)
	}
	check(t, in, l, r)
	again := in.redelivered()
	if again == 0 {
		t.Error("nothing was given to a second worker: there was no fight")
	}
	r.note("%d messages were given to a worker more than once.", again)
}

// redelivered is how often a message was delivered again, which the broker's own monitoring tells.
func (in *installation) redelivered() int {
	in.t.Helper()
	var jsz struct {
		Accounts []struct {
			Streams []struct {
				Consumers []struct {
					Delivered struct {
						Deliveries int `json:"consumer_seq"`
						Messages   int `json:"stream_seq"`
					}
				} `json:"consumer_detail"`
				Name string
			} `json:"stream_detail"`
		} `json:"account_details"`
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(in.broker.ready, "/healthz")+"/jsz?consumers=1", nil)
	if err != nil {
		in.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		in.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&jsz); err != nil {
		in.t.Fatal(err)
	}
	again := 0
	for _, account := range jsz.Accounts {
		for _, stream := range account.Streams {
			if stream.Name != "WEBHOOKS" && stream.Name != "CALLS" {
				continue // its consumers skip the messages of others
			}
			for _, c := range stream.Consumers {
				again += c.Delivered.Deliveries - c.Delivered.Messages
			}
		}
	}
	return again
}
