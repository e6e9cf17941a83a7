package ingress

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/pkg/spool"
	"github.com/onhook/onhook/pkg/tlsfile"
)

// Config is section ingress of onhook.yaml.
type Config struct {
	Listen      string         `yaml:"listen"`       // host:port
	MaxBody     config.Size    `yaml:"max_body"`     // of one delivery; what no message can hold goes through the object store
	MaxInFlight config.Size    `yaml:"max_inflight"` // of all bodies that are being received and stored
	AckBudget   time.Duration  `yaml:"ack_budget"`   // from the request's header to its answer
	ReadTimeout time.Duration  `yaml:"read_timeout"` // for the header, and for header and body together
	IdleTimeout time.Duration  `yaml:"idle_timeout"` // between two requests of a connection
	TLS         tlsfile.Config `yaml:"tls"`          // speaks https; plain HTTP without
	Spool       spool.Config   `yaml:"spool"`        // where deliveries are kept while the broker is away
}

// DefaultConfig answers within every provider's 10 seconds.
func DefaultConfig() Config {
	return Config{
		Listen:      "127.0.0.1:8080",
		MaxBody:     32 << 20,
		MaxInFlight: 128 << 20,
		AckBudget:   8 * time.Second,
		ReadTimeout: 6 * time.Second,
		IdleTimeout: 2 * time.Minute,
		Spool:       spool.DefaultConfig(),
	}
}

// Validate says what is wrong with c.
func (c *Config) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, config.At(fmt.Errorf(format, args...), key))
	}
	if c.MaxBody < 1 || c.MaxBody > bus.MaxBody {
		bad("max_body", "it is %v; give a size such as 32MiB, and 64MiB at most", c.MaxBody)
	}
	if c.MaxInFlight < c.MaxBody {
		bad("max_inflight", "it is %v, less than one body of max_body (%v)", c.MaxInFlight, c.MaxBody)
	}
	for _, d := range []struct {
		key string
		v   time.Duration
	}{{"ack_budget", c.AckBudget}, {"read_timeout", c.ReadTimeout}, {"idle_timeout", c.IdleTimeout}} {
		if d.v <= 0 {
			bad(d.key, "it is %v; give a positive time", d.v)
		}
	}
	if c.AckBudget > 10*time.Second {
		bad("ack_budget", "it is %v; the providers give up after 10s", c.AckBudget)
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		bad("listen", "give host:port, such as 127.0.0.1:8080")
	}
	if c.ReadTimeout > c.AckBudget {
		bad("read_timeout", "it is %v, more than ack_budget (%v): what arrives that late could not be stored in time", c.ReadTimeout, c.AckBudget)
	}
	errs = append(errs, config.At(c.TLS.Validate(), "tls"))
	if c.Spool.Dir != "" {
		errs = append(errs, c.validateSpool())
	}
	return errors.Join(errs...)
}

func (c *Config) validateSpool() error {
	if err := c.Spool.Validate(); err != nil {
		return config.At(err, "spool")
	}
	var errs []error
	if c.Spool.After > c.AckBudget/2 {
		errs = append(errs, config.At(fmt.Errorf("it is %v, more than half of ack_budget (%v): what waits that long for the broker could not be spooled in time", c.Spool.After, c.AckBudget), "spool", "after"))
	}
	if c.Spool.MaxSize < c.MaxBody {
		errs = append(errs, config.At(fmt.Errorf("it is %v, less than one body of max_body (%v)", c.Spool.MaxSize, c.MaxBody), "spool", "max_size"))
	}
	return errors.Join(errs...)
}
