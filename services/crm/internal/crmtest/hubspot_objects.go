package crmtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
)

type hubSpotInput struct {
	ID         string            `json:"id"`
	IDProperty string            `json:"idProperty"`
	Properties map[string]string `json:"properties"`
	Trace      string            `json:"objectWriteTraceId"`
}

var hubSpotStatuses = []string{"BUSY", "CALLING_CRM_USER", "CANCELED", "COMPLETED", "CONNECTING", "FAILED", "IN_PROGRESS", "NO_ANSWER", "QUEUED", "RINGING"}

func hubSpotBadJSON(w http.ResponseWriter, err error) {
	hubSpotError(w, http.StatusBadRequest, "VALIDATION_ERROR", fmt.Sprintf("Invalid input JSON: %v", err))
}

func (h *HubSpot) serveProperties(w http.ResponseWriter, method, object, name string, body []byte) {
	switch method {
	case http.MethodDelete:
		delete(h.properties[object], name)
		w.WriteHeader(http.StatusNoContent)
		return
	case http.MethodGet:
		var out []HubSpotProperty
		for _, name := range slices.Sorted(maps.Keys(h.properties[object])) {
			out = append(out, h.properties[object][name])
		}
		hubSpotJSON(w, http.StatusOK, map[string]any{"results": out})
		return
	}
	var p HubSpotProperty
	if err := json.Unmarshal(body, &p); err != nil {
		hubSpotBadJSON(w, err)
		return
	}
	if _, there := h.properties[object][p.Name]; there {
		hubSpotError(w, http.StatusConflict, "OBJECT_ALREADY_EXISTS", "A property named '"+p.Name+"' already exists.")
		return
	}
	if p.Name == "" || p.Type == "" || p.FieldType == "" || p.GroupName == "" {
		hubSpotError(w, http.StatusBadRequest, "VALIDATION_ERROR", "name, type, fieldType and groupName are required")
		return
	}
	h.properties[object][p.Name] = p
	hubSpotJSON(w, http.StatusCreated, p)
}

func (h *HubSpot) serveRead(w http.ResponseWriter, object string, body []byte) {
	var in struct {
		IDProperty string         `json:"idProperty"`
		Properties []string       `json:"properties"`
		Inputs     []hubSpotInput `json:"inputs"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		hubSpotBadJSON(w, err)
		return
	}
	if len(in.Inputs) > 100 {
		hubSpotTooMany(w)
		return
	}
	results := []any{}
	missing := []string{}
	for _, input := range in.Inputs {
		if o := h.find(object, in.IDProperty, input.ID); o != nil {
			results = append(results, hubSpotView(o, in.Properties))
		} else {
			missing = append(missing, input.ID)
		}
	}
	if len(missing) == 0 {
		hubSpotJSON(w, http.StatusOK, map[string]any{"status": "COMPLETE", "results": results})
		return
	}
	hubSpotJSON(w, http.StatusMultiStatus, map[string]any{"status": "COMPLETE", "results": results, "numErrors": 1, "errors": []any{map[string]any{
		"status": "error", "category": "OBJECT_NOT_FOUND", "message": "Could not get some objects, they may be deleted or not exist.",
		"context": map[string]any{"ids": missing},
	}}})
}

func hubSpotTooMany(w http.ResponseWriter) {
	hubSpotError(w, http.StatusBadRequest, "VALIDATION_ERROR", "The maximum number of inputs supported in a batch request is 100")
}

// hubSpotView is an object with some of its properties; what it does not have is null.
func hubSpotView(o *HubSpotObject, names []string) map[string]any {
	p := map[string]any{}
	for _, name := range names {
		p[name] = nil
		if v, ok := o.Properties[name]; ok {
			p[name] = v
		}
	}
	return map[string]any{"id": o.ID, "properties": p, "createdAt": o.CreatedAt.UTC().Format(time.RFC3339)}
}

// find is the object with an id, or with a value in a unique property.
func (h *HubSpot) find(object, idProperty, id string) *HubSpotObject {
	if idProperty == "" {
		return h.objects[object][id]
	}
	return h.byValue[hubSpotValue{object, idProperty, id}]
}

// serveSearch compares the last seven digits only: HubSpot finds more than was asked for.
func (h *HubSpot) serveSearch(w http.ResponseWriter, object string, body []byte) {
	var in struct {
		Groups []struct {
			Filters []struct {
				Name   string   `json:"propertyName"`
				Values []string `json:"values"`
			} `json:"filters"`
		} `json:"filterGroups"`
		Properties []string `json:"properties"`
		Limit      int      `json:"limit"`
		After      string   `json:"after"`
	}
	if err := json.Unmarshal(body, &in); err != nil || len(body) > 3000 || in.Limit > 200 {
		hubSpotError(w, http.StatusBadRequest, "VALIDATION_ERROR", "the search is not valid")
		return
	}
	stored := map[string]string{"hs_searchable_calculated_phone_number": "phone", "hs_searchable_calculated_mobile_number": "mobilephone"}
	var found []*HubSpotObject
	for _, id := range slices.Sorted(maps.Keys(h.objects[object])) {
		o := h.objects[object][id]
		hit := false
		for _, g := range in.Groups {
			for _, f := range g.Filters {
				have := hubSpotDigits(o.Properties[stored[f.Name]])
				hit = hit || have != "" && slices.ContainsFunc(f.Values, func(v string) bool { return hubSpotDigits(v) == have })
			}
		}
		if hit {
			found = append(found, o)
		}
	}
	from, _ := strconv.Atoi(in.After) // empty: the first page
	from = min(from, len(found))
	to := min(from+max(in.Limit, 1), len(found))
	results := []any{}
	for _, o := range found[from:to] {
		results = append(results, hubSpotView(o, in.Properties))
	}
	answer := map[string]any{"total": len(found), "results": results}
	if to < len(found) {
		answer["paging"] = map[string]any{"next": map[string]any{"after": strconv.Itoa(to)}}
	}
	w.Header().Del("X-HubSpot-RateLimit-Max") // a search says nothing of the quota
	w.Header().Del("X-HubSpot-RateLimit-Remaining")
	w.Header().Del("X-HubSpot-RateLimit-Interval-Milliseconds")
	hubSpotJSON(w, http.StatusOK, answer)
}

func hubSpotDigits(s string) string {
	d := strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
	return d[max(len(d)-7, 0):]
}

// serveWrite is upsert and update. What is wrong with the shape of one input refuses all; what is wrong with a value
// refuses that record.
func (h *HubSpot) serveWrite(w http.ResponseWriter, object string, upsert bool, body []byte) {
	var in struct {
		Inputs []hubSpotInput `json:"inputs"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		hubSpotBadJSON(w, err)
		return
	}
	if len(in.Inputs) > 100 {
		hubSpotTooMany(w)
		return
	}
	seen := map[string]bool{}
	for _, input := range in.Inputs {
		if seen[input.ID] {
			hubSpotError(w, http.StatusBadRequest, "VALIDATION_ERROR", "Duplicate IDs found in batch input: ["+input.ID+"]")
			return
		}
		seen[input.ID] = true
		if upsert && !h.properties[object][input.IDProperty].HasUniqueValue {
			hubSpotError(w, http.StatusBadRequest, "VALIDATION_ERROR", "Unable to perform update/upsert by non-unique property "+input.IDProperty)
			return
		}
		for _, name := range slices.Sorted(maps.Keys(input.Properties)) {
			if _, there := h.properties[object][name]; !there {
				detail, _ := json.Marshal([]any{map[string]any{"isValid": false, "message": fmt.Sprintf("Property %q does not exist", name), "error": "PROPERTY_DOESNT_EXIST", "name": name}}) // strings
				hubSpotError(w, http.StatusBadRequest, "VALIDATION_ERROR", "Property values were not valid: "+string(detail))
				return
			}
			if other := h.find(object, name, input.Properties[name]); other != nil && other != h.target(object, upsert, input) {
				hubSpotError(w, http.StatusConflict, "CONFLICT", "Contact already exists. Existing ID: "+other.ID)
				return
			}
		}
	}
	results, errs := []any{}, []any{}
	for _, input := range in.Inputs {
		o := h.target(object, upsert, input)
		if category, message := hubSpotFault(object, o, upsert, input.Properties); category != "" {
			errs = append(errs, map[string]any{"status": "error", "category": category, "message": message, "correlationId": HubSpotCorrelationID,
				"context": map[string]any{"objectWriteTraceId": []string{input.Trace}}})
			continue
		}
		fresh := o == nil
		if fresh {
			o = h.add(object, time.Now(), map[string]string{})
		}
		h.set(object, o, input.Properties)
		o.Writes++
		result := hubSpotView(o, slices.Sorted(maps.Keys(o.Properties)))
		result["new"] = fresh
		results = append(results, result)
	}
	if len(errs) == 0 {
		hubSpotJSON(w, http.StatusOK, map[string]any{"status": "COMPLETE", "results": results})
		return
	}
	hubSpotJSON(w, http.StatusMultiStatus, map[string]any{"status": "COMPLETE", "results": results, "numErrors": len(errs), "errors": errs})
}

// target is what an input writes to; nil: a new object.
func (h *HubSpot) target(object string, upsert bool, input hubSpotInput) *HubSpotObject {
	if upsert {
		return h.find(object, input.IDProperty, input.ID)
	}
	return h.objects[object][input.ID]
}

// hubSpotFault is what is wrong with a record's values; the message repeats them, as HubSpot's do.
func hubSpotFault(object string, o *HubSpotObject, upsert bool, p map[string]string) (category, message string) {
	if !upsert && o == nil {
		return "OBJECT_NOT_FOUND", "The object does not exist"
	}
	for name, v := range p {
		if len(utf16.Encode([]rune(v))) > 65536 {
			return "VALIDATION_ERROR", fmt.Sprintf("The value %.80s of %s is too long", v, name)
		}
	}
	if object != "calls" {
		return "", ""
	}
	if _, err := strconv.ParseInt(p["hs_timestamp"], 10, 64); err != nil && o == nil {
		return "MISSING_REQUIRED_PROPERTY", "hs_timestamp is required; hs_call_title was " + p["hs_call_title"]
	}
	if s := p["hs_call_status"]; s != "" && !slices.Contains(hubSpotStatuses, s) {
		return "VALIDATION_ERROR", fmt.Sprintf("%s was not one of the allowed options for hs_call_status; hs_call_to_number was %s", s, p["hs_call_to_number"])
	}
	return "", ""
}

// servePairs associates calls with contacts. What it does not have is refused without saying which input it was.
func (h *HubSpot) servePairs(w http.ResponseWriter, body []byte) {
	var in struct {
		Inputs []struct {
			From  struct{ ID string } `json:"from"`
			To    struct{ ID string } `json:"to"`
			Types []struct {
				Category string `json:"associationCategory"`
				ID       int    `json:"associationTypeId"`
			} `json:"types"`
		} `json:"inputs"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		hubSpotBadJSON(w, err)
		return
	}
	results, errs := []any{}, []any{}
	for _, p := range in.Inputs {
		if h.objects["calls"][p.From.ID] == nil || h.objects["contacts"][p.To.ID] == nil || len(p.Types) != 1 || p.Types[0].ID != 194 || p.Types[0].Category != "HUBSPOT_DEFINED" {
			errs = append(errs, map[string]any{"status": "error", "category": "OBJECT_NOT_FOUND", "message": "One of the objects does not exist", "correlationId": HubSpotCorrelationID})
			continue
		}
		h.pairs[[2]string{p.From.ID, p.To.ID}]++
		results = append(results, map[string]any{"fromObjectTypeId": "0-48", "fromObjectId": json.Number(p.From.ID), "toObjectTypeId": "0-1", "toObjectId": json.Number(p.To.ID), "labels": []string{}})
	}
	if len(errs) == 0 {
		hubSpotJSON(w, http.StatusCreated, map[string]any{"status": "COMPLETE", "results": results})
		return
	}
	hubSpotJSON(w, http.StatusMultiStatus, map[string]any{"status": "COMPLETE", "results": results, "numErrors": len(errs), "errors": errs})
}
