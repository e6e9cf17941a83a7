package ingress

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/schemas"
)

// FuzzReceive posts what it likes: the answer is one of the contract, and a 200 only when the body was published just
// so, and believed no more than the source allows.
func FuzzReceive(f *testing.F) {
	var published []*bus.Delivery
	away := false
	in, err := New(withListen("127.0.0.1:0"), testSources(), fake{publish: func(_ context.Context, d *bus.Delivery) error {
		if away {
			return errors.New("away")
		}
		published = append(published, d)
		return nil
	}}, zap.NewNop(), prometheus.NewRegistry())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = in.listener.Close() })
	routes := in.routes()

	for _, name := range []string{"altur", "synthflow", "cllr"} {
		files, err := fs.Glob(schemas.FS, "provider/"+name+"/*.example.json")
		if err != nil || len(files) == 0 {
			f.Fatal(err, files)
		}
		for _, file := range files {
			body, err := fs.ReadFile(schemas.FS, file)
			if err != nil {
				f.Fatal(err)
			}
			switch name {
			case "altur":
				f.Add("altur", "X-Altur-Signature", sign(f, name, body, newSecret, "hex").Get("X-Altur-Signature"), "application/json", body, false)
				f.Add("altur-base64", "X-Altur-Signature", sign(f, name, body, newSecret, "base64").Get("X-Altur-Signature"), "", body, false)
			case "synthflow":
				f.Add("synthflow", "HTTP_SYNTHFLOW_SIGNATURE", "AAAA", "application/json; charset=utf-8", body, false)
			default:
				f.Add("cllr/"+newToken, "", "", "text/plain", body, true)
				f.Add("open", "User-Agent", "\r\n\x00", "\xff", body, false)
			}
		}
	}
	f.Add("limited/"+newToken, "X", "", "", []byte("{}"), false)
	f.Add("../webhooks/altur%2F", "", "", "", []byte("{"), false)
	f.Add("synthflow", "Synthflow_Signature", "AAAA", "", bytes.Repeat([]byte(`{"call":`), 10_000), false)

	statuses := []int{200, 400, 401, 404, 413, 422, 429, 503}
	f.Fuzz(func(t *testing.T, path, header, value, contentType string, body []byte, down bool) {
		target, err := url.ParseRequestURI("/v1/webhooks/" + path)
		if err != nil {
			t.Skip("not a request that HTTP can carry")
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(body))
		r.URL = target
		r.Header = http.Header{header: {value}, "Content-Type": {contentType}}
		published, away = nil, down
		w := httptest.NewRecorder()
		routes.ServeHTTP(w, r)

		a := answer{w.Code, w.Header(), w.Body.Bytes()}
		if !slices.Contains(statuses, a.status) {
			t.Fatalf("status %d: %s", a.status, a.body)
		}
		if !in.inFlight.TryAcquire(int64(in.cfg.MaxInFlight) + 1) {
			t.Fatal("bytes are still taken")
		}
		in.inFlight.Release(int64(in.cfg.MaxInFlight) + 1)
		if a.status != http.StatusOK {
			if a.refused(t, a.status); len(published) != 0 {
				t.Fatalf("published and refused with %d", a.status)
			}
			if wait := a.header.Get("Retry-After"); (wait != "") != (a.status == 503 || a.status == 429) {
				t.Fatalf("%d with Retry-After %q", a.status, wait)
			}
			return
		}
		id := a.accepted(t)
		if !json.Valid(a.body) || len(published) != 1 {
			t.Fatalf("answered %s, published %d times", a.body, len(published))
		}
		d := published[0]
		if d.ID != id || !bytes.Equal(d.Body, body) || in.sources[d.Source] == nil || d.Provider != in.sources[d.Source].provider.Name {
			t.Fatalf("published as %+v, answered %s", d, a.body)
		}
		most := map[string]call.Auth{"altur": call.AuthVerifiedBody, "synthflow": call.AuthVerifiedIDOnly, "cllr": call.AuthToken}[d.Provider]
		if d.Source == "open" {
			most = call.AuthNone
		}
		if d.Auth != most {
			t.Fatalf("%s is believed %s, want %s", d.Source, d.Auth, most)
		}
	})
}
