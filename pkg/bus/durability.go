package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/onhook/onhook/pkg/config"
)

// The ways in which a PubAck can be worth something. One of them must hold, or relaxed must be asked for.
const (
	DurabilityFsync      = "fsync"      // the server syncs every write before it acknowledges (sync_interval: always)
	DurabilityReplicated = "replicated" // three servers have it
	DurabilityRelaxed    = "relaxed"    // neither: what was acknowledged in the last two minutes can be lost with the power
)

const quorum = 3 // replicas

// Durability is what an acknowledgement is worth, as far as it can be known.
type Durability struct {
	Asked   string `json:"asked,omitempty"` // nats.durability; empty: whichever can be shown
	OK      bool   `json:"ok"`
	Finding string `json:"finding"`
}

func (c *Config) validateDurability() error {
	switch c.Durability {
	case "", DurabilityFsync, DurabilityReplicated, DurabilityRelaxed:
		return nil
	}
	return config.At(fmt.Errorf("give %s, %s or %s", DurabilityFsync, DurabilityReplicated, DurabilityRelaxed), "durability")
}

// Durability looks at the replicas of each stream and, where the server can be asked, at its sync setting.
func (b *Bus) Durability(ctx context.Context) (Durability, error) {
	d := Durability{Asked: b.durability}
	if b.durability == DurabilityRelaxed {
		d.OK, d.Finding = true, "relaxed, as asked: what was acknowledged in the last minutes can be lost with the power"
		return d, nil
	}
	all, err := b.Streams(ctx)
	if err != nil {
		return d, err
	}
	var few []string
	for _, s := range all {
		if s.Replicas < quorum {
			few = append(few, fmt.Sprintf("%s has %d", s.Name, s.Replicas))
		}
	}
	if b.durability != DurabilityFsync && len(few) == 0 {
		d.OK, d.Finding = true, "replicated: every stream has three replicas or more"
		return d, nil
	}
	if b.durability == DurabilityReplicated {
		d.Finding = fmt.Sprintf("not replicated: of replicas %s; `onhook migrate` gives streams that are there what nats.replicas says", strings.Join(few, ", "))
		return d, nil
	}
	always, known := b.syncsAlways(ctx)
	switch {
	case known && always:
		d.OK, d.Finding = true, "fsync: the server syncs every write"
	case known:
		d.Finding = "no fsync: the server does not sync every write; set sync_interval: always in its jetstream section"
	case b.durability == DurabilityFsync:
		d.OK, d.Finding = true, "fsync, as the configuration says: the server cannot be asked; "+b.monitorHint()
	default:
		d.Finding = "not known to be durable: of replicas " + strings.Join(few, ", ") + ", and whether the server syncs every write cannot be seen; " +
			b.monitorHint() + "; or use three replicas, or say nats.durability: fsync (sync_interval: always is set) or relaxed"
	}
	return d, nil
}

// monitorHint says how the server could be asked.
func (b *Bus) monitorHint() string {
	if b.monitorURL == "" {
		return "nats.monitor_url would let onhook see it"
	}
	return "nats.monitor_url does not answer as the monitoring port of a NATS server does"
}

// syncsAlways reports whether the server syncs every write, if that can be known: of an embedded server, or by the
// monitoring address of another.
func (b *Bus) syncsAlways(ctx context.Context) (always, known bool) {
	if b.embedded {
		return true, true
	}
	if b.monitorURL == "" {
		return false, false
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(b.monitorURL, "/")+"/jsz?config=1", nil)
	if err != nil {
		return false, false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, false
	}
	defer func() { _ = resp.Body.Close() }()
	var jsz struct {
		Config struct {
			SyncAlways bool `json:"sync_always"`
		} `json:"config"`
	}
	if resp.StatusCode != http.StatusOK || json.NewDecoder(resp.Body).Decode(&jsz) != nil {
		return false, false
	}
	return jsz.Config.SyncAlways, true
}

// Durable says why an acknowledgement would not be worth what was asked for, or nil.
func (b *Bus) Durable(ctx context.Context) error {
	d, err := b.Durability(ctx)
	if err != nil {
		return err
	}
	if !d.OK {
		return errors.New(d.Finding)
	}
	return nil
}
