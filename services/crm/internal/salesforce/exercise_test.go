package salesforce

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/onhook/onhook/services/crm/internal/crmtest"
	"github.com/onhook/onhook/services/crm/internal/sink"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	crmtest.Exercise(t, func(t *testing.T) crmtest.Subject {
		org := crmtest.NewSalesforce()
		return crmtest.Subject{
			Vendor: org,
			Open: func(t *testing.T, address string) sink.Sink {
				cfg := DefaultConfig()
				cfg.URL, cfg.ClientID, cfg.ClientSecret = address, org.ClientID, secret
				s := New(cfg, &memory{})
				t.Cleanup(s.client.http.CloseIdleConnections)
				return s
			},
			Writes:  func(r *http.Request) bool { return strings.Contains(r.URL.Path, "composite/sobjects") },
			Records: org.Records,
			Says: func(message string) string {
				text, err := json.Marshal([]vendorError{{ErrorCode: "INVALID_TYPE", Message: message}})
				if err != nil {
					t.Error(err)
				}
				return string(text)
			},
			Secrets: []string{secret, "00Dfake!"},
		}
	})
}
