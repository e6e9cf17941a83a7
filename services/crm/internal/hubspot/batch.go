package hubspot

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/onhook/onhook/pkg/retry"
)

// input is one record of a batch, and how to find what became of it.
type input struct {
	what       string // for errors: "the call"
	key        string // as keyOf finds it in a result
	trace      string // as the errors name it; empty where they cannot
	properties map[string]string
	hidden     []string // what else no error may repeat
	body       any
}

// outcome is what became of an input.
type outcome struct {
	id  string
	err error
}

// write sends inputs, of different keys, and answers an outcome for each. What HubSpot refuses as a whole is sent again
// in halves, so that what is refused in the end is the one record at fault.
func (c *Client) write(ctx context.Context, path string, keyOf func(*result) string, inputs []input) map[string]outcome {
	w := &writing{c: c, path: path, keyOf: keyOf, out: make(map[string]outcome, len(inputs))}
	for chunk := range slices.Chunk(inputs, most) {
		w.write(ctx, chunk)
	}
	return w.out
}

type writing struct {
	c     *Client
	path  string
	keyOf func(*result) string
	out   map[string]outcome
	down  error // an outage, which the inputs that are left share

	crashed bool // HubSpot answered 500
	alive   bool // and something else since
}

func (w *writing) settle(inputs []input, err error) {
	for i := range inputs {
		w.out[inputs[i].key] = outcome{err: err}
	}
}

func (w *writing) write(ctx context.Context, inputs []input) {
	if w.down != nil || len(inputs) == 0 {
		w.settle(inputs, w.down)
		return
	}
	ans, err := w.send(ctx, inputs)
	if f, ok := errors.AsType[*failure](err); ok && isPlain(err) {
		w.refused(ctx, inputs, f)
		return
	}
	switch kind, _ := retry.Classify(err); {
	case err == nil:
		w.alive = true
		w.match(ctx, inputs, ans)
	case kind == retry.Paused && stumbled(err) && len(inputs) > 1:
		w.isolate(ctx, inputs)
	case kind == retry.Paused && stumbled(err) && w.alive:
		w.settle(inputs, fmt.Errorf("HubSpot takes others, but stumbles over %s: %v", inputs[0].what, err)) //nolint:errorlint // no longer an outage
	default:
		if kind == retry.Paused {
			w.down = err
		}
		w.settle(inputs, err)
	}
}

// stumbled reports whether HubSpot itself, and nothing before it, failed at a request.
func stumbled(err error) bool {
	f, ok := errors.AsType[*failure](err)
	return ok && f.status == http.StatusInternalServerError
}

// isolate tells an outage from a record that HubSpot stumbles over: when one at either end alone has an answer the others
// are halved. Else one such call would stop the sink.
func (w *writing) isolate(ctx context.Context, inputs []input) {
	last := len(inputs) - 1
	if w.crashed {
		w.write(ctx, inputs[:last/2+1])
		w.write(ctx, inputs[last/2+1:])
		return
	}
	w.crashed, w.alive = true, false
	w.write(ctx, inputs[last:])
	rest := inputs[:last]
	if w.down != nil {
		w.down = nil
		w.write(ctx, inputs[:1])
		w.write(ctx, inputs[last:]) // where the first was answered, it is at fault
		rest = inputs[1:last]
	}
	w.write(ctx, rest)
}

// send makes the request; a conflict of one record alone is tried twice, as it may have been with a write of that moment.
func (w *writing) send(ctx context.Context, inputs []input) (*batchAnswer, error) {
	bodies := make([]any, len(inputs))
	for i := range inputs {
		bodies[i] = inputs[i].body
	}
	body := map[string]any{"inputs": bodies}
	var ans batchAnswer
	err := w.c.do(ctx, http.MethodPost, w.path, body, &ans)
	if f, ok := errors.AsType[*failure](err); ok && f.status == http.StatusConflict && len(inputs) == 1 && existingID.FindString(string(f.body.Message)) == "" {
		ans = batchAnswer{}
		err = w.c.do(ctx, http.MethodPost, w.path, body, &ans)
	}
	return &ans, err
}

// isPlain tells a failure that is the request's own from one that says more of the account.
func isPlain(err error) bool {
	kind, _ := retry.Classify(err)
	return kind == retry.Again
}

// refused finds the records at fault in a batch that was refused as a whole.
func (w *writing) refused(ctx context.Context, inputs []input, f *failure) {
	if len(inputs) == 1 {
		w.settle(inputs, f.refused(&inputs[0]))
		return
	}
	if name := f.body.missingProperty(); name != "" { // all that have it are at fault: no need to ask for each
		var others, affected []input
		for _, in := range inputs {
			if _, has := in.properties[name]; has {
				affected = append(affected, in)
			} else {
				others = append(others, in)
			}
		}
		if len(affected) > 0 {
			for i := range affected {
				w.settle(affected[i:i+1], f.refused(&affected[i]))
			}
			w.write(ctx, others)
			return
		}
	}
	mid := len(inputs) / 2
	w.write(ctx, inputs[:mid])
	w.write(ctx, inputs[mid:])
}

// match finds each input in the answer. One that is in neither the results nor the errors has an unknown fate.
func (w *writing) match(ctx context.Context, inputs []input, ans *batchAnswer) {
	byKey := make(map[string]int, len(inputs))
	byTrace := make(map[string]int, len(inputs))
	for i := range inputs {
		byKey[inputs[i].key] = i
		if inputs[i].trace != "" {
			byTrace[inputs[i].trace] = i
		}
	}
	for i := range ans.Results {
		r := &ans.Results[i]
		if at, ok := byKey[w.keyOf(r)]; ok {
			w.out[inputs[at].key] = outcome{id: string(r.ID)}
		}
	}
	if w.path == pairsCreate && len(ans.Errors) == 0 && len(ans.Results) == len(inputs) {
		for i := range inputs { // whatever form the results have
			w.out[inputs[i].key] = outcome{}
		}
	}
	var untraced *batchError
	for i := range ans.Errors {
		e := &ans.Errors[i]
		known := false
		for _, trace := range list(e.Context["objectWriteTraceId"]) {
			at, ok := byTrace[trace]
			if !ok {
				continue
			}
			known = true
			w.out[inputs[at].key] = outcome{err: e.verdict(&inputs[at])}
		}
		if !known {
			untraced = e
		}
	}
	var unknown []input
	for _, in := range inputs {
		if _, ok := w.out[in.key]; !ok {
			unknown = append(unknown, in)
		}
	}
	switch {
	case len(unknown) == 0:
	case untraced == nil:
		for i := range unknown {
			w.settle(unknown[i:i+1], fmt.Errorf("HubSpot's answer does not say what became of %s", unknown[i].what))
		}
	case len(unknown) == 1:
		w.settle(unknown, untraced.verdict(&unknown[0]))
	default: // errors that do not say whose they are: in a request of its own there is no doubt
		mid := len(unknown) / 2
		w.write(ctx, unknown[:mid])
		w.write(ctx, unknown[mid:])
	}
}

// verdict is the error of an input that a batch names among its errors.
func (e *batchError) verdict(in *input) error {
	r := e.about(in, 0)
	if e.permanent() || r.missing {
		return retry.Never(r)
	}
	return r
}
