package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// errReady is what NewProcess returns to a process that was only to ask whether another one is ready, and it is.
// Main ends with status 0, as after --help.
var errReady = errors.New("ready")

// probe asks the admin listener that listens on addr whether its process is ready. It never returns nil.
func probe(ctx context.Context, addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "127.0.0.1" // it listens everywhere, so there too
	}
	ctx, cancel := context.WithTimeout(ctx, probeBudget+time.Second) // its checks have their budget, and say what failed
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Transport{}).RoundTrip(req) // not by way of a proxy that the environment names
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	var state readiness
	if err := json.NewDecoder(resp.Body).Decode(&state); err != nil {
		return fmt.Errorf("%s answered %s, and not as an onhook does", addr, resp.Status)
	}
	if state.Ready {
		return errReady
	}
	var why []string
	for _, c := range state.Checks {
		if !c.OK {
			why = append(why, c.Name+": "+c.Reason)
		}
	}
	return fmt.Errorf("not ready: %s", strings.Join(why, "; "))
}
