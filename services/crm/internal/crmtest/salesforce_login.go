package crmtest

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// login is the token endpoint, with both flows. As the vendor does, it names no expiry.
func (s *Salesforce) login(r *http.Request, body []byte) (int, any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logins++
	no := func(code, why string) (int, any) {
		return http.StatusBadRequest, map[string]string{"error": code, "error_description": why}
	}
	own := "http://" + r.Host
	if r.TLS != nil {
		own = "https://" + r.Host
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || r.Method != http.MethodPost {
		return no("invalid_request", "must use HTTP POST")
	}
	switch form.Get("grant_type") {
	case "client_credentials":
		if form.Get("client_id") != s.ClientID {
			return no("invalid_client_id", "client identifier invalid")
		}
		if form.Get("client_secret") != s.ClientSecret {
			return no("invalid_client", "invalid client credentials")
		}
	case "urn:ietf:params:oauth:grant-type:jwt-bearer":
		if why := s.assertion(form.Get("assertion"), own); why != "" {
			return no("invalid_grant", why)
		}
	default:
		return no("unsupported_grant_type", "grant type not supported")
	}
	token := fmt.Sprintf("00Dfake!token-%d", s.next())
	s.tokens[token] = true
	return http.StatusOK, map[string]string{"access_token": token, "instance_url": own, "token_type": "Bearer", "scope": "api"}
}

// assertion says what is wrong with a signed login.
func (s *Salesforce) assertion(text, audience string) string {
	parts := strings.Split(text, ".")
	if len(parts) != 3 || s.PublicKey == nil {
		return "invalid assertion"
	}
	decoded := make([][]byte, 3)
	for i, part := range parts {
		var err error
		if decoded[i], err = base64.RawURLEncoding.DecodeString(part); err != nil {
			return "invalid assertion"
		}
	}
	var header struct{ Alg string }
	var claims struct {
		Iss, Sub, Aud string
		Exp           int64
	}
	if json.Unmarshal(decoded[0], &header) != nil || json.Unmarshal(decoded[1], &claims) != nil || header.Alg != "RS256" {
		return "invalid assertion"
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if rsa.VerifyPKCS1v15(s.PublicKey, crypto.SHA256, sum[:], decoded[2]) != nil {
		return "invalid assertion"
	}
	life := time.Until(time.Unix(claims.Exp, 0))
	switch {
	case claims.Iss != s.ClientID:
		return "client identifier invalid"
	case claims.Sub != s.Username:
		return "user hasn't approved this consumer"
	case claims.Aud != audience:
		return "audience is invalid"
	case life <= 0 || life > 5*time.Minute:
		return "expired authorization code"
	}
	return ""
}

// sfWait reports whether the client was still there after d.
func sfWait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
