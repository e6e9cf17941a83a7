package synthflow

import (
	"encoding/json"
	"strings"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/provider/payload"
)

// actions reads executed_actions. Of results under one name the last counts.
func actions(c *call.Call, o *payload.Object) {
	for key := range o.Names() {
		a := o.Object(key)
		if a == nil {
			continue
		}
		action := call.Action{
			Name:   a.Text("name"),
			Type:   a.Text("action_type"),
			Params: a.Value("parameters_hard_coded"),
			Result: a.Value("return_value"),
			Error:  a.Text("error_message"),
		}
		if action.Name == "" {
			action.Name = key
		}
		for _, name := range []string{"timestamp", "timestamp_datetime"} { // both seen; the second without offset
			if action.At == nil && a.Holds(name) {
				action.At = a.Time(name, c.Timezone)
			}
		}
		c.Actions = append(c.Actions, action)
		for name, value := range payload.Members(action.Result) {
			extract(c, name, value, "action:"+key)
		}
	}
}

// variables reads collected_variables in both documented shapes: by name, and by agent and then by name. An entry with
// a value or a collected flag is a variable. Those not collected stay in the extensions.
func variables(c *call.Call, o *payload.Object) {
	winners := make(map[string]*payload.Object)
	take := func(name string, v *payload.Object, origin string) {
		flag, flagged := v.Scalar("collected")
		if flagged && payload.Word(flag) != "true" || !v.Has("value") {
			v.PutBack("collected")
			return
		}
		if before := winners[name]; before != nil { // another agent's, of the same name
			v.Warn("value", "replaces another agent's variable of the same name")
			before.PutBack("value")
		}
		winners[name] = v
		extract(c, name, v.Raw("value"), origin)
	}
	for key := range o.Names() {
		entry := o.Object(key)
		if isVariable(entry) {
			take(key, entry, "variable")
			continue
		}
		for name := range entry.Names() {
			if v := entry.Object(name); isVariable(v) {
				take(name, v, "variable:"+key)
			}
		}
	}
}

func isVariable(o *payload.Object) bool { return o.Has("value") || o.Has("collected") }

func extract(c *call.Call, name string, value json.RawMessage, origin string) {
	if c.Extracted == nil {
		c.Extracted = make(map[string]json.RawMessage)
		c.ExtractedSource = make(map[string]string)
	}
	c.Extracted[name] = value
	c.ExtractedSource[name] = origin
}

var verdicts = map[string]call.Verdict{
	"false":          call.VerdictNotMet,
	"not_applicable": call.VerdictNotApplicable,
	"null":           call.VerdictNotApplicable,
	"partial":        call.VerdictPartial,
	"true":           call.VerdictMet,
}

// analysis reads the judge's criteria, each beside its feedback, and the flags over all of them.
func analysis(c *call.Call, o *payload.Object) {
	var a call.Analysis
	for name := range o.Names() {
		switch name {
		case "all_feedback", "judge_found_full_error", "judge_found_partial_or_error":
			if a.Flags == nil {
				a.Flags = make(map[string]json.RawMessage)
			}
			a.Flags[name] = o.Raw(name)
			continue
		}
		if strings.HasSuffix(name, "_feedback") {
			continue // taken with its criterion
		}
		raw, sent := o.Scalar(name)
		if !sent {
			continue // of a type that is no verdict
		}
		k := call.Criterion{
			Name:       name,
			Verdict:    call.VerdictUnknown,
			VerdictRaw: raw,
			Feedback:   o.Text(name + "_feedback"),
		}
		if v, ok := verdicts[payload.Word(raw)]; ok {
			k.Verdict = v
		} else if o.Null(name) {
			k.Verdict = call.VerdictNotApplicable
		}
		a.Criteria = append(a.Criteria, k)
	}
	c.Analysis = payload.NonZero(a)
}
