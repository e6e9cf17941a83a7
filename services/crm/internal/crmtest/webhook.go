package crmtest

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// Webhook is a receiver of Standard Webhooks: it takes what one of its secrets has signed, once for each webhook-id.
type Webhook struct {
	Secrets []string // whsec_…; a receiver has one, or two while they are changed

	mu     sync.Mutex
	events map[string][]byte // by webhook-id
	bodies [][]byte          // of all requests, duplicates among them
}

// NewWebhook is a receiver that has the secrets.
func NewWebhook(secrets ...string) *Webhook {
	return &Webhook{Secrets: secrets, events: map[string][]byte{}}
}

// ServeHTTP answers 204 to what is signed, and 401 to what is not.
func (h *Webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Method != http.MethodPost {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bodies = append(h.bodies, body)
	if !h.signed(r.Header, body) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	h.events[r.Header.Get("webhook-id")] = body
	w.WriteHeader(http.StatusNoContent)
}

func (h *Webhook) signed(header http.Header, body []byte) bool {
	for _, secret := range h.Secrets {
		if v, err := standardwebhooks.NewWebhook(secret); err == nil && v.Verify(body, header) == nil {
			return true
		}
	}
	return false
}

// Events are the bodies that were taken, by webhook-id.
func (h *Webhook) Events() map[string][]byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.events)
}

// Records counts the events of each call, by its key.
func (h *Webhook) Records() map[string]int {
	n := map[string]int{}
	for _, body := range h.Events() {
		var e struct{ Data struct{ Key string } }
		if json.Unmarshal(body, &e) == nil {
			n[e.Data.Key]++
		}
	}
	return n
}

// Saw reports whether any request, taken or not, held the text.
func (h *Webhook) Saw(text string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, b := range h.bodies {
		if strings.Contains(string(b), text) {
			return true
		}
	}
	return false
}
