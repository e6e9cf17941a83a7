package crmtest

import (
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// SalesforceFault is how one request, or several, go wrong. The first that applies to a request is taken.
type SalesforceFault struct {
	Path   string        // substring of the paths that it applies to; empty is all but the login
	Times  int           // how often; 0 is once, below 0 always
	Delay  time.Duration // before all else
	Expire bool          // every token is invalid from now on
	Cut    bool          // the request is worked on, and the connection closed without an answer
	Empty  bool          // the request is worked on, and answered 200 without a body
	Short  int           // so many row results are missing at the end
	Status int           // answered instead, unless 0
	Code   string        // errorCode of that answer; empty answers a web page
	Text   string        // message of that answer
	Echo   bool          // and in it all that was sent, its Authorization too
}

// SalesforceRow is an error of one row.
type SalesforceRow struct {
	Code, Message string
	Fields        []string
}

// SalesforceRequest is one request that the fake has seen, its login among them.
type SalesforceRequest struct {
	Method, Path string
	Body         string
	Records      int // in a collection
}

// Salesforce is an org, as a handler of its address. Its zero value is not ready; see NewSalesforce. The exported fields are to be set before the
// first request.
type Salesforce struct {
	ClientID, ClientSecret string
	Username               string
	PublicKey              *rsa.PublicKey // of the certificate, for the JWT bearer flow
	Zone                   string         // of the org

	// RowError, where set, may refuse a record that would be accepted.
	RowError func(kind string, record map[string]any) *SalesforceRow
	// RefuseUnknown makes an unknown field an error of the whole request, not of the row.
	RefuseUnknown bool

	mu          sync.Mutex
	objects     map[string]*sfObject
	tokens      map[string]bool
	logins      int
	inFlight    int
	mostAtOnce  int
	used, total int
	faults      []*SalesforceFault
	locks       map[string]int // person id to how many attempts meet the lock
	requests    []SalesforceRequest
	serial      int
}

// NewSalesforce is an org with nobody in it, made ready as the setup instructions say.
func NewSalesforce() *Salesforce {
	s := &Salesforce{ClientID: "client-id", ClientSecret: "client-secret", Zone: "America/Mexico_City", RefuseUnknown: true,
		objects: sfObjects(), tokens: map[string]bool{}, locks: map[string]int{}, total: 100_000}
	return s
}

// Fail adds faults.
func (s *Salesforce) Fail(faults ...SalesforceFault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range faults {
		f.Times = max(f.Times, -1)
		if f.Times == 0 {
			f.Times = 1
		}
		s.faults = append(s.faults, &f)
	}
}

// Recover ends all faults and locks.
func (s *Salesforce) Recover() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults, s.locks = nil, map[string]int{}
}

// Lock lets the next attempts to write to a person meet another's lock, one per row.
func (s *Salesforce) Lock(id string, attempts int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.locks[id] = attempts
}

// ExpireTokens makes every session invalid.
func (s *Salesforce) ExpireTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tokens)
}

// SetUsage sets how many requests of the allowance are used.
func (s *Salesforce) SetUsage(used, total int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used, s.total = used, total
}

// Field changes what describe says of a field, and with it what the field takes; nil removes it.
func (s *Salesforce) Field(kind, name string, change func(f *SalesforceField)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.objects[kind]
	if change == nil {
		delete(o.fields, name)
		return
	}
	f, ok := o.fields[name]
	if !ok {
		f = &SalesforceField{Name: name, Type: "string", Length: 255, Createable: true, Updateable: true}
		o.fields[name] = f
	}
	change(f)
}

// Hide takes a kind of record away from the user.
func (s *Salesforce) Hide(kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, kind)
}

// Add puts a record in, as a person would, and answers its id.
func (s *Salesforce) Add(kind string, record map[string]any) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.objects[kind].add(s.next(), record)
}

// Delete removes a record.
func (s *Salesforce) Delete(kind, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[kind].remove(id)
}

// Change sets fields of a record.
func (s *Salesforce) Change(kind, id string, fields map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[kind].put(id, fields)
}

// Objects are all records of a kind, by the order of their creation.
func (s *Salesforce) Objects(kind string) []map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []map[string]any
	for _, id := range slices.Sorted(maps.Keys(s.objects[kind].records)) {
		out = append(out, maps.Clone(s.objects[kind].records[id]))
	}
	return out
}

// Records counts the tasks of each key.
func (s *Salesforce) Records() map[string]int {
	n := map[string]int{}
	for _, task := range s.Objects("Task") {
		key, _ := task["Onhook_Key__c"].(string)
		n[key]++
	}
	return n
}

// Requests are those seen so far, logins among them.
func (s *Salesforce) Requests() []SalesforceRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Logins is how many tokens were asked for.
func (s *Salesforce) Logins() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logins
}

// MostAtOnce is how many requests were in flight together at most.
func (s *Salesforce) MostAtOnce() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mostAtOnce
}

func (s *Salesforce) next() int {
	s.serial++
	return s.serial
}

const sfPage = "<html><body>Salesforce is busy</body></html>"

const sfLogin = "/services/oauth2/token"

var sfResource = regexp.MustCompile(`^/services/data/v[0-9]+\.0/(.*)$`)

// ServeHTTP is the org's REST API and its login.
func (s *Salesforce) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.inFlight++
	s.mostAtOnce = max(s.mostAtOnce, s.inFlight)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.inFlight--
	}()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has gone
	}
	fault := s.arrive(r, body)
	if fault.Delay > 0 && !sfWait(r.Context(), fault.Delay) {
		return
	}
	status, answer := s.answer(r, body, fault)
	switch {
	case fault.Cut:
		panic(http.ErrAbortHandler) // closes the connection, and logs nothing
	case fault.Empty:
		status, answer = http.StatusOK, nil
	}
	if answer == sfPage {
		w.Header().Set("Content-Type", "text/html; charset=UTF-8")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, sfPage) // to a client that may have gone
		return
	}
	w.Header().Set("Sforce-Limit-Info", s.usage())
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.WriteHeader(status)
	if answer != nil {
		_ = json.NewEncoder(w).Encode(answer) // to a client that may have gone
	}
}

// arrive notes a request, and picks its fault.
func (s *Salesforce) arrive(r *http.Request, body []byte) SalesforceFault {
	s.mu.Lock()
	defer s.mu.Unlock()
	var collection struct {
		Records []json.RawMessage `json:"records"`
	}
	_ = json.Unmarshal(body, &collection) // other bodies have no records
	s.requests = append(s.requests, SalesforceRequest{r.Method, r.URL.Path, string(body), len(collection.Records)})
	for _, f := range s.faults {
		applies := f.Path == "" && r.URL.Path != sfLogin || f.Path != "" && strings.Contains(r.URL.Path, f.Path)
		if !applies || f.Times == 0 {
			continue
		}
		f.Times--
		if f.Expire {
			clear(s.tokens)
		}
		return *f
	}
	return SalesforceFault{}
}

// answer works on a request.
func (s *Salesforce) answer(r *http.Request, body []byte, fault SalesforceFault) (int, any) {
	if fault.Echo {
		fault.Text += ": " + r.Header.Get("Authorization") + " " + string(body)
	}
	if fault.Status != 0 {
		if fault.Code == "" {
			return fault.Status, sfPage
		}
		if r.URL.Path == sfLogin {
			return fault.Status, map[string]string{"error": fault.Code, "error_description": fault.Text}
		}
		return fault.Status, sfErrors(fault.Code, fault.Text)
	}
	if r.URL.Path == sfLogin {
		return s.login(r, body)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")] {
		return http.StatusUnauthorized, sfErrors("INVALID_SESSION_ID", "Session expired or invalid")
	}
	if s.used >= s.total {
		return http.StatusForbidden, sfErrors("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
	}
	s.used++
	m := sfResource.FindStringSubmatch(r.URL.Path)
	if m == nil {
		return http.StatusNotFound, sfErrors("NOT_FOUND", "The requested resource does not exist")
	}
	status, answer := s.route(r.Method, m[1], r.URL.Query(), body)
	if rows, ok := answer.([]sfResult); ok && fault.Short > 0 {
		answer = rows[:max(0, len(rows)-fault.Short)]
	}
	return status, answer
}

// usage is the header that tells of the allowance.
func (s *Salesforce) usage() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("api-usage=%d/%d", s.used, s.total)
}

func sfErrors(code, message string) []map[string]string {
	return []map[string]string{{"errorCode": code, "message": message}}
}
