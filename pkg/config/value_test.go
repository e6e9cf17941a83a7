package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/onhook/onhook/pkg/config"
)

// A value is read without the secrets beside it, whose variables this process has not.
func TestAValueIsReadWithoutTheRestOfItsSection(t *testing.T) {
	t.Parallel()
	f, err := config.Parse("onhook.yaml", []byte("crm:\n  a: {token: \"${NOT_HERE}\", every: 3s}\n  b: {every: often}\n  c:\n"))
	if err != nil {
		t.Fatal(err)
	}
	for sink, want := range map[string]time.Duration{"a": 3 * time.Second, "c": time.Second, "d": time.Second} {
		got := time.Second // the default
		if err := f.Value(&got, "crm", sink, "every"); err != nil || got != want {
			t.Errorf("%s: %v, %v", sink, got, err)
		}
	}
	var got time.Duration
	if err := f.Value(&got, "crm", "b", "every"); err == nil || !strings.HasPrefix(err.Error(), "onhook.yaml:3: crm.b.every: want a duration") {
		t.Error(err)
	}
}
