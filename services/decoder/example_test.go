package decoder

import (
	"errors"
	"testing"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/config"
)

// TestExampleIsRead reads what this service reads of the file that we ship, every key of which is at its default.
func TestExampleIsRead(t *testing.T) {
	t.Parallel()
	f, err := config.Load("../../deploy/onhook.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var cfg Config
	var nats bus.Config
	if err := errors.Join(f.Section("decoder", &cfg), f.Section("nats", &nats)); err != nil {
		t.Fatal(err)
	}
	if cfg != DefaultConfig() {
		t.Errorf("section decoder is %+v, the default is %+v", cfg, DefaultConfig())
	}
	if nats != bus.DefaultConfig() {
		t.Errorf("section nats is %+v, the default is %+v", nats, bus.DefaultConfig())
	}
}
