package ingress

import (
	"errors"
	"testing"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/pkg/provider"
)

// TestExampleIsRead reads what this service reads of the file that we ship, every key of which is at its default.
func TestExampleIsRead(t *testing.T) {
	t.Setenv("ALTUR_SECRET", "a")
	t.Setenv("SYNTHFLOW_SECRET", "s")
	t.Setenv("CLLR_TOKEN", "c")
	f, err := config.Load("../../deploy/onhook.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var cfg Config
	var nats bus.Config
	sources, err := provider.LoadSources(f)
	if err := errors.Join(err, f.Section("ingress", &cfg), f.Section("nats", &nats)); err != nil {
		t.Fatal(err)
	}
	if cfg != DefaultConfig() {
		t.Errorf("section ingress is %+v, the default is %+v", cfg, DefaultConfig())
	}
	if nats != bus.DefaultConfig() {
		t.Errorf("section nats is %+v, the default is %+v", nats, bus.DefaultConfig())
	}
	met := map[string]bool{}
	for name, s := range sources {
		if _, err := newSource(name, s); err != nil {
			t.Error(err)
		}
		met[s.Provider] = true
	}
	for _, name := range provider.Names() {
		if !met[name] {
			t.Errorf("the example has no source of %s", name)
		}
	}
}
