package tlsfile_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/onhook/onhook/pkg/tlsfile"
	"github.com/onhook/onhook/pkg/tlsfile/tlstest"
)

func TestANewPairIsTakenAndABrokenOneIsNot(t *testing.T) {
	t.Parallel()
	ca := tlstest.NewAuthority(t)
	files, dir := ca.Mount(t, "first")
	broken, _ := ca.Issue(t, "broken")
	_, other := ca.Issue(t, "other")
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zapcore.DebugLevel)
		pair, err := tlsfile.Open(tlsfile.Config{CertFile: files.Cert, KeyFile: files.Key}, zap.New(core))
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			what   string
			change func()
			later  time.Duration
			want   string // whose certificate is in use
			says   int    // log lines by then
		}{
			{"at the start", func() {}, 0, "first", 0},
			{"too soon to look", func() { ca.Swap(t, dir, "second") }, time.Second / 2, "first", 0},
			{"a new pair", func() {}, time.Second, "second", 1},
			{"the same pair", func() {}, time.Second, "second", 1},
			{"another's key", func() { tlstest.Swap(t, dir, map[string][]byte{"tls.crt": broken, "tls.key": other}) }, time.Second, "second", 2},
			{"still another's key", func() {}, time.Hour, "second", 2},
			{"no certificate", func() { tlstest.Swap(t, dir, map[string][]byte{"tls.crt": []byte("none"), "tls.key": other}) }, time.Second, "second", 3},
			{"no files", func() { tlstest.Swap(t, dir, nil) }, time.Second, "second", 4},
			{"a right pair", func() { ca.Swap(t, dir, "third") }, time.Second, "third", 5},
			{"written in place", func() {
				cert, key := ca.Issue(t, "fourth")
				write(t, files.Cert, cert)
				write(t, files.Key, key)
			}, time.Second, "fourth", 6},
		} {
			step.change()
			<-time.After(step.later)
			if got := pair.Current().Leaf.Subject.CommonName; got != step.want || logs.Len() != step.says {
				t.Fatalf("%s: %s, %d lines: %v", step.what, got, logs.Len(), logs.All())
			}
		}
		for _, line := range logs.FilterLevelExact(zapcore.ErrorLevel).All() {
			if text, _ := line.ContextMap()["error"].(string); !strings.Contains(text, files.Cert) || strings.Contains(text, "PRIVATE") {
				t.Error(text)
			}
		}
	})
}

func TestValidateNamesTheFileAndWhatToDo(t *testing.T) {
	t.Parallel()
	ca := tlstest.NewAuthority(t)
	files, _ := ca.Mount(t, "a")
	others, _ := ca.Mount(t, "b")
	missing := filepath.Join(t.TempDir(), "missing.pem")
	for name, tt := range map[string]struct {
		cfg  tlsfile.Config
		says []string // nothing: it is right
	}{
		"none":           {},
		"right":          {tlsfile.Config{CertFile: files.Cert, KeyFile: files.Key}, nil},
		"no key":         {tlsfile.Config{CertFile: files.Cert}, []string{"key_file", "name the key"}},
		"no certificate": {tlsfile.Config{KeyFile: files.Key}, []string{"cert_file", "name the certificate"}},
		"missing":        {tlsfile.Config{CertFile: missing, KeyFile: files.Key}, []string{"cert_file: cannot read " + missing + ": no such file"}},
		"missing key":    {tlsfile.Config{CertFile: files.Cert, KeyFile: missing}, []string{"key_file: cannot read " + missing}},
		"another's key":  {tlsfile.Config{CertFile: files.Cert, KeyFile: others.Key}, []string{files.Cert, others.Key, "does not match"}},
		"not PEM":        {tlsfile.Config{CertFile: files.Key, KeyFile: files.Key}, []string{files.Key, "PEM"}},
	} {
		err := tt.cfg.Validate()
		if (err == nil) != (tt.says == nil) {
			t.Errorf("%s: %v", name, err)
		}
		for _, text := range tt.says {
			if err != nil && !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %v does not say %q", name, err, text)
			}
		}
	}
}

func TestRootsNameTheirFile(t *testing.T) {
	t.Parallel()
	files, _ := tlstest.NewAuthority(t).Mount(t, "a")
	if _, err := tlsfile.Roots(files.CA); err != nil {
		t.Error(err)
	}
	for _, path := range []string{files.Key, files.CA + ".missing"} {
		if _, err := tlsfile.Roots(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
