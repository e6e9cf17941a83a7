package config_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/onhook/onhook/pkg/config"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func TestSecretIsNeverPrinted(t *testing.T) {
	t.Parallel()
	const content = "hunter2"
	hidden := []string{content, fmt.Sprintf("%x", content), fmt.Sprintf("%X", content), fmt.Sprintf("% x", content), fmt.Sprint([]byte(content))}

	type holder struct {
		One  config.Secret  `json:"one" yaml:"one"`
		Ptr  *config.Secret `json:"ptr" yaml:"ptr"`
		Many config.Secrets `json:"many" yaml:"many"`
	}
	one := config.Secret(content)
	full := holder{One: one, Ptr: &one, Many: config.Secrets{one, one}}
	subjects := map[string]any{
		"secret": one, "pointer": &one, "secrets": full.Many, "pointer to secrets": &full.Many, "struct": full, "pointer to struct": &full,
		"map": map[string]config.Secret{"a": one}, "map of structs": map[string]holder{"a": full},
		"slice of any": []any{one, &one}, "error": fmt.Errorf("token %v", one),
	}
	check := func(t *testing.T, how, out string) {
		t.Helper()
		for _, h := range hidden {
			if strings.Contains(out, h) {
				t.Errorf("%s: %s", how, out)
			}
		}
	}
	for name, s := range subjects {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%c", "%U", "%10s", "%-20v", "%t", "no verb: an extra argument"} {
				check(t, verb, fmt.Sprintf(verb, s))
			}
			check(t, "print", fmt.Sprint(s)+fmt.Sprintln(s))
			asJSON, _ := json.Marshal(s)
			check(t, "json", string(asJSON))
			asYAML, _ := yaml.Marshal(s)
			check(t, "yaml", string(asYAML))
			asXML, _ := xml.Marshal(s)
			check(t, "xml", string(asXML))

			var logged bytes.Buffer
			core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(&logged), zap.DebugLevel)
			zap.New(core).Info("x", zap.Any("s", s), zap.Reflect("r", s))
			zap.New(core).Sugar().Infow("x", "s", s)
			slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "s", s)
			slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "s", s)
			check(t, "log", logged.String())
		})
	}
	if got := fmt.Sprintf("%v %s %q %#v", one, one, one, full.Many); !strings.HasPrefix(got, "*** *** *** ") {
		t.Errorf("printed as %s", got)
	}
	if one.Reveal() != content {
		t.Errorf("Reveal is %s", one.Reveal())
	}
}

func TestSecretFile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		content string
		want    config.Secrets
		err     string
	}{
		"one":              {"a", config.Secrets{"a"}, ""},
		"two":              {"new\nold\n", config.Secrets{"new", "old"}, ""},
		"white space":      {"\n new \t\r\n\r\n  \nold", config.Secrets{" new", "old"}, ""},
		"empty":            {"", nil, "is empty; write one secret per line, newest first"},
		"only white space": {" \n\t\r\n", nil, "is empty; write one secret per line, newest first"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "token")
			if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := config.Secrets(nil).OrFile(path)
			if c.err != "" {
				if want := "secret file " + path + " " + c.err; err == nil || err.Error() != want {
					t.Fatalf("got %v, want %s", err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want.Reveal(), got.Reveal()); diff != "" {
				t.Error(diff)
			}
		})
	}
	got, err := config.Secrets{"kept"}.OrFile("")
	if err != nil || len(got) != 1 || got[0] != "kept" {
		t.Errorf("%d secrets, %v", len(got), err)
	}
}
