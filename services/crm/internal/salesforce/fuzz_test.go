package salesforce

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/onhook/onhook/pkg/retry"
)

// FuzzAnswers feeds what a server may answer to a collection. Nothing may pass for a success that does not say so, and
// no error may be broken text.
func FuzzAnswers(f *testing.F) {
	for _, body := range []string{
		``, `[]`, `{}`, `null`, `[{"id":"00T","success":true,"created":true,"errors":[]}]`, `[{"success":true}]`, `[null]`,
		`[{"success":false,"errors":[{"statusCode":"UNABLE_TO_LOCK_ROW","message":"m","fields":["WhoId"]}]}]`,
		`[{"message":"Session expired","errorCode":"INVALID_SESSION_ID"}]`, `{"message":"x","errorCode":"y"}`, `<html>`, `[{"errors":{}}]`, "\x00\xff",
		`[{"errorCode":"INVALID_FIELD","message":"No such column 'X__c' on sobject of type Task"}]`,
	} {
		for _, status := range []int{200, 400, 401, 403, 404, 500} {
			f.Add(status, "application/json", body)
		}
	}
	f.Fuzz(func(t *testing.T, status int, kind, body string) {
		c := &client{quota: newQuota(), tokens: &tokens{}}
		var results []rowResult
		err := c.judge(answer{status: status, header: http.Header{"Content-Type": {kind}}, body: []byte(body)}, &results, nil)
		if err != nil && (!utf8.ValidString(err.Error()) || strings.ContainsRune(err.Error(), 0)) {
			t.Error("no text")
		}
		if err == nil && (status < 200 || status > 299) {
			t.Errorf("HTTP %d is no error", status)
		}
		if no, ok := errors.AsType[*refusal](err); ok {
			no.missingFields()
		}
		d := &delivery{Sink: &Sink{client: c}, schema: &schema{task: &object{}}, busy: map[string]error{}, relearned: true}
		for _, result := range results {
			r := &row{call: newCall("a"), fields: map[string]any{}, size: maxRecords}
			d.settle(t.Context(), r, result)
			if done, _ := retry.Classify(r.err); r.size == 0 && done == retry.Done && (!result.Success || result.ID == "") {
				t.Errorf("%+v is a success", result)
			}
		}
	})
}

// FuzzScrub: no message may keep an address or a number of a telephone's length.
func FuzzScrub(f *testing.F) {
	f.Add("x +52 55 1234 5678 a@b.c")
	f.Add("data value too large: a (max length=1)")
	f.Fuzz(func(t *testing.T, text string) {
		if got := scrub(text); len(got) > maxMessage+len("…") || emailForm.MatchString(got) {
			t.Errorf("%q", got)
		}
	})
}
