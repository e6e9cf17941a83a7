package crmtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf16"
)

// SalesforceField is a field as describe tells of it.
type SalesforceField struct {
	Name          string           `json:"name"`
	Type          string           `json:"type"`
	Length        int              `json:"length"`
	Createable    bool             `json:"createable"`
	Updateable    bool             `json:"updateable"`
	ExternalID    bool             `json:"externalId"`
	IDLookup      bool             `json:"idLookup"`
	Unique        bool             `json:"unique"`
	CaseSensitive bool             `json:"caseSensitive"`
	Values        []map[string]any `json:"picklistValues"`
	Required      bool             `json:"-"`
}

type sfObject struct {
	name, prefix string
	fields       map[string]*SalesforceField
	records      map[string]map[string]any
	keys         map[string]map[any]string // of unique fields: value to record id
}

// sfObjects are those of a new org, with onhook's key fields.
func sfObjects() map[string]*sfObject {
	text := func(name string, length int) *SalesforceField {
		return &SalesforceField{Name: name, Type: "string", Length: length, Createable: true, Updateable: true}
	}
	of := func(name, kind string) *SalesforceField {
		return &SalesforceField{Name: name, Type: kind, Createable: true, Updateable: true}
	}
	key := func(name string, length int, caseSensitive bool) *SalesforceField {
		f := text(name, length)
		f.ExternalID, f.IDLookup, f.Unique, f.CaseSensitive = true, true, true, caseSensitive
		return f
	}
	pick := func(name string, values ...string) *SalesforceField {
		f := of(name, "picklist")
		f.Length = 40
		for _, v := range values {
			f.Values = append(f.Values, map[string]any{"value": v, "active": true})
		}
		return f
	}
	required := func(f *SalesforceField) *SalesforceField { f.Required = true; return f }
	read := func(name, kind string) *SalesforceField { return &SalesforceField{Name: name, Type: kind} }
	subtype := pick("TaskSubtype", "Task", "Email", "Call")
	subtype.Updateable = false
	object := func(name, prefix string, fields ...*SalesforceField) *sfObject {
		o := &sfObject{name: name, prefix: prefix, fields: map[string]*SalesforceField{}, records: map[string]map[string]any{}, keys: map[string]map[any]string{}}
		for _, f := range append(fields, read("Id", "id"), read("CreatedDate", "datetime")) {
			o.fields[f.Name] = f
		}
		return o
	}
	all := []*sfObject{
		object("Task", "00T", key("Onhook_Key__c", 255, true), text("Subject", 255), text("Description", 32_000),
			pick("CallType", "Internal", "Inbound", "Outbound"), of("CallDurationInSeconds", "int"), text("CallDisposition", 255), text("CallObject", 255),
			of("ActivityDate", "date"), pick("Status", "Not Started", "In Progress", "Completed"), pick("Priority", "High", "Normal", "Low"),
			subtype, of("OwnerId", "reference"), of("WhoId", "reference"), of("WhatId", "reference")),
		object("Contact", "003", key("Onhook_Phone_Key__c", 40, false), text("FirstName", 40), required(text("LastName", 80)), text("Phone", 40),
			text("MobilePhone", 40), text("HomePhone", 40), text("Email", 80)),
		object("Lead", "00Q", key("Onhook_Phone_Key__c", 40, false), text("FirstName", 40), required(text("LastName", 80)), required(text("Company", 255)),
			text("Phone", 40), text("MobilePhone", 40), text("Email", 80), read("IsConverted", "boolean"), read("ConvertedContactId", "reference")),
	}
	out := map[string]*sfObject{}
	for _, o := range all {
		out[o.name] = o
	}
	return out
}

func (o *sfObject) add(serial int, record map[string]any) string {
	id := fmt.Sprintf("%s%012dAAA", o.prefix, serial)
	own := maps.Clone(record)
	own["Id"] = id
	if own["CreatedDate"] == nil {
		own["CreatedDate"] = time.Date(2026, 1, 1, 0, 0, serial, 0, time.UTC).Format("2006-01-02T15:04:05.000+0000")
	}
	o.put(id, own)
	return id
}

// put sets fields of a record.
func (o *sfObject) put(id string, fields map[string]any) {
	if o.records[id] == nil {
		o.records[id] = map[string]any{}
	}
	for name, v := range fields {
		if f := o.fields[name]; f != nil && f.Unique {
			if o.keys[name] == nil {
				o.keys[name] = map[any]string{}
			}
			delete(o.keys[name], o.records[id][name])
			o.keys[name][v] = id
		}
		o.records[id][name] = v
	}
}

func (o *sfObject) remove(id string) {
	for name := range o.keys {
		delete(o.keys[name], o.records[id][name])
	}
	delete(o.records, id)
}

// sfResult is what is answered to one record of a collection.
type sfResult struct {
	ID      any              `json:"id"`
	Success bool             `json:"success"`
	Created bool             `json:"created"`
	Errors  []map[string]any `json:"errors"`
}

func (s *Salesforce) route(method, resource string, query url.Values, body []byte) (int, any) {
	parts := strings.Split(resource, "/")
	switch {
	case method == http.MethodGet && len(parts) == 3 && parts[0] == "sobjects" && parts[2] == "describe":
		o, ok := s.objects[parts[1]]
		if !ok {
			break
		}
		fields := slices.SortedFunc(maps.Values(o.fields), func(a, b *SalesforceField) int { return strings.Compare(a.Name, b.Name) })
		return http.StatusOK, map[string]any{"name": o.name, "createable": true, "fields": fields}
	case method == http.MethodGet && resource == "query":
		return s.query(query.Get("q"))
	case method == http.MethodPost && resource == "composite":
		return s.composite(body)
	case method == http.MethodPost && resource == "parameterizedSearch":
		return s.search(body)
	case method == http.MethodPatch && strings.HasPrefix(resource, "composite/sobjects"):
		return s.collection(parts[2:], body)
	}
	return http.StatusNotFound, sfErrors("NOT_FOUND", "The requested resource does not exist")
}

// collection upserts records of one kind by a key, or updates records by their ids.
func (s *Salesforce) collection(target []string, body []byte) (int, any) {
	var in struct {
		AllOrNone bool             `json:"allOrNone"`
		Records   []map[string]any `json:"records"`
	}
	if err := json.Unmarshal(body, &in); err != nil || in.AllOrNone {
		return http.StatusBadRequest, sfErrors("JSON_PARSER_ERROR", "Unexpected request")
	}
	if len(in.Records) > 200 {
		return http.StatusBadRequest, sfErrors("LIMIT_EXCEEDED", "record limit reached. cannot submit more than 200 records in this call")
	}
	if len(target) == 2 {
		if o := s.objects[target[0]]; o == nil || o.fields[target[1]] == nil || !o.fields[target[1]].ExternalID {
			return http.StatusNotFound, sfErrors("NOT_FOUND", "Provided external ID field does not exist or is not accessible: "+target[1])
		}
	}
	for _, record := range in.Records {
		kind := sfKind(record)
		if s.objects[kind] == nil || len(target) == 2 && kind != target[0] {
			return http.StatusBadRequest, sfErrors("INVALID_TYPE", "sObject type '"+kind+"' is not supported.")
		}
		if name := s.unknown(kind, record); name != "" && s.RefuseUnknown {
			return http.StatusBadRequest, sfErrors("INVALID_FIELD", "No such column '"+name+"' on sobject of type "+kind)
		}
	}
	out := make([]sfResult, len(in.Records))
	seen := map[any]bool{}
	for i, record := range in.Records {
		id, _ := record["id"].(string)
		if len(target) == 2 {
			key := record[target[1]]
			if seen[key] {
				out[i] = sfRefused(&SalesforceRow{"DUPLICATE_VALUE", "Duplicate external id specified: key", []string{target[1]}})
				continue
			}
			seen[key] = true
			id = s.objects[sfKind(record)].keys[target[1]][key]
		}
		out[i] = s.write(sfKind(record), id, record)
	}
	return http.StatusOK, out
}

func sfKind(record map[string]any) string {
	attributes, _ := record["attributes"].(map[string]any)
	kind, _ := attributes["type"].(string)
	return kind
}

func (s *Salesforce) unknown(kind string, record map[string]any) string {
	for _, name := range slices.Sorted(maps.Keys(record)) {
		if name != "attributes" && name != "id" && s.objects[kind].fields[name] == nil {
			return name
		}
	}
	return ""
}

func sfRefused(e *SalesforceRow) sfResult {
	fields := e.Fields
	if fields == nil {
		fields = []string{}
	}
	return sfResult{Errors: []map[string]any{{"statusCode": e.Code, "message": e.Message, "fields": fields}}}
}

// write makes a record, or changes the one with the id.
func (s *Salesforce) write(kind, id string, record map[string]any) sfResult {
	o := s.objects[kind]
	if e := s.check(o, id, record); e != nil {
		return sfRefused(e)
	}
	own := maps.Clone(record)
	delete(own, "attributes")
	delete(own, "id")
	created := id == ""
	if created {
		id = o.add(s.next(), own)
	} else {
		o.put(id, own)
	}
	return sfResult{ID: id, Success: true, Created: created, Errors: []map[string]any{}}
}

var sfReference = map[string]string{"003": "Contact", "00Q": "Lead"}

func (s *Salesforce) check(o *sfObject, id string, record map[string]any) *SalesforceRow {
	if s.RowError != nil {
		if e := s.RowError(o.name, record); e != nil {
			return e
		}
	}
	if name := s.unknown(o.name, record); name != "" {
		return &SalesforceRow{"INVALID_FIELD", "No such column '" + name + "' on sobject of type " + o.name, nil}
	}
	if who, _ := record["WhoId"].(string); who != "" {
		if s.locks[who] > 0 {
			s.locks[who]--
			return &SalesforceRow{"UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record or 1 records: " + who, nil}
		}
		people := s.objects[sfReference[who[:3]]]
		if people == nil || people.records[who] == nil {
			return &SalesforceRow{"INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", []string{"WhoId"}}
		}
		if people.name == "Lead" && record["WhatId"] != nil {
			return &SalesforceRow{"FIELD_INTEGRITY_EXCEPTION", "Related To ID: can only be used with a Contact", []string{"WhatId"}}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(record)) {
		f := o.fields[name]
		if f == nil { // attributes, id
			continue
		}
		if id == "" && !f.Createable || id != "" && !f.Updateable {
			return &SalesforceRow{"INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: " + name, []string{name}}
		}
		if e := f.check(record[name]); e != nil {
			return e
		}
		if other := o.keys[name][record[name]]; f.Unique && other != "" && other != id {
			return &SalesforceRow{"DUPLICATE_VALUE", "duplicate value found: " + name + " duplicates value on record with id: " + other, nil}
		}
	}
	for name, f := range o.fields {
		if f.Required && id == "" && record[name] == nil {
			return &SalesforceRow{"REQUIRED_FIELD_MISSING", "Required fields are missing: [" + name + "]", []string{name}}
		}
	}
	return nil
}

// check is whether a field takes a value.
func (f *SalesforceField) check(v any) *SalesforceRow {
	fields := []string{f.Name}
	text, isText := v.(string)
	number, isNumber := v.(float64)
	switch {
	case v == nil:
	case isText && f.Length > 0 && len(utf16.Encode([]rune(text))) > f.Length:
		return &SalesforceRow{"STRING_TOO_LONG", fmt.Sprintf("%s: data value too large: %s (max length=%d)", f.Name, text, f.Length), fields}
	case f.Type == "int" && (!isNumber || number != math.Trunc(number)):
		return &SalesforceRow{"INVALID_TYPE_ON_FIELD_IN_RECORD", f.Name + ": value not of required type", fields}
	case f.Type == "date":
		if _, err := time.Parse(time.DateOnly, text); err != nil {
			return &SalesforceRow{"JSON_PARSER_ERROR", "Cannot deserialize instance of date", fields}
		}
	case len(f.Values) > 0 && !slices.ContainsFunc(f.Values, func(m map[string]any) bool { return m["value"] == v && m["active"] == true }):
		return &SalesforceRow{"INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", f.Name + ": bad value for restricted picklist field: " + text, fields}
	}
	return nil
}
