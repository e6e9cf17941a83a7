package hubspot_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/services/crm/internal/crmtest"
	"github.com/onhook/onhook/services/crm/internal/sink"
)

type fault = func(http.ResponseWriter, *http.Request, http.Handler)

// TestWhatAnAnswerMeans is the table of classification: an answer to the upsert of one call, and what comes of it.
func TestWhatAnAnswerMeans(t *testing.T) {
	t.Parallel()
	invalid := `{"status":"COMPLETE","results":[],"numErrors":1,"errors":[{"category":%q,"message":"m","context":{"objectWriteTraceId":["altur:mx:call-0000"]}}]}`
	for name, test := range map[string]struct {
		do       fault
		kind     retry.Kind
		from, to time.Duration // the delay
		want     string        // in the error
	}{
		"slow, and well":              {do: crmtest.HubSpotSlow(20 * time.Second), kind: retry.Done},
		"too slow":                    {do: crmtest.HubSpotSlow(2 * time.Minute), kind: retry.Paused, from: 10 * time.Second, want: "out of reach"},
		"cut":                         {do: crmtest.HubSpotCut(), kind: retry.Paused, from: 10 * time.Second, want: "out of reach"},
		"empty 200":                   {do: crmtest.HubSpotEmpty(), kind: retry.Again, want: "does not say"},
		"200 that is no JSON":         {do: crmtest.HubSpotBody(200, "<html>hello</html>"), kind: retry.Again, want: "not its JSON"},
		"200 of another call":         {do: crmtest.HubSpotBody(200, `{"results":[{"id":"1","properties":{"onhook_key":"x"}}]}`), kind: retry.Again, want: "does not say"},
		"200 without an id":           {do: crmtest.HubSpotBody(200, `{"results":[{"properties":{"onhook_key":"altur:mx:call-0000"}}]}`), kind: retry.Again, want: "no id"},
		"207 VALIDATION_ERROR":        {do: crmtest.HubSpotBody(207, fmt.Sprintf(invalid, "VALIDATION_ERROR")), kind: retry.Dead, want: "VALIDATION_ERROR"},
		"207 MISSING_REQUIRED":        {do: crmtest.HubSpotBody(207, fmt.Sprintf(invalid, "MISSING_REQUIRED_PROPERTY")), kind: retry.Dead, want: "MISSING_REQUIRED_PROPERTY"},
		"207 MISSING_CONDITIONAL":     {do: crmtest.HubSpotBody(207, fmt.Sprintf(invalid, "MISSING_CONDITIONAL_REQUIRED_PROPERTY")), kind: retry.Dead, want: "MISSING_CONDITIONAL"},
		"207 MISSING_SCOPES":          {do: crmtest.HubSpotBody(207, fmt.Sprintf(invalid, "MISSING_SCOPES")), kind: retry.Again},
		"207 of a category not known": {do: crmtest.HubSpotBody(207, fmt.Sprintf(invalid, "INTERNAL_ERROR")), kind: retry.Again, want: "INTERNAL_ERROR"},
		"301":                         {do: crmtest.HubSpotBody(301, ""), kind: retry.Paused, from: time.Minute, want: "301"},
		"400":                         {do: crmtest.HubSpotAnswers(400, "VALIDATION_ERROR", "no"), kind: retry.Dead, want: "400 VALIDATION_ERROR"},
		"400 that is no JSON":         {do: crmtest.HubSpotBody(400, "<html>"), kind: retry.Dead, want: "400 without a category"},
		"401":                         {do: crmtest.HubSpotAnswers(401, "INVALID_AUTHENTICATION", "no"), kind: retry.Paused, from: time.Minute, want: "refused the token"},
		"403":                         {do: crmtest.HubSpotAnswers(403, "MISSING_SCOPES", "no"), kind: retry.Paused, from: time.Minute, want: "403 MISSING_SCOPES"},
		"404 of the path":             {do: crmtest.HubSpotBody(404, "<html>"), kind: retry.Paused, from: time.Minute, want: "API version"},
		"404 of an object":            {do: crmtest.HubSpotAnswers(404, "OBJECT_NOT_FOUND", "no"), kind: retry.Dead, want: "OBJECT_NOT_FOUND"},
		"409":                         {do: crmtest.HubSpotAnswers(409, "CONFLICT", "no"), kind: retry.Dead, want: "409 CONFLICT"},
		"413":                         {do: crmtest.HubSpotBody(413, ""), kind: retry.Dead, want: "413"},
		"423":                         {do: crmtest.HubSpotAnswers(423, "", "locked"), kind: retry.Later, from: 2 * time.Second, to: 3 * time.Second, want: "423"},
		"429 SECONDLY":                {do: crmtest.HubSpotLimited("SECONDLY", "Retry-After", "1"), kind: retry.Paused, from: time.Second, want: "SECONDLY"},
		"429 with an interval":        {do: crmtest.HubSpotLimited("TEN_SECONDLY_ROLLING", "X-HubSpot-RateLimit-Interval-Milliseconds", "4000"), kind: retry.Paused, from: 4 * time.Second},
		"429 with both":               {do: crmtest.HubSpotLimited("TEN_SECONDLY_ROLLING", "Retry-After", "3", "X-HubSpot-RateLimit-Interval-Milliseconds", "4000"), kind: retry.Paused, from: 3 * time.Second},
		"429 with neither":            {do: crmtest.HubSpotLimited("TEN_SECONDLY_ROLLING"), kind: retry.Paused, from: 10 * time.Second},
		"429 DAILY":                   {do: crmtest.HubSpotLimited("DAILY"), kind: retry.Paused, from: time.Hour, want: "DAILY"},
		"477":                         {do: crmtest.HubSpotAnswers(477, "MIGRATION_IN_PROGRESS", "", "Retry-After", "7200"), kind: retry.Paused, from: 2 * time.Hour, want: "moved"},
		"477 without a time":          {do: crmtest.HubSpotBody(477, ""), kind: retry.Paused, from: time.Hour},
		"477 with a date":             {do: crmtest.HubSpotAnswers(477, "", "", "Retry-After", "Sat, 01 Jan 2000 10:00:00 GMT"), kind: retry.Paused, from: 9 * time.Hour, to: 11 * time.Hour},
		"500":                         {do: crmtest.HubSpotAnswers(500, "", "oops"), kind: retry.Paused, from: 10 * time.Second, want: "is down: 500"},
		"502":                         {do: crmtest.HubSpotBody(502, "<html>"), kind: retry.Paused, from: 10 * time.Second},
		"503 with a time":             {do: crmtest.HubSpotAnswers(503, "", "", "Retry-After", "120"), kind: retry.Paused, from: 2 * time.Minute},
		"521":                         {do: crmtest.HubSpotBody(521, ""), kind: retry.Paused, from: 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { // its clock starts on 1 January 2000, and a slow answer takes no time
				f := newFixture(t)
				f.account.Fault("calls/batch/upsert", 2, test.do)
				r := f.client().Deliver(t.Context(), items(1))[0]
				kind, d := retry.Classify(r.Err)
				if kind != test.kind || d < test.from || d > max(test.from, test.to)+time.Millisecond {
					t.Errorf("kind %v after %v: %v", kind, d, r.Err)
				}
				if test.want != "" && !strings.Contains(fmt.Sprint(r.Err), test.want) {
					t.Errorf("error %v, want %q", r.Err, test.want)
				}
			})
		})
	}
}

// A clock that was wrong at the other end scheduled a call for years ahead.
func TestDelayOfYearsIsADay(t *testing.T) {
	t.Parallel()
	for _, status := range []int{423, 429, 477, 503} {
		for _, after := range []string{"Fri, 01 Jan 2038 10:00:00 GMT", "999999999"} {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				f.account.Fault("calls/batch/upsert", 2, crmtest.HubSpotAnswers(status, "", "", "Retry-After", after))
				_, d := retry.Classify(f.client().Deliver(t.Context(), items(1))[0].Err)
				if d < 24*time.Hour || d > 24*time.Hour+time.Second {
					t.Errorf("%d, Retry-After %s: again in %v", status, after, d)
				}
			})
		}
	}
}

// TestDailyQuotaIsBackAtTheAccountsMidnight: until then there is no use in asking.
func TestDailyQuotaIsBackAtTheAccountsMidnight(t *testing.T) {
	t.Parallel()
	for zone, want := range map[string]time.Duration{"America/Mexico_City": 6 * time.Hour, "Asia/Kolkata": 18*time.Hour + 30*time.Minute, "UTC": 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) { // on 1 January 2000, at 0:00 UTC
			f := newFixture(t)
			f.cfg.Timezone = zone
			c := f.client()
			f.account.Fault("calls/batch/upsert", 1, crmtest.HubSpotLimited("DAILY", "Retry-After", "10"))
			results := c.Deliver(t.Context(), items(3))
			kind, d := retry.Classify(results[2].Err)
			if kind != retry.Paused || d != want+time.Minute {
				t.Errorf("%s: kind %v after %v", zone, kind, d)
			}
			f.delivered(c.Deliver(t.Context(), items(3)))
		})
	}
}

// TestOutageInTheMiddleOfABatch: what HubSpot has by then is delivered, and nothing more is asked of it.
func TestOutageInTheMiddleOfABatch(t *testing.T) {
	f := setup(t)
	f.cfg.MatchExisting = false
	batch := items(350)
	c := f.client()
	passed := 0
	f.account.Fault("calls/batch/upsert", 100, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if passed++; passed == 2 {
			crmtest.HubSpotAnswers(503, "", "")(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	})
	results := c.Deliver(t.Context(), batch)
	if got := kinds(results); got[retry.Done] != 100 || got[retry.Paused] != 250 {
		t.Errorf("%v", got)
	}
	if n := f.account.Requests("calls/batch/upsert"); n != 2 {
		t.Errorf("%d requests", n)
	}
	f.delivered(c.Deliver(t.Context(), batch))
	f.wantCalls(keys(batch)...)
}

// TestDeliverThatIsCutShort: a shutdown says nothing of HubSpot; a deadline does.
func TestDeliverThatIsCutShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		ctx, cancel := context.WithCancel(t.Context())
		f.account.Fault("", 1, func(http.ResponseWriter, *http.Request, http.Handler) { cancel() })
		if got := kinds(f.client().Deliver(ctx, items(5))); got[retry.Again] != 5 {
			t.Errorf("%v", got)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		f.account.Fault("", 1, crmtest.HubSpotSlow(5*time.Second))
		if got := kinds(f.client().Deliver(ctx, items(5))); got[retry.Paused] != 5 {
			t.Errorf("%v", got)
		}
	})
}

// TestOverTheNetwork has what a transport of the process's own does not: connections that are cut, and refused.
func TestOverTheNetwork(t *testing.T) {
	f := setup(t)
	server := httptest.NewServer(f.account)
	defer server.Close()
	f.cfg.URL, f.cfg.CreateMissing = server.URL+"/", "contact"
	f.sent.next = http.DefaultTransport
	f.account.Fault("calls/batch/upsert", 1, crmtest.HubSpotCut())
	f.account.Fault("associations", 1, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `{"results":[`) // and no more
	})
	batch := items(150)
	c := f.client()
	for _, want := range []map[retry.Kind]int{{retry.Paused: 150}, {retry.Paused: 150}, {retry.Done: 150}} {
		if got := kinds(c.Deliver(t.Context(), batch)); !maps.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	}
	f.wantCalls(keys(batch)...)
	server.Close()
	if r := c.Deliver(t.Context(), batch[:1])[0]; kinds([]sink.Result{r})[retry.Paused] != 1 || !strings.Contains(r.Err.Error(), "out of reach") {
		t.Errorf("%v", r.Err)
	}
}
