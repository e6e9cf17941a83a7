package service

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestProbe(t *testing.T) {
	t.Parallel()
	p, err := NewProcess(Options{Admin: "127.0.0.1:0"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var fault error
	p.Admin.AddCheck(Check{Name: "broker", Probe: func(context.Context) error { return fault }})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Admin.Run(ctx) }()
	ask := func(addr string) error {
		p, err := NewProcess(Options{Admin: addr, Ready: true}, io.Discard)
		if p != nil || err == nil {
			t.Fatal("a probe became a process")
		}
		return err
	}
	_, port, _ := strings.Cut(p.Admin.Addr(), ":")
	for _, addr := range []string{p.Admin.Addr(), ":" + port, "0.0.0.0:" + port} {
		if err := ask(addr); !errors.Is(err, errReady) || report("x", io.Discard, err) != exitOK {
			t.Errorf("%s: %v", addr, err)
		}
	}
	fault = errors.New("away")
	if err := ask(p.Admin.Addr()); report("x", io.Discard, err) != exitFailed || !strings.Contains(err.Error(), "broker: away") {
		t.Errorf("%v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if err := ask(p.Admin.Addr()); report("x", io.Discard, err) != exitFailed {
		t.Errorf("%v", err)
	}
	if err := ask("nonsense"); report("x", io.Discard, err) != exitUsage {
		t.Errorf("%v", err)
	}
}
