package salesforce

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/services/crm/internal/crmtest"
	"github.com/onhook/onhook/services/crm/internal/sink"
)

func TestTokenIsUsedUntilItIsRefused(t *testing.T) {
	f := setup(t)
	for i := range 3 {
		f.deliver(retry.Done, newCall(fmt.Sprint(i)))
	}
	if n := f.org.Logins(); n != 1 {
		t.Errorf("%d logins", n)
	}
	f.org.ExpireTokens()
	f.deliver(retry.Done, newCall("x"))
	if n := f.org.Logins(); n != 2 {
		t.Errorf("%d logins", n)
	}
}

func TestTokenThatExpiresInTheMiddleOfABatch(t *testing.T) {
	f := setup(t)
	f.deliver(retry.Done, newCall("first"))
	f.org.Fail(crmtest.SalesforceFault{Path: rows, Delay: time.Millisecond}, crmtest.SalesforceFault{Path: rows, Expire: true})
	f.deliver(retry.Done, calls(600)...)
	if n := len(f.tasks()); n != 601 || f.org.Logins() != 2 {
		t.Errorf("%d Tasks, %d logins", n, f.org.Logins())
	}
}

// A storm: all find out at once that the session has ended.
func TestManyRefusedAtOnceLogInOnce(t *testing.T) {
	f := setup(t)
	f.client.slots = make(chan struct{}, 50)
	f.deliver(retry.Done, newCall("first"))
	f.org.ExpireTokens()
	f.org.Fail(crmtest.SalesforceFault{Path: "oauth2/token", Delay: 100 * time.Millisecond})
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			out := f.Deliver(context.WithoutCancel(t.Context()), []sink.Item{{Call: newCall(fmt.Sprint(i))}})
			wantKind(t, out[0].Err, retry.Done)
		})
	}
	wg.Wait()
	if n := f.org.Logins(); n != 2 {
		t.Errorf("%d logins, want 2", n)
	}
}

func TestWhoGivesUpWaitingForALoginDoesNotFailTheOthers(t *testing.T) {
	f := setup(t)
	f.org.Fail(crmtest.SalesforceFault{Path: "oauth2/token", Delay: 200 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { _, err := f.client.tokens.get(ctx, ""); done <- err }()
	waitFor(t, "the login to be on its way", func() bool { return len(f.org.Requests()) > 0 })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	f.deliver(retry.Done, newCall("a"))
	if n := f.org.Logins(); n != 1 {
		t.Errorf("%d logins", n)
	}
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	timeout := time.After(time.Minute)
	for !done() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestRefusedCredentialsStopTheSinkAndKeepTheCalls(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"secret": func(c *Config) { c.ClientSecret = "hunter2-wrong" },
		"client": func(c *Config) { c.ClientID = "somebody" },
	} {
		t.Run(name, func(t *testing.T) {
			f := setup(t, change)
			out := f.deliver(retry.Paused, newCall("a"))
			if text := out[0].Err.Error(); !strings.Contains(text, "refuses the credentials: invalid_client") || strings.Contains(text, "hunter2") {
				t.Errorf("error %v", text)
			}
			wantKind(t, f.Check(t.Context()), retry.Paused)
		})
	}
}

func TestLoginThatFails(t *testing.T) {
	for _, fault := range []crmtest.SalesforceFault{
		{Status: 503}, {Status: 429}, {Status: 400, Code: "invalid_grant", Text: "ip restricted"}, {Status: 200, Code: "x"}, {Empty: true}, {Cut: true}, {Status: 400}, {Status: 302},
	} {
		t.Run(fmt.Sprintf("%+v", fault), func(t *testing.T) {
			f := setup(t)
			fault.Path = "oauth2/token"
			f.org.Fail(fault)
			f.deliver(retry.Paused, newCall("a"))
			f.deliver(retry.Done, newCall("a"))
		})
	}
}

func rsaKey(t *testing.T) (*rsa.PrivateKey, config.Secret) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key, config.Secret(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
}

func TestSignedLogin(t *testing.T) {
	key, text := rsaKey(t)
	other, _ := rsaKey(t)
	for _, test := range []struct {
		name   string
		public *rsa.PublicKey
		user   string
		want   retry.Kind
	}{{"right", &key.PublicKey, "sync@example.com", retry.Done}, {"another key", &other.PublicKey, "sync@example.com", retry.Paused}, {"another user", &key.PublicKey, "x@example.com", retry.Paused}} {
		t.Run(test.name, func(t *testing.T) {
			f := setup(t, func(c *Config) { c.ClientSecret, c.Username, c.PrivateKey = "", "sync@example.com", text })
			f.org.PublicKey, f.org.Username = test.public, test.user
			out := f.deliver(test.want, newCall("a"))
			for _, r := range f.org.Requests() {
				if _, assertion, ok := strings.Cut(r.Body, "assertion="); ok && out[0].Err != nil && strings.Contains(out[0].Err.Error(), assertion[:40]) {
					t.Error("the error has the assertion")
				}
			}
		})
	}
}

func TestNoSecretInAnyErrorOrNote(t *testing.T) {
	key, text := rsaKey(t)
	for _, fault := range []crmtest.SalesforceFault{
		{Path: "token", Status: 401, Code: "invalid_client", Text: "no"}, {Path: "token", Cut: true}, {Path: "token", Empty: true},
		{Status: 401, Code: "INVALID_SESSION_ID", Text: "no"}, {Status: 500}, {Cut: true}, {Empty: true}, {Status: 400, Code: "X", Text: "no"}, {Path: rows, Status: 400, Code: "X"}, {Path: rows, Cut: true},
		{Path: "token", Status: 401, Code: "invalid_client", Text: "no", Echo: true}, {Status: 400, Code: "X", Echo: true}, {Status: 401, Code: "X", Echo: true},
		{Status: 403, Code: "X", Echo: true}, {Path: rows, Status: 500, Code: "X", Echo: true}, {Path: rows, Status: 400, Code: "X", Echo: true},
	} {
		for name, login := range map[string]func(*Config){
			"secret": func(*Config) {},
			"key":    func(c *Config) { c.ClientSecret, c.Username, c.PrivateKey = "", "u@example.com", text },
		} {
			t.Run(fmt.Sprintf("%s %d %s", fault.Path, fault.Status, name), func(t *testing.T) {
				f := setup(t, login)
				f.org.PublicKey, f.org.Username = &key.PublicKey, "u@example.com"
				always := fault
				always.Times = -1
				f.org.Fail(always)
				c := newCall("a", with(zoe))
				out := f.Deliver(t.Context(), []sink.Item{{Call: c}})
				if out[0].Err == nil {
					t.Fatal("no error")
				}
				said := fmt.Sprintf("%v %+v %#v %v", out[0].Err, out[0], f.cfg, f.Check(t.Context()))
				forbidden := []string{secret, "00Dfake!", "PRIVATE KEY", "eyJ", zoe, "5512345678"}
				for _, word := range forbidden {
					if strings.Contains(said, word) {
						t.Errorf("%q is in: %s", word, said)
					}
				}
			})
		}
	}
}

func TestErrorsQuoteSalesforceButNobodysData(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"duplicate value found: Onhook_Key__c duplicates value on record with id: 00T5e000003abcDEAY": "duplicate value found: Onhook_Key__c duplicates value on record with id: 00T5e000003abcDEAY",
		"call +52 (55) 1234-5678 now":                        "call <number> now",
		"5512345678 is not valid":                            "<number> is not valid",
		"invalid email address: zoe.p+x@example.com":         "invalid email address: <e-mail>",
		"Name: data value too large: Zoë (max length=2)":     "Name: data value too large: … (max length=2)",
		"Type: bad value for restricted picklist field: Zoë": "Type: bad value for restricted picklist field: …",
		"max length=32000, limit 100":                        "max length=32000, limit 100",
		"a\nb\x00\tc":                                        "a b c",
	} {
		if got := scrub(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
	if got := scrub(strings.Repeat("é", 1000)); len(got) > maxMessage+4 {
		t.Errorf("%d bytes", len(got))
	}
}

func TestRequestsAtOnceAreBounded(t *testing.T) {
	f := setup(t, func(c *Config) { c.InFlight = 2 })
	f.org.Fail(crmtest.SalesforceFault{Times: -1, Delay: 5 * time.Millisecond})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 5 {
				f.Deliver(t.Context(), []sink.Item{{Call: newCall(fmt.Sprint(i, j))}})
			}
		})
	}
	wg.Wait()
	if n := f.org.MostAtOnce(); n != 2 {
		t.Errorf("%d at once", n)
	}
}

func TestTokenIsNotCarriedElsewhere(t *testing.T) {
	f := setup(t)
	var asked bool
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	t.Cleanup(elsewhere.Close)
	moved := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	t.Cleanup(moved.Close)
	f.client.base = moved.URL
	out := f.deliver(retry.Paused, newCall("a"))
	if asked || !strings.Contains(out[0].Err.Error(), "My Domain") {
		t.Errorf("followed: %t, %v", asked, out[0].Err)
	}
}

// inMemory calls a handler without a network, so that time can be the test's.
type inMemory struct{ http.Handler }

func (m inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	m.ServeHTTP(w, r)
	return w.Result(), nil
}

// bubble is an org without a network, for a test whose time is its own.
func bubble(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, org: crmtest.NewSalesforce(), cfg: DefaultConfig(), contacts: &memory{}}
	f.cfg.URL, f.cfg.ClientID, f.cfg.ClientSecret = "http://localhost", "client-id", secret
	f.Sink = New(f.cfg, f.contacts)
	f.client.http.Transport = inMemory{f.org}
	if err := f.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestExceededLimitIsLeftAloneForEverLonger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := bubble(t)
		f.org.SetUsage(100, 1000)
		f.org.Fail(crmtest.SalesforceFault{Path: rows, Times: 4, Status: 403, Code: "REQUEST_LIMIT_EXCEEDED", Text: "TotalRequests Limit exceeded."})
		for i, want := range []time.Duration{5, 10, 15, 15} {
			f.deliver(retry.Paused, newCall("a"))
			seen := len(f.org.Requests())
			out := f.deliver(retry.Paused, newCall("a")) // the worker asks every minute
			if _, wait := retry.Classify(out[0].Err); wait != want*time.Minute || len(f.org.Requests()) != seen {
				t.Errorf("refusal %d: wait %v, want %v minutes; %d requests meanwhile", i, wait, want, len(f.org.Requests())-seen)
			}
			if !strings.Contains(out[0].Err.Error(), "TotalRequests Limit exceeded") {
				t.Errorf("%v", out[0].Err)
			}
			time.Sleep(want * time.Minute) //nolint:forbidigo // the bubble's time
		}
		f.deliver(retry.Done, newCall("a"))
	})
}

func TestRestOfTheAllowanceIsLeftToOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := bubble(t)
		f.org.SetUsage(948, 1000)
		f.deliver(retry.Done, newCall("a"))
		f.deliver(retry.Done, newCall("b")) // finds 950 used
		seen := len(f.org.Requests())
		out := f.deliver(retry.Paused, newCall("c"))
		if !strings.Contains(out[0].Err.Error(), "950 of the org's 1000") || len(f.org.Requests()) != seen {
			t.Errorf("%v", out[0].Err)
		}
		time.Sleep(lookWait) //nolint:forbidigo // the bubble's time
		f.deliver(retry.Done, newCall("c"))
		f.deliver(retry.Paused, newCall("d"))
		if n := len(f.org.Requests()) - seen; n != 1 {
			t.Errorf("%d requests, want the one that looks", n)
		}
		f.org.SetUsage(100, 1000)
		time.Sleep(lookWait) //nolint:forbidigo // the bubble's time
		f.deliver(retry.Done, calls(400)...)
	})
}

func TestSlowerFromEightyPercentOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := bubble(t)
		took := func(used int) time.Duration {
			f.org.SetUsage(used, 100_000)
			f.deliver(retry.Done, newCall(fmt.Sprint(used))) // sees it
			began := time.Now()
			for i := range 10 {
				f.deliver(retry.Done, newCall(fmt.Sprint(used, i)))
			}
			return time.Since(began)
		}
		free, slow, slower := took(50_000), took(80_000), took(92_000)
		if free != 0 || slow < 7*time.Second || slow > 10*time.Second || slower < 2*slow {
			t.Errorf("ten requests took %v, %v and %v", free, slow, slower)
		}
	})
}

func TestUsageHeaders(t *testing.T) {
	t.Parallel()
	for header, stopped := range map[string]bool{
		"": false, "api-usage=": false, "api-usage=5/0": false, "api-usage=96/100": true, "api-usage=94/100": false,
		"api-usage=960/1000; api-bursts=1/750": true, "api-bursts=749/750; api-usage=1/100": false, "per-app-api-usage=99/100(appName=x)": false, "api-usage=95/100; per-app-api-usage=1/100(appName=x)": true,
		"api-usage=99999999999999999999/1": false, "nonsense": false,
	} {
		q := newQuota()
		q.see(header)
		if q.near != stopped {
			t.Errorf("%q: stopped %t", header, q.near)
		}
	}
}

func TestQuotaLeft(t *testing.T) {
	t.Parallel()
	s := New(Config{}, nil)
	if left := s.QuotaLeft(); !math.IsNaN(left) {
		t.Errorf("%v is left before Salesforce has said", left)
	}
	for header, want := range map[string]float64{"api-usage=25/100": .75, "api-usage=130/100": 0} {
		if s.client.quota.see(header); s.QuotaLeft() != want {
			t.Errorf("%s: %v is left", header, s.QuotaLeft())
		}
	}
}

func TestDelayThatIsAskedFor(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"120": 2 * time.Minute, "0": 0, "-1": outageWait, "soon": outageWait, "": outageWait, "99999999": outageWait,
		"Mon, 02 Jan 2006 15:04:05 GMT": time.Second, time.Now().Add(72 * time.Hour).UTC().Format(http.TimeFormat): 24 * time.Hour,
	} {
		if got := retryAfter(http.Header{"Retry-After": {text}}, outageWait); got != want {
			t.Errorf("%q is %v, want %v", text, got, want)
		}
	}
}
