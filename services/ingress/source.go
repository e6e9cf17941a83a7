package ingress

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"math"
	"net/http"
	"time"

	"golang.org/x/time/rate"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/pkg/provider"
)

// source is a configured source, ready to check deliveries.
type source struct {
	name     string
	provider provider.Provider
	secrets  []string
	scheme   string
	tokens   [][sha256.Size]byte
	limit    *rate.Limiter // nil: none
}

func newSource(name string, s provider.Source) (*source, error) {
	p, ok := provider.Lookup(s.Provider)
	if !ok {
		return nil, fmt.Errorf("source %s: there is no provider %q", name, s.Provider)
	}
	src := &source{name: name, provider: p, secrets: s.Secrets.Reveal(), scheme: s.Scheme, tokens: hashes(s.Token)}
	if len(src.secrets) == 0 && len(src.tokens) == 0 && !s.Insecure {
		return nil, fmt.Errorf("source %s has neither secrets nor a token", name)
	}
	if s.RateLimit > 0 {
		burst := s.Burst
		if burst == 0 {
			burst = int(math.Ceil(s.RateLimit))
		}
		src.limit = rate.NewLimiter(rate.Limit(s.RateLimit), burst)
	}
	return src, nil
}

// hashes makes tokens of any length comparable in constant time.
func hashes(tokens config.Secrets) [][sha256.Size]byte {
	var h [][sha256.Size]byte
	for _, t := range tokens {
		h = append(h, sha256.Sum256([]byte(t.Reveal())))
	}
	return h
}

// tokenOK reports whether the URL carries what the source asks for: one of its tokens, or none.
func (s *source) tokenOK(token string) bool {
	if len(s.tokens) == 0 {
		return token == ""
	}
	got := sha256.Sum256([]byte(token))
	ok := 0
	for _, want := range s.tokens {
		ok |= subtle.ConstantTimeCompare(got[:], want[:])
	}
	return ok == 1
}

// verify reports how far the sender is proven, the token of the URL having been checked. This is where a signature's
// 401 is decided.
func (s *source) verify(h http.Header, body []byte) (call.Auth, bool) {
	switch {
	case len(s.secrets) > 0:
		return s.provider.Verify(h, body, s.secrets, s.scheme)
	case len(s.tokens) > 0:
		return call.AuthToken, true
	default:
		return call.AuthNone, true
	}
}

// overLimit takes one delivery from the source's limit, or takes none and says how long to wait for it.
func (s *source) overLimit() time.Duration {
	if s.limit == nil || s.limit.Allow() {
		return 0
	}
	// Not Reserve and Cancel, which change the limiter also for what is refused: in a flood these overlap, and several
	// times the limit has passed.
	seconds := (1 - s.limit.Tokens()) / float64(s.limit.Limit())
	return time.Duration(max(1, min(seconds, 3600)) * float64(time.Second))
}
