package onhook

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/time/rate"

	"github.com/onhook/onhook/pkg/provider"
	"github.com/onhook/onhook/pkg/service"
	"github.com/onhook/onhook/schemas"
)

type sendCmd struct {
	Provider    string  `arg:"" help:"altur, cllr or synthflow: whose webhooks to send."`
	Source      string  `help:"The source to send to; the provider's name if not given."`
	URL         string  `help:"Where webhooks are taken." default:"http://127.0.0.1:8080" placeholder:"URL"`
	Secret      string  `help:"Sign with this; the development secret if not given." env:"ONHOOK_DEV_SECRET"`
	Scheme      string  `help:"Sign by this scheme, where the provider has several."`
	Token       string  `help:"Put this token into the URL; the development token for a provider that signs nothing." env:"ONHOOK_DEV_TOKEN"`
	Count       int     `help:"Send so many." default:"1"`
	Rate        float64 `help:"Send so many a second; 0 is as fast as they are answered."`
	Duplicates  int     `help:"Of 100 deliveries, let so many repeat the id of an earlier one." placeholder:"PERCENT"`
	Connections int     `help:"Send over so many connections." default:"32"`
	Acked       string  `help:"Write the call id of each delivery that got 200 to this file, a line each." placeholder:"FILE"`
	JSON        bool    `help:"Print JSON." name:"json"`
}

// sendResult is what became of the deliveries.
type sendResult struct {
	Sent     int            `json:"sent"`
	Accepted int            `json:"accepted"` // got 200
	Calls    int            `json:"calls"`    // different call ids among the accepted
	Answers  map[string]int `json:"answers"`  // by status, or by what kept an answer away
	Seconds  float64        `json:"seconds"`
	P50      float64        `json:"p50_seconds"` // of the accepted
	P99      float64        `json:"p99_seconds"`
}

// Run sends webhooks as the provider would, and fails when any of them did not get its 200.
func (c *sendCmd) Run(ctx context.Context, t terminal) error {
	p, ok := provider.Lookup(c.Provider)
	switch {
	case !ok:
		return &service.UsageError{Err: fmt.Errorf("there is no provider %q; there are %s", c.Provider, strings.Join(provider.Names(), ", "))}
	case c.Count < 1 || c.Connections < 1 || c.Rate < 0 || c.Duplicates < 0 || c.Duplicates > 99:
		return &service.UsageError{Err: errors.New("--count and --connections start at 1, --rate at 0, and --duplicates is a percentage from 0 to 99")}
	case c.Scheme != "" && !slices.Contains(p.Schemes, c.Scheme):
		return &service.UsageError{Err: fmt.Errorf("%s has no scheme %q; it has %q", p.Name, c.Scheme, p.Schemes)}
	}
	s, err := c.newSender(p)
	if err != nil {
		return err
	}
	if c.Acked != "" {
		f, err := os.Create(c.Acked)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		s.acked = f
	}
	stop := func() {}
	if c.Count > 1 && isTerminal(t.err) {
		stop = s.showProgress(t.err, c.Count)
	}
	began := time.Now()
	s.send(ctx, c.Count, c.Connections, c.Rate)
	stop()
	r := s.result(time.Since(began))
	if c.JSON {
		err = printJSON(t.out, r)
	} else {
		_, err = fmt.Fprintf(t.out, "sent %d in %.1f s (%.0f/s): %d answered 200, %d calls, p50 %.1f ms, p99 %.1f ms\n",
			r.Sent, r.Seconds, float64(r.Sent)/r.Seconds, r.Accepted, r.Calls, r.P50*1000, r.P99*1000)
	}
	if err != nil {
		return err
	}
	if r.Accepted < r.Sent || r.Sent < c.Count {
		return fmt.Errorf("%d of %d deliveries were not accepted: %s", c.Count-r.Accepted, c.Count, answersText(r.Answers))
	}
	return nil
}

func answersText(answers map[string]int) string {
	var parts []string
	for a, n := range answers {
		if a != "200" {
			parts = append(parts, fmt.Sprintf("%d × %s", n, a))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// sender sends one provider's sample over and over, each time with a call id of its own or a repeated one.
type sender struct {
	provider   provider.Provider
	sample     []byte
	url        string
	secret     string
	scheme     string
	duplicates int
	client     *http.Client
	run        string // in every call id, so that two runs share none

	mu      sync.Mutex
	ids     int // ids made so far
	sent    int
	answers map[string]int
	calls   map[string]bool
	took    []time.Duration
	acked   io.Writer
}

func (c *sendCmd) newSender(p provider.Provider) (*sender, error) {
	sample, err := sampleOf(p.Name)
	if err != nil {
		return nil, err
	}
	source := cmp.Or(c.Source, p.Name)
	url := strings.TrimSuffix(c.URL, "/") + "/v1/webhooks/" + source
	token := c.Token
	if p.Sign == nil {
		token = cmp.Or(token, devToken)
	} else if os.Getenv(devTokenEnv) == token {
		token = "" // the environment's token is for the sources that have one
	}
	if token != "" {
		url += "/" + token
	}
	return &sender{
		provider:   p,
		sample:     sample,
		url:        url,
		secret:     cmp.Or(c.Secret, devSecret),
		scheme:     c.Scheme,
		duplicates: c.Duplicates,
		client:     &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: c.Connections, MaxConnsPerHost: c.Connections}},
		run:        uuid.NewString()[:8],
		answers:    map[string]int{},
		calls:      map[string]bool{},
	}, nil
}

// sampleOf is the provider's fullest documented payload: the last of its examples whose name begins with "full".
func sampleOf(provider string) ([]byte, error) {
	names, err := fs.Glob(schemas.FS, path.Join("provider", provider, "full*.example.json"))
	if err != nil || len(names) == 0 {
		return nil, fmt.Errorf("%s has no example named full", provider)
	}
	return schemas.FS.ReadFile(slices.Max(names))
}

// send sends count deliveries and waits for their answers. It stops early when ctx ends.
func (s *sender) send(ctx context.Context, count, connections int, perSecond float64) {
	limit := rate.NewLimiter(rate.Inf, 1)
	if perSecond > 0 {
		limit = rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond/100)))
	}
	jobs := make(chan struct{})
	var wg sync.WaitGroup
	for range min(connections, count) {
		wg.Go(func() {
			for range jobs {
				s.one(ctx)
			}
		})
	}
	for range count {
		if limit.Wait(ctx) != nil {
			break
		}
		jobs <- struct{}{}
	}
	close(jobs)
	wg.Wait()
}

// one sends one delivery and records its answer.
func (s *sender) one(ctx context.Context) {
	id := s.nextID()
	began := time.Now()
	answer := s.post(ctx, id)
	took := time.Since(began)

	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent++
	s.answers[answer]++
	if answer != "200" {
		return
	}
	s.took = append(s.took, took)
	s.calls[id] = true
	if s.acked != nil {
		_, _ = fmt.Fprintln(s.acked, id)
	}
}

func (s *sender) nextID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ids > 0 && rand.IntN(100) < s.duplicates {
		return s.id(rand.IntN(s.ids))
	}
	s.ids++
	return s.id(s.ids - 1)
}

func (s *sender) id(n int) string { return "send-" + s.run + "-" + strconv.Itoa(n) }

// post returns the answer's status, or what kept it away.
func (s *sender) post(ctx context.Context, id string) string {
	body, err := withID(s.sample, s.provider.IDPath, id)
	if err != nil {
		return err.Error()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return "--url is not a URL"
	}
	if s.provider.Sign != nil {
		if req.Header = s.provider.Sign(body, s.secret, s.scheme); req.Header == nil {
			return "the secret does not fit the scheme"
		}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "onhook-send/"+service.Version())
	resp, err := s.client.Do(req)
	if err != nil {
		if inner := errors.Unwrap(err); inner != nil {
			err = inner // without the URL, which can hold a token
		}
		return err.Error()
	}
	_, _ = io.Copy(io.Discard, resp.Body) // so that the connection can be used again
	_ = resp.Body.Close()
	return strconv.Itoa(resp.StatusCode)
}

// withID is a JSON body with the value at a path replaced.
func withID(body []byte, at []string, id string) ([]byte, error) {
	if len(at) == 0 {
		return json.Marshal(id)
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(body, &object); err != nil {
		return nil, err
	}
	inner, err := withID(object[at[0]], at[1:], id)
	if err != nil {
		return nil, err
	}
	object[at[0]] = inner
	return json.Marshal(object)
}

func (s *sender) result(took time.Duration) sendResult {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.Sort(s.took)
	at := func(q float64) float64 {
		if len(s.took) == 0 {
			return 0
		}
		return s.took[int(q*float64(len(s.took)-1))].Seconds()
	}
	return sendResult{Sent: s.sent, Accepted: s.answers["200"], Calls: len(s.calls), Answers: s.answers, Seconds: took.Seconds(), P50: at(.5), P99: at(.99)}
}

// showProgress draws a bar on a terminal until stopped.
func (s *sender) showProgress(w io.Writer, count int) (stop func()) {
	const width = 40
	draw := func() {
		s.mu.Lock()
		sent, accepted := s.sent, s.answers["200"]
		s.mu.Unlock()
		full := width * sent / count
		_, _ = fmt.Fprintf(w, "\r[%s%s] %d/%d, %d not accepted ", strings.Repeat("=", full), strings.Repeat(" ", width-full), sent, count, sent-accepted)
	}
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		t := time.NewTicker(100 * time.Millisecond)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				draw()
			case <-done:
				draw()
				_, _ = fmt.Fprintln(w)
				return
			}
		}
	}()
	return func() { close(done); <-stopped }
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
