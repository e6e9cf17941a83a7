package provider_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/pkg/provider"
)

// hunter is part of every secret and token in this file, and must be in no error.
const hunter = "hunter2"

// files is a directory with secret files; {dir} stands for it in the tables.
func files(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"two":    hunter + "-new\n\n" + hunter + "-old \r\n",
		"empty":  "\n \n",
		"spaced": "fine-" + hunter + "\nnot fine " + hunter + "\n",
		"base64": "c2VjcmV0\n" + hunter + "!\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func load(t *testing.T, yaml string) (provider.Sources, error) {
	t.Helper()
	f, err := config.Parse("onhook.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	return provider.LoadSources(f)
}

func TestSourcesErrors(t *testing.T) {
	t.Parallel()
	const (
		badName   = "a source's name stands in its URL: use lower-case letters, digits, - and _, 64 at most"
		badToken  = "a token stands in the URL's path: use letters, digits and -._~ only, and not . or .. alone"
		badRate   = "want 0.001 to 1000000 deliveries per second, or 0 for no limit"
		badBase64 = "scheme base64 wants a secret in base64; copy it from Altur whole, or leave the scheme out if it is not one"
		open      = "the source has neither secrets nor a token, so anybody may post to it; give it one, or say insecure: true"
		shut      = "the source has secrets or a token; take insecure away"
		both      = "set the secret or the file that holds it, not both"
		signsNone = "cllr signs nothing; give the source a token, which is part of its URL"
	)
	dir := files(t)
	for name, tt := range map[string]struct{ yaml, want string }{
		"upper case in the name": {"sources:\n  Leads: {provider: cllr, token: hunter2}\n", "onhook.yaml:2: sources.Leads: " + badName},
		"slash in the name":      {"sources:\n  a/b: {provider: cllr, token: hunter2}\n", "onhook.yaml:2: sources.a/b: " + badName},
		"hyphen first":           {"sources:\n  -a: {provider: cllr, token: hunter2}\n", "onhook.yaml:2: sources.-a: " + badName},
		"empty name":             {"sources:\n  \"\": {provider: cllr, token: hunter2}\n", "onhook.yaml:2: sources.: " + badName},
		"long name": {"sources:\n  " + strings.Repeat("a", 65) + ": {provider: cllr, token: hunter2}\n",
			"onhook.yaml:2: sources." + strings.Repeat("a", 65) + ": " + badName},
		"reserved name": {"sources:\n  unknown: {provider: cllr, token: hunter2}\n",
			"onhook.yaml:2: sources.unknown: the name stands for requests to no source in the metrics; choose another"},

		"no provider":      {"sources:\n  a:\n    token: hunter2\n", `onhook.yaml:2: sources.a.provider: there is no provider ""; there are altur, cllr, synthflow`},
		"unknown provider": {"sources:\n  a:\n    token: hunter2\n    provider: twilio\n", `onhook.yaml:4: sources.a.provider: there is no provider "twilio"; there are altur, cllr, synthflow`},

		"neither secret nor token": {"sources:\n  a:\n    provider: altur\n", "onhook.yaml:2: sources.a.insecure: " + open},
		"the same, said":           {"sources:\n  a:\n    provider: cllr\n    insecure: false\n", "onhook.yaml:4: sources.a.insecure: " + open},
		"an empty list":            {"sources:\n  a:\n    provider: synthflow\n    secrets: []\n", "onhook.yaml:2: sources.a.insecure: " + open},
		"insecure with a secret":   {"sources:\n  a:\n    provider: altur\n    secrets: hunter2\n    insecure: true\n", "onhook.yaml:5: sources.a.insecure: " + shut},
		"insecure with a token":    {"sources:\n  a:\n    provider: cllr\n    insecure: true\n    token: hunter2\n", "onhook.yaml:4: sources.a.insecure: " + shut},
		"insecure with a file":     {"sources:\n  a:\n    provider: cllr\n    insecure: true\n    token_file: {dir}/two\n", "onhook.yaml:4: sources.a.insecure: " + shut},

		"secrets of none":        {"sources:\n  a:\n    provider: cllr\n    secrets: hunter2\n", "onhook.yaml:4: sources.a.secrets: " + signsNone},
		"secrets beside a token": {"sources:\n  a:\n    provider: cllr\n    token: hunter2\n    secrets: [hunter2]\n", "onhook.yaml:5: sources.a.secrets: " + signsNone},
		"secrets and file":       {"sources:\n  a:\n    provider: altur\n    secrets: hunter2\n    secrets_file: {dir}/two\n", "onhook.yaml:5: sources.a.secrets_file: " + both},
		"token and file":         {"sources:\n  a:\n    provider: cllr\n    token_file: {dir}/two\n    token: hunter2\n", "onhook.yaml:4: sources.a.token_file: " + both},
		"no secrets file": {"sources:\n  a:\n    provider: altur\n    secrets_file: {dir}/none\n",
			"onhook.yaml:4: sources.a.secrets_file: cannot read secret file {dir}/none: no such file or directory"},
		"empty token file": {"sources:\n  a:\n    provider: cllr\n    token_file: {dir}/empty\n",
			"onhook.yaml:4: sources.a.token_file: secret file {dir}/empty is empty; write one secret per line, newest first"},

		"unknown scheme":    {"sources:\n  a:\n    provider: altur\n    secrets: hunter2\n    scheme: sha1\n", `onhook.yaml:5: sources.a.scheme: altur has no scheme "sha1"; it has ["auto" "hex" "base64"]`},
		"another's scheme":  {"sources:\n  a:\n    provider: synthflow\n    secrets: hunter2\n    scheme: hex\n", `onhook.yaml:5: sources.a.scheme: synthflow has no scheme "hex"; it has ["base64"]`},
		"scheme of nothing": {"sources:\n  a:\n    provider: cllr\n    token: hunter2\n    scheme: hex\n", "onhook.yaml:5: sources.a.scheme: cllr signs nothing and has no schemes; take scheme away"},
		"secret that is not base64": {"sources:\n  a:\n    provider: altur\n    scheme: base64\n    secrets: [aHVudGVy, hunter2 text]\n",
			"onhook.yaml:5: sources.a.secrets: secret 2 of 2: " + badBase64},
		"no base64 in a file": {"sources:\n  a:\n    provider: altur\n    scheme: base64\n    secrets_file: {dir}/base64\n",
			"onhook.yaml:2: sources.a.secrets: secret 2 of 2: " + badBase64},

		"slash in a token":   {"sources:\n  a:\n    provider: cllr\n    token: hunter2/x\n", "onhook.yaml:4: sources.a.token: " + badToken},
		"accent in a token":  {"sources:\n  a:\n    provider: cllr\n    token: hunter2ñ\n", "onhook.yaml:4: sources.a.token: " + badToken},
		"newline in a token": {"sources:\n  a:\n    provider: cllr\n    token: \"hunter2\\n\"\n", "onhook.yaml:4: sources.a.token: " + badToken},
		"plus in a token":    {"sources:\n  a:\n    provider: altur\n    secrets: hunter2\n    token: [hunter2, hunter2+]\n", "onhook.yaml:5: sources.a.token: " + badToken},
		"semicolon":          {"sources:\n  a:\n    provider: cllr\n    token: hunter2;x\n", "onhook.yaml:4: sources.a.token: " + badToken},
		"backslash":          {"sources:\n  a:\n    provider: cllr\n    token: hunter2\\x\n", "onhook.yaml:4: sources.a.token: " + badToken},
		"a dot":              {"sources:\n  a:\n    provider: cllr\n    token: .\n", "onhook.yaml:4: sources.a.token: " + badToken},
		"two dots":           {"sources:\n  a:\n    provider: cllr\n    token: ..\n", "onhook.yaml:4: sources.a.token: " + badToken},
		"space in a file":    {"sources:\n  a:\n    provider: cllr\n    token_file: {dir}/spaced\n", "onhook.yaml:2: sources.a.token: " + badToken},

		"negative rate":   {"sources:\n  a:\n    provider: cllr\n    token: hunter2\n    rate_limit: -1\n", "onhook.yaml:5: sources.a.rate_limit: " + badRate},
		"rate too low":    {"sources:\n  a:\n    provider: cllr\n    token: hunter2\n    rate_limit: 0.0009\n", "onhook.yaml:5: sources.a.rate_limit: " + badRate},
		"rate too high":   {"sources:\n  a:\n    provider: cllr\n    token: hunter2\n    rate_limit: 1e7\n", "onhook.yaml:5: sources.a.rate_limit: " + badRate},
		"negative burst":  {"sources:\n  a:\n    provider: cllr\n    token: hunter2\n    burst: -1\n", "onhook.yaml:5: sources.a.burst: cannot be negative"},
		"unknown key":     {"sources:\n  a:\n    provider: cllr\n    tokn: hunter2\n", `onhook.yaml:4: unknown key "tokn" in sources.a; did you mean "token"?`},
		"several sources": {"sources:\n  b: {provider: cllr}\n  a:\n    provider: cllr\n    token: hunter2 x\n    burst: -1\n", "onhook.yaml:5: sources.a.token: " + badToken + "\nonhook.yaml:6: sources.a.burst: cannot be negative\nonhook.yaml:2: sources.b.insecure: " + open},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := strings.NewReplacer("{dir}", dir)
			_, err := load(t, in.Replace(tt.yaml))
			if err == nil {
				t.Fatalf("no error, want %s", tt.want)
			}
			if diff := cmp.Diff(in.Replace(tt.want), err.Error()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if strings.Contains(err.Error(), hunter) {
				t.Errorf("a secret is in the error: %v", err)
			}
			if _, ok := errors.AsType[*config.Error](err); !ok {
				t.Errorf("%T is no *config.Error", err)
			}
		})
	}
}

func TestSourcesThatAreFine(t *testing.T) {
	t.Parallel()
	dir := files(t)
	for name, tt := range map[string]struct {
		yaml string
		want provider.Sources
	}{
		"no section":         {"", provider.Sources{}},
		"an empty section":   {"sources:\n", provider.Sources{}},
		"a secret":           {"{provider: altur, secrets: any text}", provider.Sources{"a": {Provider: "altur", Secrets: config.Secrets{"any text"}}}},
		"text under auto":    {"{provider: altur, scheme: auto, secrets: any text}", provider.Sources{"a": {Provider: "altur", Scheme: "auto", Secrets: config.Secrets{"any text"}}}},
		"text under hex":     {"{provider: altur, scheme: hex, secrets: any text}", provider.Sources{"a": {Provider: "altur", Scheme: "hex", Secrets: config.Secrets{"any text"}}}},
		"base64":             {"{provider: altur, scheme: base64, secrets: c2VjcmV0}", provider.Sources{"a": {Provider: "altur", Scheme: "base64", Secrets: config.Secrets{"c2VjcmV0"}}}},
		"text for Synthflow": {"{provider: synthflow, scheme: base64, secrets: any text}", provider.Sources{"a": {Provider: "synthflow", Scheme: "base64", Secrets: config.Secrets{"any text"}}}},
		"a token alone":      {"{provider: altur, token: A-Za.z0_9~}", provider.Sources{"a": {Provider: "altur", Token: config.Secrets{"A-Za.z0_9~"}}}},
		"three dots":         {"{provider: cllr, token: [..., a..b]}", provider.Sources{"a": {Provider: "cllr", Token: config.Secrets{"...", "a..b"}}}},
		"insecure":           {"{provider: cllr, insecure: true}", provider.Sources{"a": {Provider: "cllr", Insecure: true}}},
		"files": {"{provider: altur, secrets_file: {dir}/two, token_file: {dir}/two}", provider.Sources{"a": {
			Provider: "altur", Secrets: config.Secrets{"hunter2-new", "hunter2-old"}, Token: config.Secrets{"hunter2-new", "hunter2-old"},
		}}},
		"limits": {"{provider: cllr, insecure: true, rate_limit: 0.001, burst: 5}", provider.Sources{"a": {Provider: "cllr", Insecure: true, RateLimit: 0.001, Burst: 5}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			yaml := tt.yaml
			if strings.HasPrefix(yaml, "{") {
				yaml = "sources:\n  a: " + yaml
			}
			got, err := load(t, strings.ReplaceAll(yaml, "{dir}", dir))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if err := got.Validate(); err != nil {
				t.Errorf("a second time: %v", err)
			}
		})
	}
}
