package hubspot_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/onhook/onhook/pkg/retry"
)

// answers is a transport that always gives the same answer.
type answers struct {
	status int
	body   []byte
}

func (a answers) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: a.status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(a.body))}, nil
}

// FuzzAnswers: whatever HubSpot answers, each item has a result, a call is delivered only under an id that was
// answered, and no error repeats what was sent.
func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{
		`{"status":"COMPLETE","results":[{"id":"7","properties":{"onhook_key":"altur:mx:call-0000"}}]}`,
		`{"results":[{"id":7,"properties":{"onhook_key":"altur:mx:call-0001","onhook_phone_key":"+525551230001","x":null,"y":[1]}}],"paging":{"next":{"after":5}}}`,
		`{"results":[],"numErrors":1,"errors":[{"category":"VALIDATION_ERROR","message":"Zoila0 is +525551230000","context":{"objectWriteTraceId":["altur:mx:call-0000"]}}]}`,
		`{"status":"error","category":"CONFLICT","message":"Contact already exists. Existing ID: 12"}`,
		`{"message":"Property values were not valid: [{\"error\":\"PROPERTY_DOESNT_EXIST\",\"name\":\"hs_call_title\"}]","errors":[{"code":"X","context":{"propertyName":"a"}}]}`,
		`{"results":[{"fromObjectId":1,"toObjectId":"2","from":{"id":"1"},"to":{"id":2}}]}`,
		`{"results":{}}`, `[]`, `null`, `"`, ``, `<html>`, "{\"message\":\"\xff\xfe \\u0000\"}",
	} {
		for _, status := range []int{200, 207, 400, 404, 409, 429, 500} {
			f.Add(status, []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 200 || status > 599 {
			return
		}
		fx := newFixture(t)
		fx.cfg.CreateMissing = "contact"
		fx.cfg.MatchExisting = false // its limit is waited for
		fx.sent.next = answers{status, body}
		batch := items(3)
		results := fx.client().Deliver(t.Context(), batch)
		if len(results) != len(batch) {
			t.Fatalf("%d results", len(results))
		}
		for i, r := range results {
			said := fmt.Sprint(r.Err, r.Note)
			if r.Err == nil && (r.VendorID == "" || !bytes.Contains(body, []byte("onhook_key"))) && !bytes.Contains(body, []byte(`\u`)) {
				t.Errorf("item %d is delivered: %+v", i, r)
			}
			if kind, _ := retry.Classify(r.Err); kind == retry.Dead && status/100 != 2 && status/100 != 4 {
				t.Errorf("item %d is dead: %v", i, r.Err)
			}
			if strings.Contains(said, token) || strings.Contains(said, phone(i)) || strings.Contains(said, fmt.Sprintf("Zoila%d", i)) {
				t.Errorf("item %d: %s", i, said)
			}
		}
	})
}
