package crmtest

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

var (
	sfQuery = regexp.MustCompile(`^SELECT ([\w, ]+) FROM (\w+)(?: WHERE (\w+) IN \(([^)]*)\))?(?: LIMIT [0-9]+)?$`)
	sfDigit = regexp.MustCompile(`[^0-9]`)
)

// query knows the form of SOQL that a sink needs.
func (s *Salesforce) query(q string) (int, any) {
	m := sfQuery.FindStringSubmatch(q)
	if m == nil {
		return http.StatusBadRequest, sfErrors("MALFORMED_QUERY", "unexpected token")
	}
	if m[2] == "Organization" {
		return http.StatusOK, map[string]any{"totalSize": 1, "done": true, "records": []map[string]any{{"TimeZoneSidKey": s.Zone}}}
	}
	o := s.objects[m[2]]
	if o == nil {
		return http.StatusBadRequest, sfErrors("INVALID_TYPE", "sObject type '"+m[2]+"' is not supported.")
	}
	names := strings.Split(m[1], ", ")
	for _, name := range append(slices.Clone(names), m[3]) {
		if o.fields[name] == nil && name != "" {
			return http.StatusBadRequest, sfErrors("INVALID_FIELD", "No such column '"+name+"' on entity '"+o.name+"'")
		}
	}
	var values []string
	for _, quoted := range strings.Split(m[4], ",") {
		values = append(values, strings.Trim(quoted, "'"))
	}
	records := []map[string]any{}
	for _, id := range slices.Sorted(maps.Keys(o.records)) {
		if text, _ := o.records[id][m[3]].(string); m[3] != "" && !slices.Contains(values, text) {
			continue
		}
		records = append(records, sfPick(o.records[id], names))
	}
	return http.StatusOK, map[string]any{"totalSize": len(records), "done": true, "records": records}
}

func sfPick(record map[string]any, names []string) map[string]any {
	out := map[string]any{}
	for _, name := range names {
		out[name] = record[name]
	}
	return out
}

// composite answers GETs in one request.
func (s *Salesforce) composite(body []byte) (int, any) {
	var in struct {
		Requests []struct {
			Method, URL string
			ReferenceID string `json:"referenceId"`
		} `json:"compositeRequest"`
	}
	if json.Unmarshal(body, &in) != nil || len(in.Requests) == 0 || len(in.Requests) > 5 {
		return http.StatusBadRequest, sfErrors("JSON_PARSER_ERROR", "Unexpected request")
	}
	var out []map[string]any
	for _, r := range in.Requests {
		status, answer := http.StatusNotFound, any(sfErrors("NOT_FOUND", "The requested resource does not exist"))
		if u, err := url.Parse(r.URL); err == nil {
			if m := sfResource.FindStringSubmatch(u.Path); m != nil && r.Method == http.MethodGet {
				status, answer = s.route(r.Method, m[1], u.Query(), nil)
			}
		}
		out = append(out, map[string]any{"body": answer, "httpHeaders": map[string]string{}, "httpStatusCode": status, "referenceId": r.ReferenceID})
	}
	return http.StatusOK, map[string]any{"compositeResponse": out}
}

// search finds those with a telephone number that has the digits asked for.
func (s *Salesforce) search(body []byte) (int, any) {
	var in struct {
		Q, In    string
		SObjects []struct {
			Name, Where string
			Fields      []string
		}
	}
	if json.Unmarshal(body, &in) != nil || in.In != "PHONE" || len(in.Q) < 2 {
		return http.StatusBadRequest, sfErrors("INVALID_SEARCH", "search term must be longer than one character")
	}
	found := []map[string]any{}
	for _, scope := range in.SObjects {
		o := s.objects[scope.Name]
		for _, id := range slices.Sorted(maps.Keys(o.records)) {
			record := o.records[id]
			if scope.Where == "IsConverted = false" && record["IsConverted"] == true {
				continue
			}
			for _, name := range []string{"Phone", "MobilePhone", "HomePhone"} {
				if text, _ := record[name].(string); strings.Contains(sfDigit.ReplaceAllString(text, ""), in.Q) {
					hit := sfPick(record, scope.Fields)
					hit["attributes"] = map[string]any{"type": o.name}
					found = append(found, hit)
					break
				}
			}
		}
	}
	return http.StatusOK, map[string]any{"searchRecords": found}
}
