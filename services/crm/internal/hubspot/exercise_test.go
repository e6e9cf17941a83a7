package hubspot_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/pkg/retry"
	"github.com/onhook/onhook/services/crm/internal/crmtest"
	"github.com/onhook/onhook/services/crm/internal/hubspot"
	"github.com/onhook/onhook/services/crm/internal/sink"
)

func TestExercise(t *testing.T) {
	t.Parallel()
	crmtest.Exercise(t, func(t *testing.T) crmtest.Subject {
		account := crmtest.NewHubSpot().SetUp()
		account.Token = token
		return crmtest.Subject{
			Vendor: account,
			Open: func(t *testing.T, address string) sink.Sink {
				cfg := hubspot.DefaultConfig()
				cfg.URL, cfg.Token, cfg.CreateMissing = address, config.Secrets{token}, "contact"
				c, err := hubspot.New(cfg, hubspot.Deps{Name: "main", Contacts: &memory{ids: map[string]string{}}, Log: zap.NewNop()})
				if err != nil {
					t.Fatal(err)
				}
				return c
			},
			Writes:  func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/calls/batch/upsert") },
			Records: account.Records,
			Says: func(message string) string {
				text, err := json.Marshal(map[string]string{"category": "VALIDATION_ERROR", "message": message})
				if err != nil {
					t.Error(err)
				}
				return string(text)
			},
			Secrets: []string{token},
			Kinds:   map[string][]retry.Kind{"409": {retry.Dead}},
		}
	})
}
