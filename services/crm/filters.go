package crm

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/services/crm/internal/expr"
	"github.com/onhook/onhook/services/crm/internal/sink"
)

// filters decide what of which calls a sink is given.
type filters struct {
	when    *expr.Expr // nil: all
	minAuth call.Auth  // empty: any
	events  []string
	fields  map[string]*expr.Expr

	transcript, recording, extensions bool // whether the sink may see them

	extracted []string
}

// everything is the key of extracted that stands for all.
const everything = "*"

func compile(env *expr.Env, s *Sink) (filters, error) {
	f := filters{minAuth: call.Auth(s.MinAuth), events: s.Events, fields: map[string]*expr.Expr{},
		transcript: s.Transcript, recording: s.RecordingLink, extensions: s.Extensions, extracted: s.Extracted}
	var errs []error
	var err error
	if s.When != "" {
		if f.when, err = env.Bool(s.When); err != nil {
			errs = append(errs, config.At(err, "when"))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Fields)) {
		if f.fields[name], err = env.Field(s.Fields[name]); err != nil {
			errs = append(errs, config.At(err, "fields", name))
		}
	}
	return f, errors.Join(errs...)
}

// wanted reports whether the call is of the events that the sink takes at all.
func (f *filters) wanted(c *call.Call) bool { return slices.Contains(f.events, string(c.Event)) }

// chosen reports whether the sink's conditions let the call through.
func (f *filters) chosen(c *call.Call) (bool, error) {
	if f.minAuth != "" && !c.Auth.AtLeast(f.minAuth) {
		return false, nil
	}
	if f.when == nil {
		return true, nil
	}
	ok, err := f.when.True(c)
	if err != nil {
		return false, fmt.Errorf("when: %w", err)
	}
	return ok, nil
}

// item is the call as the sink may see it.
func (f *filters) item(c *call.Call) (sink.Item, error) {
	item := sink.Item{Call: f.visible(c)}
	for name, e := range f.fields {
		v, err := e.Value(c)
		if err != nil {
			return item, fmt.Errorf("fields.%s: %w", name, err)
		}
		if item.Fields == nil {
			item.Fields = make(map[string]any, len(f.fields))
		}
		item.Fields[name] = v
	}
	return item, nil
}

// visible is c without what the sink is not to see, whatever its kind does with a call. c stays whole.
func (f *filters) visible(c *call.Call) *call.Call {
	v := *c
	v.Headers = nil
	if !f.transcript {
		v.Transcript = call.Transcript{Form: c.Transcript.Form}
	}
	if !f.recording {
		v.Recording = nil
	}
	if !f.extensions { // what the provider sends beside may hold any of the above
		v.Extensions, v.Actions = nil, nil
		if c.Customer != nil {
			customer := *c.Customer
			customer.Attributes = nil
			v.Customer = &customer
		}
		if c.Analysis != nil {
			analysis := *c.Analysis
			analysis.Flags, analysis.Details = nil, nil
			v.Analysis = &analysis
		}
	}
	if !slices.Contains(f.extracted, everything) {
		v.Extracted, v.ExtractedSource = nil, nil
		for _, key := range f.extracted {
			if raw, ok := c.Extracted[key]; ok {
				if v.Extracted == nil {
					v.Extracted = map[string]json.RawMessage{}
				}
				v.Extracted[key] = raw
			}
		}
	}
	return &v
}
