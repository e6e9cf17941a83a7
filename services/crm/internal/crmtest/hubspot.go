package crmtest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const hubSpotWindow = 10 * time.Second

// HubSpot is a HubSpot account with what the sink uses of it: an http.Handler for a server, or for InProcess. Set its
// fields before the first request.
type HubSpot struct {
	Token   string        // what requests must bear; empty: anything
	Quota   int           // requests in any 10 s; beyond it they are answered 429; 0: no quota
	Latency time.Duration // of each answer

	mu         sync.Mutex
	properties map[string]map[string]HubSpotProperty // by object and name
	objects    map[string]map[string]*HubSpotObject  // by object and id
	pairs      map[[2]string]int                     // call and contact: how often they were associated
	byValue    map[hubSpotValue]*HubSpotObject       // of the unique properties
	faults     []*HubSpotFault
	lastID     int
	recent     []time.Time // requests of the last window
	mostRecent int
	counts     map[string]int // requests by path
}

// HubSpotProperty is the definition of a property.
type HubSpotProperty struct {
	Name           string `json:"name"`
	GroupName      string `json:"groupName"`
	Type           string `json:"type"`
	FieldType      string `json:"fieldType"`
	HasUniqueValue bool   `json:"hasUniqueValue"`
}

// HubSpotObject is a call or a contact.
type HubSpotObject struct {
	ID         string            `json:"id"`
	Properties map[string]string `json:"properties"`
	CreatedAt  time.Time         `json:"createdAt"`
	Writes     int               `json:"-"`
}

type hubSpotValue struct{ object, property, value string }

// NewHubSpot is an account that is new: with HubSpot's own properties and none of ours.
func NewHubSpot() *HubSpot {
	h := &HubSpot{
		properties: map[string]map[string]HubSpotProperty{"calls": {}, "contacts": {}},
		objects:    map[string]map[string]*HubSpotObject{"calls": {}, "contacts": {}},
		pairs:      map[[2]string]int{}, byValue: map[hubSpotValue]*HubSpotObject{}, counts: map[string]int{}, lastID: 1000,
	}
	for _, name := range []string{"hs_timestamp", "hs_call_title", "hs_call_body", "hs_call_duration", "hs_call_direction", "hs_call_status",
		"hs_call_disposition", "hs_call_from_number", "hs_call_to_number", "hs_call_recording_url", "hubspot_owner_id"} {
		h.AddProperty("calls", HubSpotProperty{Name: name, GroupName: "call"})
	}
	for _, name := range []string{"phone", "mobilephone", "firstname", "lastname", "lifecyclestage"} {
		h.AddProperty("contacts", HubSpotProperty{Name: name, GroupName: "contactinformation"})
	}
	h.AddProperty("contacts", HubSpotProperty{Name: "email", GroupName: "contactinformation", HasUniqueValue: true})
	return h
}

// SetUp adds the properties that the sink's setup makes.
func (h *HubSpot) SetUp() *HubSpot {
	for _, name := range []string{"agent", "answered_by", "campaign", "extracted", "link", "outcome", "provider"} {
		h.AddProperty("calls", HubSpotProperty{Name: "onhook_" + name, GroupName: "call"})
	}
	h.AddProperty("calls", HubSpotProperty{Name: "onhook_key", GroupName: "call", HasUniqueValue: true})
	h.AddProperty("contacts", HubSpotProperty{Name: "onhook_phone_key", GroupName: "contactinformation", HasUniqueValue: true})
	return h
}

// AddProperty adds a property to calls or contacts, or changes it.
func (h *HubSpot) AddProperty(object string, p HubSpotProperty) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.properties[object][p.Name] = p
	for _, o := range h.objects[object] {
		if v, has := o.Properties[p.Name]; has {
			h.set(object, o, map[string]string{p.Name: v})
		}
	}
}

// RemoveProperty removes one, as an administrator can at any time.
func (h *HubSpot) RemoveProperty(object, name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.properties[object], name)
}

// Property is the definition of a property, zero without one.
func (h *HubSpot) Property(object, name string) HubSpotProperty {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.properties[object][name]
}

// Add adds a contact or a call, created at a time of its own, and returns its id.
func (h *HubSpot) Add(object string, created time.Time, properties map[string]string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.add(object, created, properties).ID
}

func (h *HubSpot) add(object string, created time.Time, properties map[string]string) *HubSpotObject {
	h.lastID++
	o := &HubSpotObject{ID: strconv.Itoa(h.lastID), CreatedAt: created, Properties: map[string]string{}}
	h.objects[object][o.ID] = o
	h.set(object, o, properties)
	return o
}

// set writes properties, and keeps the index of the unique ones.
func (h *HubSpot) set(object string, o *HubSpotObject, properties map[string]string) {
	for name, v := range properties {
		if h.properties[object][name].HasUniqueValue {
			delete(h.byValue, hubSpotValue{object, name, o.Properties[name]})
			if v != "" {
				h.byValue[hubSpotValue{object, name, v}] = o
			}
		}
		o.Properties[name] = v
	}
}

// Remove deletes a contact or a call.
func (h *HubSpot) Remove(object, id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if o := h.objects[object][id]; o != nil {
		for name, v := range o.Properties {
			delete(h.byValue, hubSpotValue{object, name, v})
		}
		delete(h.objects[object], id)
	}
}

// Objects are the calls or the contacts, in the order in which they were created.
func (h *HubSpot) Objects(object string) []HubSpotObject {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []HubSpotObject
	for _, o := range h.objects[object] {
		c := *o
		c.Properties = maps.Clone(o.Properties)
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b HubSpotObject) int { return cmp.Or(len(a.ID)-len(b.ID), strings.Compare(a.ID, b.ID)) })
	return out
}

// Records counts the calls of each key.
func (h *HubSpot) Records() map[string]int {
	n := map[string]int{}
	for _, o := range h.Objects("calls") {
		n[o.Properties["onhook_key"]]++
	}
	return n
}

// ContactsOf are the ids of the contacts that a call is associated with.
func (h *HubSpot) ContactsOf(callID string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	for pair := range h.pairs {
		if pair[0] == callID {
			out = append(out, pair[1])
		}
	}
	slices.Sort(out)
	return out
}

// Requests is how many there were whose path contains part.
func (h *HubSpot) Requests(part string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for path, count := range h.counts {
		if strings.Contains(path, part) {
			n += count
		}
	}
	return n
}

// MostInWindow is the largest number of requests that came within 10 s, refused ones among them.
func (h *HubSpot) MostInWindow() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mostRecent
}

// ServeHTTP answers a request.
func (h *HubSpot) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	inWindow, fault := h.arrived(r)
	if h.Latency > 0 {
		select {
		case <-time.After(h.Latency):
		case <-r.Context().Done():
			return
		}
	}
	if h.Quota > 0 {
		setHubSpotQuota(w.Header(), h.Quota, max(h.Quota-inWindow, 0))
	}
	switch {
	case h.Token != "" && r.Header.Get("Authorization") != "Bearer "+h.Token:
		hubSpotError(w, http.StatusUnauthorized, "INVALID_AUTHENTICATION", "Authentication credentials not found")
	case h.Quota > 0 && inWindow > h.Quota:
		HubSpotLimited("TEN_SECONDLY_ROLLING")(w, r, nil)
	case fault != nil:
		fault.Do(w, r, http.HandlerFunc(h.route))
	default:
		h.route(w, r)
	}
}

// arrived counts a request and finds the fault that it meets.
func (h *HubSpot) arrived(r *http.Request) (inWindow int, fault *HubSpotFault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	h.counts[r.URL.Path]++
	h.recent = append(h.recent, now)
	past := slices.IndexFunc(h.recent, func(t time.Time) bool { return now.Sub(t) < hubSpotWindow })
	h.recent = slices.Delete(h.recent, 0, past)
	h.mostRecent = max(h.mostRecent, len(h.recent))
	for _, f := range h.faults {
		if f.Times > 0 && strings.Contains(r.URL.Path, f.Path) {
			f.Times--
			return len(h.recent), f
		}
	}
	return len(h.recent), nil
}

func (h *HubSpot) route(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client is gone
	}
	path, served := strings.CutPrefix(r.URL.Path, "/crm/")
	parts := strings.Split(path, "/") // objects/2026-09/calls/batch/upsert
	if !served || len(parts) < 3 || parts[1] != "2026-09" || h.properties[parts[2]] == nil {
		http.Error(w, "<html>no such page</html>", http.StatusNotFound)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch kind, object, action := parts[0], parts[2], strings.Join(parts[3:], "/"); {
	case kind == "properties":
		h.serveProperties(w, r.Method, object, action, body)
	case kind == "objects" && action == "batch/read":
		h.serveRead(w, object, body)
	case kind == "objects" && action == "search":
		h.serveSearch(w, object, body)
	case kind == "objects" && (action == "batch/upsert" || action == "batch/update"):
		h.serveWrite(w, object, action == "batch/upsert", body)
	case kind == "associations" && action == "contacts/batch/create":
		h.servePairs(w, body)
	default:
		http.Error(w, "<html>no such page</html>", http.StatusNotFound)
	}
}

func setHubSpotQuota(header http.Header, size, left int) {
	header.Set("X-HubSpot-RateLimit-Max", strconv.Itoa(size))
	header.Set("X-HubSpot-RateLimit-Remaining", strconv.Itoa(left))
	header.Set("X-HubSpot-RateLimit-Interval-Milliseconds", strconv.Itoa(int(hubSpotWindow.Milliseconds())))
	header.Set("X-HubSpot-RateLimit-Daily", "250000")
	header.Set("X-HubSpot-RateLimit-Daily-Remaining", "200000")
}

// hubSpotError answers an error as HubSpot does.
func hubSpotError(w http.ResponseWriter, status int, category, message string) {
	hubSpotJSON(w, status, map[string]any{"status": "error", "category": category, "message": message, "correlationId": HubSpotCorrelationID})
}

// HubSpotCorrelationID stands in every error.
const HubSpotCorrelationID = "5b1f0c9e-6d1c-4a60-9a53-1c1f7e0c0001"

func hubSpotJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("an answer that is no JSON: %v", err))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone
}
