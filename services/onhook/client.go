package onhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/pkg/service"
)

// client is how a command reaches the operator's API.
type client struct {
	Server string        `help:"The onhook to ask: the admin address of an onhook run, or the address of an onhook ops." default:"http://127.0.0.1:8081" env:"ONHOOK_SERVER" placeholder:"URL"`
	Token  config.Secret `help:"The token that onhook ops asks for; better in the environment, as others can see a command line." env:"ONHOOK_TOKEN"`
	JSON   bool          `help:"Print JSON." name:"json"`
}

const tokenEnv = "ONHOOK_TOKEN"

func (c *client) get(ctx context.Context, path string, query url.Values, into any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return c.do(ctx, http.MethodGet, path, nil, into)
}

func (c *client) post(ctx context.Context, path string, body, into any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return c.do(ctx, http.MethodPost, path, b, into)
}

func (c *client) delete(ctx context.Context, path string, into any) error {
	return c.do(ctx, http.MethodDelete, path, nil, into)
}

func (c *client) do(ctx context.Context, method, path string, body []byte, into any) error {
	base := strings.TrimSuffix(c.Server, "/")
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, base+path, bytes.NewReader(body))
	if err != nil {
		return &service.UsageError{Err: fmt.Errorf("--server is not a URL such as http://127.0.0.1:8081: %w", err)}
	}
	req.Header.Set("Content-Type", "application/json")
	if c.Token != "" {
		if !bearer.MatchString(c.Token.Reveal()) {
			return &service.UsageError{Err: fmt.Errorf("--token, or %s: %w", tokenEnv, errBearer)}
		}
		req.Header.Set("Authorization", "Bearer "+c.Token.Reveal())
	}
	resp, err := http.DefaultClient.Do(req)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s took more than a minute to answer; what was asked for may have been done in part", base)
	}
	if err != nil {
		return fmt.Errorf("no onhook answers at %s; start one with `onhook run`, or name with --server the admin address of one, or the address of an `onhook ops`: %w", base, err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%s broke off its answer: %w", base, err)
	}
	if resp.StatusCode != http.StatusOK {
		var e apiError
		if err := json.Unmarshal(answer, &e); err != nil || e.Detail == "" {
			return fmt.Errorf("%s answered %s: it is not an onhook that takes commands", base+path, resp.Status)
		}
		return errors.New(e.Detail)
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("%s gave an answer that is not JSON: %w", base+path, err)
	}
	return nil
}

// printJSON prints v for machines that people read over the shoulder of.
func printJSON(w io.Writer, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}
