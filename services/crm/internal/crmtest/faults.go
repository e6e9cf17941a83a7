package crmtest

import (
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/onhook/onhook/pkg/retry"
)

// fault is how the requests that write calls go wrong, all of them while it is on.
type fault struct {
	name   string
	status int
	header map[string]string
	body   string

	echo     bool // the vendor's error repeats all that was sent, its Authorization too
	commit   bool // the vendor does its work, and its answer is lost
	cut      bool // no answer: the connection is closed
	silent   bool // no answer: nothing happens at all
	accepted bool // a client may take the answer for success, where the vendor's protocol has no more to it than a 2xx

	kinds []retry.Kind  // what it may mean
	delay time.Duration // that it asks for
}

var (
	refused   = []retry.Kind{retry.Dead}                             // the call is at fault
	stops     = []retry.Kind{retry.Paused}                           // somebody must act, and nothing is lost
	pauses    = []retry.Kind{retry.Paused, retry.Later}              // the vendor says when
	transient = []retry.Kind{retry.Again, retry.Later, retry.Paused} // anything but lost
)

// retryAt is a Retry-After as a date.
const retryAt = "<date>"

var faults = []fault{
	{name: "400", status: 400, kinds: refused},
	{name: "401", status: 401, kinds: stops},
	{name: "403", status: 403, kinds: stops},
	{name: "404", status: 404, kinds: stops},
	{name: "409", status: 409, kinds: transient},
	{name: "410", status: 410, kinds: stops},
	{name: "413", status: 413, kinds: refused},
	{name: "422", status: 422, kinds: refused},
	{name: "423", status: 423, kinds: transient},
	{name: "429", status: 429, kinds: pauses},
	{name: "429 in seconds", status: 429, header: map[string]string{"Retry-After": "120"}, kinds: pauses, delay: 2 * time.Minute},
	{name: "429 at a date", status: 429, header: map[string]string{"Retry-After": retryAt}, kinds: pauses, delay: 2 * time.Minute},
	{name: "477", status: 477, header: map[string]string{"Retry-After": "120"}, kinds: transient},
	{name: "500", status: 500, kinds: transient},
	{name: "502", status: 502, kinds: transient},
	{name: "503", status: 503, kinds: transient},
	{name: "504", status: 504, kinds: transient},
	{name: "400 that echoes", status: 400, echo: true, kinds: refused},
	{name: "401 that echoes", status: 401, echo: true, kinds: stops},
	{name: "500 that echoes", status: 500, echo: true, kinds: transient},
	{name: "500 after commit", status: 500, commit: true, kinds: transient},
	{name: "silence", silent: true, kinds: transient},
	{name: "silence after commit", silent: true, commit: true, kinds: transient},
	{name: "cut", cut: true, kinds: transient},
	{name: "cut after commit", cut: true, commit: true, kinds: transient},
	{name: "empty 200", status: 200, accepted: true, kinds: []retry.Kind{retry.Done, retry.Again, retry.Later, retry.Paused}},
	{name: "200 not JSON", status: 200, body: "<html>maintenance</html>", accepted: true, kinds: []retry.Kind{retry.Done, retry.Again, retry.Later, retry.Paused}},
	{name: "200 of another kind", status: 200, body: `{"hello":"world"}`, accepted: true, kinds: []retry.Kind{retry.Done, retry.Again, retry.Later, retry.Paused}},
}

// faulty is a vendor with a fault.
type faulty struct {
	fault  fault
	vendor http.Handler
	writes func(*http.Request) bool
	says   func(string) string
	on     atomic.Bool
	hit    atomic.Int64
}

// ServeHTTP answers as the fault has it, or as the vendor does.
func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !f.on.Load() || !f.writes(r) {
		f.vendor.ServeHTTP(w, r)
		return
	}
	f.hit.Add(1)
	body := f.fault.body
	if f.fault.echo {
		sent, _ := io.ReadAll(r.Body) // what the client could not send is not missed
		body = r.Header.Get("Authorization") + " sent " + customerName + ": " + string(sent)
		if f.says != nil {
			body = f.says(body)
		}
	}
	if f.fault.commit {
		f.vendor.ServeHTTP(&unheard{header: http.Header{}}, r)
	}
	switch {
	case f.fault.silent:
		_, _ = io.Copy(io.Discard, r.Body) // or the server does not see the client go
		<-r.Context().Done()               // it has had enough
		return
	case f.fault.cut:
		panic(http.ErrAbortHandler) // as net/http closes a connection
	}
	for name, v := range f.fault.header {
		if v == retryAt {
			v = time.Now().Add(2 * time.Minute).UTC().Format(http.TimeFormat)
		}
		w.Header().Set(name, v)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(f.fault.status)
	_, _ = io.WriteString(w, body) //nolint:gosec // no browser reads it; the client may have gone
}

// unheard is the writer of an answer that nobody gets.
type unheard struct{ header http.Header }

// Header is thrown away.
func (u *unheard) Header() http.Header { return u.header }

// Write throws b away.
func (u *unheard) Write(b []byte) (int, error) { return len(b), nil }

// WriteHeader does nothing.
func (u *unheard) WriteHeader(int) {}
