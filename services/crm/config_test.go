package crm_test

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/worker"
)

func TestConfigErrorsNameTheLineAndTheKey(t *testing.T) {
	t.Parallel()
	good := "kind: webhook, url: 'https://example.com/pa55word', secrets: [" + secret + "]"
	for _, tt := range []struct{ text, want string }{
		{"a: {" + good + "}", ""},
		{"a: {" + good + ", start: beginning, min_auth: token, events: [ended, progress], transcript: true}", ""},
		{"a: {" + good + ", start: '2026-01-31T15:04:05Z', fields: {x: call.status}}", ""},
		{"a: {" + good + ", bdoy: full}", `onhook.yaml:2: unknown key "bdoy" in crm.a; did you mean "body"?`},
		{"a: {kind: webhok}", `onhook.yaml:2: crm.a.kind: there is no kind "webhok"; there are`},
		{"a: {url: x}", `onhook.yaml:2: crm.a: a sink needs a kind: `},
		{"a:", `onhook.yaml:2: crm.a.kind: a sink needs a kind`},
		{"a: {kind: webhook}", `onhook.yaml:2: crm.a.url: give the address`},
		{"A_b: {" + good + "}", `onhook.yaml:2: crm.A_b: a sink's name is of small letters`},
		{"a:\n    kind: webhook\n    when: call.staus == 'x'", `onhook.yaml:4: crm.a.when: line 1, column 5 of "call.staus == 'x'": undefined field 'staus'`},
		{"a: {" + good + ", when: call.status}", `crm.a.when: "call.status" is string; want true or false`},
		{"a:\n    kind: webhook\n    fields:\n      x: call.nobody", `onhook.yaml:5: crm.a.fields.x: line 1, column 5`},
		{"a: {" + good + ", min_auth: body}", `crm.a.min_auth: there is no proof "body"; there are verified_body, verified_id_only, token, none`},
		{"a: {" + good + ", events: [start]}", `crm.a.events: there is no event "start"; there are ended, progress`},
		{"a: {" + good + ", events: []}", `crm.a.events: give one at least`},
		{"a: {" + good + ", start: yesterday}", `crm.a.start: want new, beginning, or a time`},
		{"a: {" + good + ", extracted: ['*', a]}", `crm.a.extracted: "*" is all keys already`},
		{"a: {" + good + ", rate_limit: -1}", `crm.a.rate_limit: want`},
		{"a: {" + good + ", batch: 0}", `crm.a.batch: it is 0`},
		{"a: {" + good + ", body: vcon, recording_link: true}", `crm.a.recording_link: a vCon names a recording by a hash`},
	} {
		_, err := parse("  " + tt.text + "\n")
		if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "pa55word")) {
			t.Errorf("%s:\n%v\nwant %s", tt.text, err, tt.want)
		}
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	cfg, err := parse(hook("a", "https://example.com", "") + "  b: {kind: webhook, url: 'https://example.com', secrets: [" + secret + "], grace: 20s}\n")
	if err != nil {
		t.Fatal(err)
	}
	want := worker.DefaultConfig()
	want.Batch, want.ProbeMax, want.Grace = 64, time.Hour, 20*time.Second
	if got := cfg["b"].Config; got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if cfg.Grace() != 20*time.Second {
		t.Errorf("grace %v", cfg.Grace())
	}
	if _, _, err := cfg.Setup(t.Context(), "c", zap.NewNop()); err == nil || !strings.Contains(err.Error(), `no sink "c"; there are a, b`) {
		t.Errorf("%v", err)
	}
}
