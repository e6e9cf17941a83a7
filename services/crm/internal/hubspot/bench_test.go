package hubspot_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// BenchmarkSustained delivers for 40 s to an account that answers after 20 ms and allows 190 requests in 10 s: to be
// compared is the share of the quota that was used. One iteration is one run.
func BenchmarkSustained(b *testing.B) {
	const windows = 3
	for range b.N {
		f := newFixture(b)
		f.account.Quota, f.account.Latency = 190, 20*time.Millisecond
		server := httptest.NewServer(f.account)
		f.cfg.URL, f.sent.next = server.URL, http.DefaultTransport
		batch := items(100)
		for i := range batch {
			f.memory.ids[phone(i)] = f.contact(map[string]string{"phone": phone(i)})
		}
		perWindow := sustain(f, batch, 1, windows)
		batches := f.account.Requests("calls/batch/upsert")
		b.ReportMetric(perWindow/190, "of-quota")
		b.ReportMetric(perWindow/10, "requests/s")
		b.ReportMetric(float64(f.account.Requests(""))/float64(batches), "requests/100-calls")
		b.ReportMetric(float64(f.account.MostInWindow()), "most-in-10s")
		server.Close()
	}
}
