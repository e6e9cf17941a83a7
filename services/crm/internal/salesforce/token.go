package salesforce

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"golang.org/x/oauth2/jwt"
	"golang.org/x/sync/singleflight"

	"github.com/onhook/onhook/pkg/retry"
)

// assertionLife is how long a signed login is good for; Salesforce wants minutes at most.
const assertionLife = 3 * time.Minute

// tokens holds the access token. Salesforce does not say how long one lives, so it is used until it is refused.
type tokens struct {
	fetch func(ctx context.Context) (string, error)
	group singleflight.Group
	own   []string // what it logs in with, which no error may tell

	mu    sync.Mutex
	token string
}

// newTokens logs in with client, by the flow that cfg has the secret for.
func newTokens(cfg Config, client *http.Client) *tokens {
	at := cfg.URL + "/services/oauth2/token"
	source := func(ctx context.Context) (*oauth2.Token, error) {
		c := clientcredentials.Config{ClientID: cfg.ClientID, ClientSecret: cfg.ClientSecret.Reveal(), TokenURL: at, AuthStyle: oauth2.AuthStyleInParams}
		return c.Token(ctx)
	}
	if cfg.PrivateKey != "" {
		source = func(ctx context.Context) (*oauth2.Token, error) {
			c := jwt.Config{Email: cfg.ClientID, Subject: cfg.Username, Audience: cfg.URL, TokenURL: at,
				PrivateKey: []byte(cfg.PrivateKey.Reveal()), Expires: assertionLife}
			return c.TokenSource(ctx).Token()
		}
	}
	own := []string{cfg.ClientSecret.Reveal(), url.QueryEscape(cfg.ClientSecret.Reveal())}
	for line := range strings.Lines(cfg.PrivateKey.Reveal()) {
		own = append(own, line)
	}
	return &tokens{own: own, fetch: func(ctx context.Context) (string, error) {
		ctx, cancel := context.WithTimeout(context.WithValue(ctx, oauth2.HTTPClient, client), 30*time.Second)
		defer cancel()
		t, err := source(ctx)
		if err != nil {
			return "", loginError(err, own)
		}
		if t.AccessToken == "" {
			return "", retry.Outage(outageWait, errors.New("salesforce answered the login without a token"))
		}
		return t.AccessToken, nil
	}}
}

// get returns a token other than refused, which is empty unless Salesforce has just refused one. However many ask at
// once, one of them logs in.
func (t *tokens) get(ctx context.Context, refused string) (string, error) {
	if token := t.cached(); token != "" && token != refused {
		return token, nil
	}
	// Whoever gives up waiting must not fail the others: the login goes on without them.
	login := t.group.DoChan("login", func() (any, error) {
		if token := t.cached(); token != "" && token != refused { // another has been here since
			return token, nil
		}
		token, err := t.fetch(context.WithoutCancel(ctx))
		if err != nil {
			return "", err
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		t.token = token
		return token, nil
	})
	select {
	case r := <-login:
		token, _ := r.Val.(string)
		return token, r.Err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (t *tokens) cached() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.token
}

// secrets are what no error may tell.
func (t *tokens) secrets() []string { return append(slices.Clone(t.own), t.cached()) }

// loginError says why there is no token, with Salesforce's own words and nothing of what was sent. All of it is an
// outage: nobody's call is at fault.
func loginError(err error, own []string) error {
	e, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		return retry.Outage(outageWait, fmt.Errorf("cannot log in to Salesforce: %w", withoutURL(err)))
	}
	var said struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	_ = json.Unmarshal(e.Body, &said) // what is no JSON has nothing to say
	if status := e.Response.StatusCode; status >= 500 || status == http.StatusTooManyRequests {
		return retry.Outage(outageWait, fmt.Errorf("cannot log in to Salesforce: HTTP %d", status))
	}
	return retry.Outage(deniedWait, fmt.Errorf("salesforce refuses the credentials: %s: %s; look at url, client_id and its secret or key, and at the app's policies; calls wait meanwhile",
		cmp.Or(scrub(said.Error, own...), fmt.Sprintf("HTTP %d", e.Response.StatusCode)), cmp.Or(scrub(said.Description, own...), "no reason given")))
}
