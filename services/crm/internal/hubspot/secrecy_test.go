package hubspot_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/services/crm/internal/crmtest"
	"github.com/onhook/onhook/services/crm/internal/hubspot"
)

// TestHubSpotSeesOnlyWhatIsConfigured looks at every byte that is sent.
func TestHubSpotSeesOnlyWhatIsConfigured(t *testing.T) {
	t.Parallel()
	secrets := map[string]string{"transcript": "customer: I", "recording": "rec.example.com", "extracted": "1234", "allowed": "100.50"}
	for name, test := range map[string]struct {
		change func(f *fixture)
		seen   []string
	}{
		"by default": {func(*fixture) {}, nil},
		"transcript": {func(f *fixture) { f.cfg.Transcript = true }, []string{"transcript"}},
		"recording":  {func(f *fixture) { f.cfg.RecordingLink = true }, []string{"recording"}},
		"one value":  {func(f *fixture) { f.cfg.Extracted = []string{"Payment Amount"} }, []string{"allowed"}},
		"all values": {func(f *fixture) { f.cfg.Extracted = []string{"*"} }, []string{"allowed", "extracted"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			f.cfg.CreateMissing = "contact"
			test.change(f)
			batch := items(2)
			batch[0] = full()
			f.delivered(f.client().Deliver(t.Context(), batch))
			for what, text := range secrets {
				want := slices.Contains(test.seen, what)
				if got := strings.Contains(f.sent.all(), text); got != want {
					t.Errorf("HubSpot saw the %s: %t, want %t", what, got, want)
				}
			}
		})
	}
}

// echo answers with an error whose message is all that was sent, in pieces and in other cases.
func echo(status int, category string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		body, _ := io.ReadAll(r.Body)
		text := string(body)
		for _, s := range []string{text, strings.ToUpper(text)} {
			if i := strings.Index(strings.ToLower(s), "hs_call_title"); i >= 0 {
				text = s[i:] + text
			}
		}
		crmtest.HubSpotAnswers(status, category, "It was "+r.Header.Get("Authorization")+" who sent "+text)(w, r, next)
	}
}

// TestErrorsAndLogsTellNothing: no token, number, name, address or text of a call is in what people get to read.
func TestErrorsAndLogsTellNothing(t *testing.T) {
	t.Parallel()
	secrets := []string{token, "hunter2", "5551230", "555 123", "Zoila", "zoila", "Quispe", "QUISPE", "example.com", "Owes", "OWES", "100.50", "her", "rec.example", "8765"}
	for _, status := range []int{400, 401, 403, 404, 409, 423, 429, 477, 500, 502} {
		for _, path := range []string{"contacts/batch/read", "contacts/search", "contacts/batch/upsert", "contacts/batch/update", "calls/batch/upsert", "associations"} {
			t.Run(fmt.Sprint(status, path), func(t *testing.T) {
				f := setup(t)
				core, logs := observer.New(zapcore.DebugLevel)
				f.log = zap.New(core)
				f.cfg.CreateMissing, f.cfg.Transcript, f.cfg.RecordingLink, f.cfg.Extracted = "contact", true, true, []string{"*"}
				if path == "contacts/batch/update" {
					f.contact(map[string]string{"phone": phone(0)})
				}
				f.account.Fault(path, 1000, echo(status, "VALIDATION_ERROR"))
				batch := items(2)
				batch[0] = full()
				var said strings.Builder
				for _, r := range f.client().Deliver(t.Context(), batch) {
					fmt.Fprintln(&said, r.Err, r.Note)
				}
				for _, e := range logs.All() {
					fmt.Fprintln(&said, e.Message, e.ContextMap())
				}
				for _, s := range secrets {
					if strings.Contains(said.String(), s) {
						t.Errorf("%q is in:\n%s", s, said.String())
					}
				}
				if !strings.Contains(said.String(), fmt.Sprint(status)) || !strings.Contains(said.String(), crmtest.HubSpotCorrelationID) {
					t.Errorf("the status or the correlation id is not in:\n%s", said.String())
				}
			})
		}
	}
}

// TestCutPiecesOfATextAreMasked: HubSpot may say where in a text it stumbled.
func TestCutPiecesOfATextAreMasked(t *testing.T) {
	f := setup(t)
	f.cfg.Transcript = true
	batch := items(1)
	batch[0].Call.Customer.Name = "Li de la O"
	batch[0].Call.Transcript.Text = "agent: what is the number of the card? customer: four two four two, and Ñandú is the password"
	f.account.Fault("calls/batch/upsert", 1, crmtest.HubSpotAnswers(400, "VALIDATION_ERROR", "hs_call_body is not valid near: customer: four two four two, and Ñandú is; call zoila0@example.com or +52 (55) 5123-0000, see https://x.test/?t=1 of LI, who is unable"))
	got := f.client().Deliver(t.Context(), batch)[0].Err.Error()
	for _, s := range []string{"four two", "Ñandú", "zoila0", "5123", "x.test", "of LI"} {
		if strings.Contains(got, s) {
			t.Errorf("%q is in %q", s, got)
		}
	}
	if !strings.Contains(got, "hs_call_body is not valid near:***") || !strings.HasSuffix(got, "who is unable") {
		t.Errorf("error %q", got)
	}
}

// TestConfiguredFieldsAreMaskedWhateverTheirProperty: a property whose usual values may stand in an error can be given others.
func TestConfiguredFieldsAreMaskedWhateverTheirProperty(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"hs_call_disposition", "hs_timestamp", "hubspot_owner_id", "onhook_agent", "onhook_outcome"} {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			batch := items(1)
			batch[0].Fields = map[string]any{name: "lives in Quito, alone"}
			f.account.Fault("calls/batch/upsert", 1, crmtest.HubSpotAnswers(400, "VALIDATION_ERROR", name+" cannot be LIVES IN QUITO, ALONE, nor Quito, alone"))
			if got := fmt.Sprint(f.client().Deliver(t.Context(), batch)[0].Err); strings.Contains(strings.ToLower(got), "quito") || !strings.Contains(got, name+" cannot be") {
				t.Errorf("error %q", got)
			}
		})
	}
}

func TestContactFieldsAreMaskedWhateverTheirProperty(t *testing.T) {
	f := setup(t)
	f.cfg.CreateMissing = "contact"
	f.cfg.ContactFields["onhook_agent"] = hubspot.ContactField{From: "extracted.home", Mode: "overwrite"}
	batch := items(1)
	batch[0].Call.Extracted = map[string]json.RawMessage{"home": json.RawMessage(`"lives in Quito, alone"`)}
	f.account.Fault("contacts/batch/upsert", 1, crmtest.HubSpotAnswers(400, "VALIDATION_ERROR", "onhook_agent cannot be lives in Quito, alone"))
	if got := f.client().Deliver(t.Context(), batch)[0].Note; strings.Contains(got, "Quito") || !strings.Contains(got, "onhook_agent cannot be") {
		t.Errorf("note %q", got)
	}
}

func TestTokenIsSentToItsHostAlone(t *testing.T) {
	f := setup(t)
	f.account.Fault("calls/batch/upsert", 1, func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		http.Redirect(w, r, "http://elsewhere.test/", http.StatusTemporaryRedirect)
	})
	r := f.client().Deliver(t.Context(), items(1))[0]
	if kind, _ := retry.Classify(r.Err); kind != retry.Paused || f.account.Requests("") != 3 {
		t.Errorf("%v after %d requests", r.Err, f.account.Requests(""))
	}
}

// TestTokenIsRotated: the next of several is tried, and the file is read again.
func TestTokenIsRotated(t *testing.T) {
	t.Parallel()
	t.Run("list", func(t *testing.T) {
		f := setup(t)
		f.cfg.Token = config.Secrets{"pat-new", token}
		c := f.client()
		f.delivered(c.Deliver(t.Context(), items(1)))
		f.account.Token = "pat-new"
		c.Deliver(t.Context(), items(1)) // finds the old one refused
		f.delivered(c.Deliver(t.Context(), items(1)))
	})
	t.Run("file", func(t *testing.T) {
		f := setup(t)
		f.cfg.Token, f.cfg.TokenFile = nil, filepath.Join(t.TempDir(), "token")
		write := func(s string) {
			if err := os.WriteFile(f.cfg.TokenFile, []byte(s), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("pat-old\n")
		c := f.client()
		if got := kinds(c.Deliver(t.Context(), items(1))); got[retry.Paused] != 1 {
			t.Errorf("%v", got)
		}
		if n := f.account.Requests(""); n != 1 {
			t.Errorf("%d requests with a token that is refused", n)
		}
		write(token + "\n")
		f.delivered(c.Deliver(t.Context(), items(1)))
	})
}
