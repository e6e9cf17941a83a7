package crmtest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"
)

// HubSpotFault is met by the next Times requests whose path contains Path. Do answers them; next is how the account
// would have.
type HubSpotFault struct {
	Path  string
	Times int
	Do    func(w http.ResponseWriter, r *http.Request, next http.Handler)
}

// Fault adds a fault behind those that are there. The first that a request meets is the one it gets.
func (h *HubSpot) Fault(path string, times int, do func(http.ResponseWriter, *http.Request, http.Handler)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults = append(h.faults, &HubSpotFault{Path: path, Times: times, Do: do})
}

// HubSpotAnswers answers with an error and headers, given as name, value, name, value, and does nothing.
func HubSpotAnswers(status int, category, message string, headers ...string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		hubSpotError(w, status, category, message)
	}
}

// HubSpotBody answers with a body of any kind, and does nothing.
func HubSpotBody(status int, body string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body) // the client may be gone
	}
}

// HubSpotEmpty answers 200, with neither results nor errors, and does nothing.
func HubSpotEmpty() func(http.ResponseWriter, *http.Request, http.Handler) {
	return HubSpotBody(http.StatusOK, `{"status":"COMPLETE","results":[]}`)
}

// HubSpotLimited answers 429 by a policy: TEN_SECONDLY_ROLLING, SECONDLY or DAILY.
func HubSpotLimited(policy string, headers ...string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		hubSpotJSON(w, http.StatusTooManyRequests, map[string]any{
			"status": "error", "message": fmt.Sprintf("You have reached your %s limit.", policy), "errorType": "RATE_LIMIT",
			"policyName": policy, "correlationId": HubSpotCorrelationID,
		})
	}
}

// HubSpotCut does what it is asked and cuts the connection instead of an answer.
func HubSpotCut() func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(_ http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	}
}

// HubSpotSlow answers as usual, but after d.
func HubSpotSlow(d time.Duration) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		select {
		case <-time.After(d):
			next.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	}
}

// HubSpotInProcess is a transport that asks a handler without a network, so that it works in fake time.
func HubSpotInProcess(h http.Handler) http.RoundTripper { return inProcess{h} }

type inProcess struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper.
func (t inProcess) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	defer func() {
		if p := recover(); p == http.ErrAbortHandler { //nolint:errorlint // it is the value that was thrown, never wrapped
			resp, err = nil, io.ErrUnexpectedEOF
		} else if p != nil {
			panic(p)
		}
	}()
	w := httptest.NewRecorder()
	t.handler.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}
