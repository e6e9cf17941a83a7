package onhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/store"
)

// maxRows bounds what one answer of the API lists.
const maxRows = 100_000

// api is the operator's API, which the commands use: on the admin listener of `onhook run`, and behind a token of
// `onhook ops`.
type api struct {
	bus   *bus.Bus
	db    store.Store
	sinks []string // the configured CRM sinks
	log   *zap.Logger
}

func newAPI(b *bus.Bus, db store.Store, sinks []string, log *zap.Logger) http.Handler {
	a := &api{bus: b, db: db, sinks: sinks, log: log.Named("api")}
	mux := http.NewServeMux()
	for _, r := range []struct {
		pattern string
		handle  func(r *http.Request) (any, error)
	}{
		{"GET /v1/calls", a.listCalls},
		{"GET /v1/call", a.showCall}, // a call id can hold anything: it stands in the query, not in the path
		{"GET /v1/call/timeline", a.timeline},
		{"GET /v1/dead", a.listDead},
		{"GET /v1/dead/{seq}", a.showDead},
		{"POST /v1/dead/redrive", a.redriveDead},
		{"POST /v1/dead/discard", a.discardDead},
		{"DELETE /v1/crm/{sink}", a.removeSink},
		{"GET /v1/status", a.status},
	} {
		mux.HandleFunc(r.pattern, func(w http.ResponseWriter, req *http.Request) { a.answer(w, req, r.handle) })
	}
	return mux
}

// apiError is an answer that is not 200.
type apiError struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

func (e *apiError) Error() string { return e.Detail }

func badRequest(format string, args ...any) error {
	return &apiError{http.StatusText(http.StatusBadRequest), http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

func notFound(err error) error {
	return &apiError{http.StatusText(http.StatusNotFound), http.StatusNotFound, err.Error()}
}

func (a *api) answer(w http.ResponseWriter, r *http.Request, handle func(r *http.Request) (any, error)) {
	status := http.StatusOK
	v, err := handle(r)
	if err != nil {
		e, ok := errors.AsType[*apiError](err)
		if !ok {
			a.log.Error("request failed", zap.String("path", r.URL.Path), zap.Error(err))
			e = &apiError{http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable, err.Error()}
		}
		v, status = e, e.Status
	}
	if err := writeAnswer(w, status, v); err != nil {
		a.log.Error("cannot write an answer", zap.String("path", r.URL.Path), zap.Error(err))
	}
}

// writeAnswer writes v as JSON. An *apiError is a problem (RFC 9457).
func writeAnswer(w http.ResponseWriter, status int, v any) error {
	kind := "application/json"
	if _, problem := v.(*apiError); problem {
		kind = "application/problem+json"
	}
	body, err := json.Marshal(v)
	if err != nil {
		status = http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that is gone needs no answer
	return err
}

func (a *api) listCalls(r *http.Request) (any, error) {
	q := r.URL.Query()
	f := store.Filter{Source: q.Get("source"), Status: q.Get("status"), Phone: q.Get("phone")}
	var err error
	if v := q.Get("since"); v != "" {
		if f.Since, err = time.Parse(time.RFC3339, v); err != nil {
			return nil, badRequest("since is not an RFC 3339 time")
		}
	}
	if f.Limit, err = limit(q.Get("limit")); err != nil {
		return nil, err
	}
	calls, err := a.db.List(r.Context(), f)
	if calls == nil {
		calls = []*call.Call{}
	}
	return calls, err
}

func limit(v string) (int, error) {
	if v == "" {
		return store.DefaultLimit, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > maxRows {
		return 0, badRequest("limit must be a number from 1 to %d", maxRows)
	}
	return n, nil
}

func (a *api) showCall(r *http.Request) (any, error) {
	q := r.URL.Query()
	c, err := a.db.Get(r.Context(), q.Get("source"), q.Get("id"))
	if errors.Is(err, store.ErrNotFound) {
		return nil, notFound(fmt.Errorf("source %q has no call %q", q.Get("source"), q.Get("id")))
	}
	return c, err
}

func (a *api) listDead(r *http.Request) (any, error) {
	q := r.URL.Query()
	n, err := limit(q.Get("limit"))
	if err != nil {
		return nil, err
	}
	if err := a.knownConsumer(r.Context(), q.Get("consumer")); err != nil {
		return nil, err
	}
	return a.bus.ListDead(r.Context(), q.Get("consumer"), 0, n)
}

// deadWithBody is a dead message as `dead show` prints it. A body that is not UTF-8 reads with U+FFFD.
type deadWithBody struct {
	bus.Dead
	Body string `json:"body"`
}

func (a *api) showDead(r *http.Request) (any, error) {
	seq, err := strconv.ParseUint(r.PathValue("seq"), 10, 64)
	if err != nil {
		return nil, badRequest("%q is not a sequence number", r.PathValue("seq"))
	}
	d, err := a.bus.GetDead(r.Context(), seq)
	if errors.Is(err, bus.ErrNotFound) {
		return nil, notFound(err)
	}
	return deadWithBody{d, string(d.Body)}, err
}

// deadPage is how many dead messages one request handles.
const deadPage = 500

// selection names dead messages: by sequence, or all of one consumer within a range of sequences.
type selection struct {
	Seqs     []uint64 `json:"seqs,omitempty"`
	Consumer string   `json:"consumer,omitempty"`
	From     uint64   `json:"from,omitempty"`
	Until    uint64   `json:"until,omitempty"` // the newest there is if not given
}

// handled is what was done to a selection. Where Next is not 0 there is more: from Next until Until.
type handled struct {
	Seqs  []uint64 `json:"seqs"`
	Next  uint64   `json:"next,omitempty"`
	Until uint64   `json:"until,omitempty"`
}

// knownConsumer keeps what a person typed out of subjects, and a misspelt name from being no dead messages.
func (a *api) knownConsumer(ctx context.Context, name string) error {
	if name == "" {
		return nil
	}
	all, err := a.consumers(ctx)
	if err != nil {
		return err
	}
	var names []string
	for _, c := range all {
		if c.Name == name {
			return nil
		}
		names = append(names, c.Name)
	}
	return badRequest("there is no consumer %q; there are %s", name, strings.Join(names, ", "))
}

func (a *api) redriveDead(r *http.Request) (any, error) { return a.eachDead(r, a.bus.RedriveDead) }
func (a *api) discardDead(r *http.Request) (any, error) { return a.eachDead(r, a.bus.DiscardDead) }

func (a *api) eachDead(r *http.Request, do func(context.Context, uint64) error) (any, error) {
	var sel selection
	if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 8<<20)).Decode(&sel); err != nil {
		return nil, badRequest("the request is not a selection of dead messages: %v", err)
	}
	if (len(sel.Seqs) == 0) == (sel.Consumer == "") || len(sel.Seqs) > deadPage {
		return nil, badRequest("give either sequence numbers, %d at most, or a consumer", deadPage)
	}
	if err := a.knownConsumer(r.Context(), sel.Consumer); err != nil {
		return nil, err
	}
	done := handled{Seqs: []uint64{}}
	if sel.Consumer != "" {
		var err error
		if done, err = a.page(r.Context(), &sel); err != nil {
			return nil, err
		}
	}
	for _, seq := range sel.Seqs {
		err := do(r.Context(), seq)
		if errors.Is(err, bus.ErrNotFound) {
			if sel.Consumer != "" {
				continue // somebody else was faster
			}
			return nil, notFound(fmt.Errorf("%w; %d before it were done", err, len(done.Seqs)))
		}
		if err != nil {
			return nil, fmt.Errorf("%w; %d before it were done", err, len(done.Seqs))
		}
		done.Seqs = append(done.Seqs, seq)
	}
	return done, nil
}

// page chooses the next dead messages of a consumer. What dies while they are handled lies beyond Until.
func (a *api) page(ctx context.Context, sel *selection) (handled, error) {
	h := handled{Seqs: []uint64{}, Until: sel.Until}
	if h.Until == 0 {
		var err error
		if h.Until, err = a.bus.LastDead(ctx); err != nil {
			return h, err
		}
	}
	list, err := a.bus.ListDead(ctx, sel.Consumer, sel.From, deadPage)
	if err != nil {
		return h, err
	}
	for _, d := range list {
		if d.Seq <= h.Until {
			sel.Seqs = append(sel.Seqs, d.Seq)
		}
	}
	if len(sel.Seqs) == deadPage {
		h.Next = sel.Seqs[deadPage-1] + 1
	}
	return h, nil
}
