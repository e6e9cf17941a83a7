package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// Migrate makes each stream as the table has it, but for limits that are the operator's, and returns what it changed.
// An error names what the server refuses to change; the rest is done.
func (b *Bus) Migrate(ctx context.Context) (changed []Difference, err error) {
	found, missing, err := b.Drift(ctx)
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("stream %s does not exist", strings.Join(missing, ", "))
	}
	found = slices.DeleteFunc(found, func(d Difference) bool { return d.Kind == DriftAllowed })
	var errs []error
	for _, s := range streams {
		want := b.streamConfig(s)
		var own []Difference
		for _, d := range found {
			if d.Stream == want.Name {
				own = append(own, d)
			}
		}
		done, err := b.change(ctx, want, own)
		changed, errs = append(changed, done...), append(errs, err)
	}
	return changed, errors.Join(errs...)
}

// MakeConsumers makes what workers read by, those of the CRM sinks among them, so that no service needs the right to. What is
// there already stays where it is in its stream.
func (b *Bus) MakeConsumers(ctx context.Context, sinks []Consumer) error {
	for _, c := range append(slices.Clone(Consumers), sinks...) {
		if _, _, err := b.Open(ctx, c); err != nil {
			return err
		}
	}
	if len(sinks) == 0 {
		return nil
	}
	return b.persist(ctx, "the bucket of contacts", func(ctx context.Context) error {
		_, err := b.contacts(ctx)
		return err
	})
}

// change makes the differences of one stream as want has them: at once, as some depend on each other, and where the server
// refuses that, without those that it never changes.
func (b *Bus) change(ctx context.Context, want jetstream.StreamConfig, ds []Difference) (done []Difference, err error) {
	if len(ds) == 0 {
		return nil, nil
	}
	refusal := b.update(ctx, want, ds)
	if refusal == nil {
		return ds, nil
	}
	var stuck []string
	for _, d := range ds {
		if slices.Contains(fixed, d.Setting) {
			stuck = append(stuck, d.Setting)
		} else {
			done = append(done, d)
		}
	}
	if isFinal(refusal) && len(stuck) > 0 && len(done) > 0 && b.update(ctx, want, done) == nil {
		return done, refused(want.Name, stuck, refusal)
	}
	all := make([]string, len(ds))
	for i, d := range ds {
		all[i] = d.Setting
	}
	return nil, refused(want.Name, all, refusal)
}

// fixed is what the server does not change of a stream that is there, retention where a work queue is concerned.
var fixed = []string{"deny_delete", "persist_mode", "retention", "sealed", "storage"}

func refused(stream string, names []string, err error) error {
	return fmt.Errorf("stream %s: cannot change %s: %w; if the server will never do it: stop ingress, wait until `onhook status` shows nothing pending in it, "+
		"stop every service, delete the stream with `nats stream rm %s`, and run `onhook migrate` again, which creates it", stream, strings.Join(names, ", "), err, stream)
}

// update sets the settings of ds, and no other.
func (b *Bus) update(ctx context.Context, want jetstream.StreamConfig, ds []Difference) error {
	st, err := b.js.Stream(ctx, want.Name)
	if err != nil {
		return err
	}
	is, err := rawSettings(st.CachedInfo().Config)
	if err != nil {
		return err
	}
	should, err := rawSettings(want)
	if err != nil {
		return err
	}
	for _, d := range ds {
		delete(is, d.Setting)
		if v, ok := should[d.Setting]; ok {
			is[d.Setting] = v
		}
	}
	raw, err := json.Marshal(is)
	if err != nil {
		return err
	}
	var cfg jetstream.StreamConfig
	if err := json.Unmarshal(raw, &cfg); err != nil {
		return err
	}
	_, err = b.js.UpdateStream(ctx, cfg)
	return err
}

func rawSettings(cfg jetstream.StreamConfig) (map[string]json.RawMessage, error) {
	raw, err := json.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	all := map[string]json.RawMessage{}
	return all, json.Unmarshal(raw, &all)
}
