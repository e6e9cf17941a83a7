//go:build linux

package e2e

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/onhook/onhook/pkg/provider"
)

// loadOptions says how much is sent. The zero value is a load that an installation on two cores bears with ease.
type loadOptions struct {
	rate     float64       // deliveries in a second; 60 if not given, as fast as they are answered if negative
	inFlight int           // deliveries that wait for their answers at once; 64 if not given
	once     bool          // no provider tries again
	patience time.Duration // of a provider; providerPatience if not given
}

// duplicates of 100 deliveries are of a call that was sent before: half of them at the same time, half later.
const duplicates = 10

// providerPatience is when the providers give up.
const providerPatience = 10 * time.Second

// tries is how often a delivery is sent by a provider that tries again. cllr does not.
const tries = 4

// load sends webhooks until it is stopped, and keeps what was answered.
type load struct {
	in     *installation
	author *author
	client *http.Client
	once   bool
	slots  chan struct{}
	limit  *rate.Limiter
	stopIt context.CancelFunc
	wg     sync.WaitGroup
	began  time.Time
	took   time.Duration

	mu      sync.Mutex
	hooks   []string       // where requests go, in turn
	busy    map[string]int // requests that are under way, by hook
	calls   []sentCall     // the n-th call at n
	sent    int            // requests
	doubled int            // of these, of a call that was sent before; retries are not counted
	answers map[string]int
	acks    []time.Duration // of the requests that got 200
	refused []time.Duration // of those that got 503
}

// sentCall is what is known of one call.
type sentCall struct {
	hash  [sha256.Size]byte // of its body
	acked bool              // one of its deliveries got 200
}

// startLoad sends to every hook of in, in turn.
func startLoad(t *testing.T, in *installation, o loadOptions) *load {
	t.Helper()
	if o.rate == 0 {
		o.rate = 60
	}
	limit := rate.NewLimiter(rate.Inf, 1)
	if o.rate > 0 {
		limit = rate.NewLimiter(rate.Limit(o.rate), max(1, int(o.rate/50)))
	}
	if o.inFlight == 0 {
		o.inFlight = 64
	}
	ctx, stop := context.WithCancel(context.Background())
	l := &load{
		in: in, hooks: slices.Clone(in.hooks), busy: map[string]int{}, author: newAuthor(t), limit: limit, stopIt: stop, slots: make(chan struct{}, o.inFlight),
		client: &http.Client{Timeout: cmp.Or(o.patience, providerPatience), Transport: &http.Transport{MaxIdleConnsPerHost: o.inFlight}},
		once:   o.once, answers: map[string]int{}, began: time.Now(),
	}
	l.wg.Go(func() { l.run(ctx) })
	t.Cleanup(l.stop)
	return l
}

// run starts delivery after delivery, each in a goroutine of its own, until ctx ends.
func (l *load) run(ctx context.Context) {
	for l.limit.Wait(ctx) == nil {
		select {
		case l.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		n, body := l.next()
		l.wg.Go(func() { l.deliver(ctx, n, body) })
		if rand.IntN(200) < duplicates { // at the same time
			l.countDuplicate()
			select {
			case l.slots <- struct{}{}:
				l.wg.Go(func() { l.deliver(ctx, n, body) })
			case <-ctx.Done():
			}
		}
	}
}

func (l *load) countDuplicate() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.doubled++
}

// next is the next call's number and body, or an earlier one's.
func (l *load) next() (int, []byte) {
	l.mu.Lock()
	n := len(l.calls)
	if n > 0 && rand.IntN(200) < duplicates {
		l.doubled++
		n = rand.IntN(n)
		l.mu.Unlock()
		return n, l.author.body(n)
	}
	l.calls = append(l.calls, sentCall{})
	l.mu.Unlock()
	body := l.author.body(n)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls[n].hash = sha256.Sum256(body)
	return n, body
}

// deliver sends one delivery as its provider would, having a slot. Once the load is stopped it does not wait to try again.
func (l *load) deliver(ctx context.Context, n int, body []byte) {
	p := l.author.provider(n)
	for try := 1; ; try++ {
		if body == nil {
			body = l.author.body(n)
		}
		again := l.post(p, n, body, n+try)
		<-l.slots
		if !again || try == tries || l.once || p.Name == "cllr" || ctx.Err() != nil {
			return
		}
		body = nil // many may wait, and for long
		pause := time.NewTimer(time.Duration(float64(500*time.Millisecond<<(try-1)) * (1 + rand.Float64())))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
		l.slots <- struct{}{}
	}
}

// takeHook is where the next request goes.
func (l *load) takeHook(turn int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	hook := l.hooks[turn%len(l.hooks)]
	l.busy[hook]++
	return hook
}

// leaveHook ends what takeHook began.
func (l *load) leaveHook(hook string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy[hook]--
}

// replaceHook sends what comes from now on to another hook, and waits until the old one has answered: a load balancer has that
// long from when it hears that a process is to stop.
func (l *load) replaceHook(old, by string) {
	l.in.t.Helper()
	l.mu.Lock()
	l.hooks[slices.Index(l.hooks, old)] = by
	l.mu.Unlock()
	await(l.in.t, old+" to have answered", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.busy[old] == 0
	})
}

// post sends one request and reports whether its answer, or the want of one, asks for another.
func (l *load) post(p provider.Provider, n int, body []byte, turn int) (again bool) {
	hook := l.takeHook(turn)
	defer l.leaveHook(hook)
	url := hook + "/v1/webhooks/" + p.Name
	if p.Sign == nil {
		url += "/" + token
	}
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		panic(err) // a URL of our own
	}
	if p.Sign != nil {
		req.Header = p.Sign(body, secret, "")
	}
	req.Header.Set("Content-Type", "application/json")
	began := time.Now()
	resp, err := l.client.Do(req)
	answer := "no connection"
	if err == nil {
		answer = strconv.Itoa(resp.StatusCode)
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	} else if os.IsTimeout(err) || errors.Is(err, context.DeadlineExceeded) {
		answer = "timeout"
	}
	took := time.Since(began)

	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent++
	l.answers[answer]++
	switch answer {
	case "200": // the provider is content with the status, whatever became of the rest
		l.calls[n].acked = true
		l.acks = append(l.acks, took)
		return false
	case "503":
		l.refused = append(l.refused, took)
	}
	return err != nil || answer[0] == '5'
}

// acked is how many requests got 200 so far.
func (l *load) acked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acks)
}

// awaitAcks waits until n more requests have got 200.
func (l *load) awaitAcks(n int) {
	l.in.t.Helper()
	want := l.acked() + n
	await(l.in.t, "acknowledgements under load", func() bool { return l.acked() >= want })
}

// awaitAnswers waits until n more requests have got an answer.
func (l *load) awaitAnswers(answer string, n int) {
	l.in.t.Helper()
	answered := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.answers[answer]
	}
	want := answered() + n
	await(l.in.t, answer+" under load", func() bool { return answered() >= want })
}

// setRate changes how many deliveries are sent in a second.
func (l *load) setRate(perSecond float64) {
	l.limit.SetBurst(max(1, int(perSecond/50)))
	l.limit.SetLimit(rate.Limit(perSecond))
}

// phase is what was answered in a part of the load.
type phase struct {
	sent          int
	acks, refused []time.Duration
	took          time.Duration
}

// during lets the load go on for d and returns what was answered meanwhile.
func (l *load) during(d time.Duration) phase {
	now := func() (int, int, int) {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.sent, len(l.acks), len(l.refused)
	}
	began := time.Now()
	sent, acks, refused := now()
	last(d)
	l.mu.Lock()
	defer l.mu.Unlock()
	return phase{l.sent - sent, slices.Clone(l.acks[acks:]), slices.Clone(l.refused[refused:]), time.Since(began)}
}

// perSecond is how many deliveries were acknowledged in a second.
func (p phase) perSecond() float64 { return float64(len(p.acks)) / p.took.Seconds() }

func (p phase) String() string {
	return fmt.Sprintf("%.0f/s sent, %.0f/s acknowledged (p99 %.0f ms), %.0f/s refused (p50 %.0f ms, p99 %.0f ms)", float64(p.sent)/p.took.Seconds(),
		p.perSecond(), quantile(p.acks, .99), float64(len(p.refused))/p.took.Seconds(), quantile(p.refused, .5), quantile(p.refused, .99))
}

// stop ends the load and waits until every request has its answer.
func (l *load) stop() {
	l.stopIt()
	l.wg.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.took == 0 {
		l.took = time.Since(l.began)
	}
	l.client.CloseIdleConnections()
}
