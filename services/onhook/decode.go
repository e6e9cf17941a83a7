package onhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/provider"
	"github.com/onhook/onhook/pkg/service"
	"github.com/onhook/onhook/schemas"
)

type decodeCmd struct {
	Provider string `arg:"" help:"altur, cllr or synthflow."`
	File     string `arg:"" help:"The payload; - reads standard input."`
	Source   string `help:"The source to put in the call; the provider's name if not given."`
	Validate bool   `help:"Hold payload and call to their JSON schemas too."`
	JSON     bool   `help:"Print JSON, as it does anyway." name:"json" hidden:""`
}

// Run prints the call that a payload decodes to.
func (c *decodeCmd) Run(t terminal) error {
	p, ok := provider.Lookup(c.Provider)
	if !ok {
		return &service.UsageError{Err: fmt.Errorf("there is no provider %q; there are %s", c.Provider, strings.Join(provider.Names(), ", "))}
	}
	body, err := readFile(c.File)
	if err != nil {
		return err
	}
	if p.Refuse != nil {
		if err := p.Refuse(body); err != nil {
			return fmt.Errorf("%s: ingress refuses it: %w", c.File, err)
		}
	}
	source := c.Source
	if source == "" {
		source = p.Name
	}
	k, err := p.Call(source, body)
	if errors.Is(err, provider.ErrIgnored) {
		return fmt.Errorf("%s: authentic, but not about one call: it would be acknowledged and ignored: %w", c.File, err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	if c.Validate {
		if err := validate(body, k); err != nil {
			return fmt.Errorf("%s: %w", c.File, err)
		}
	}
	return printJSON(t.out, k)
}

func readFile(path string) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(path)
}

// validate holds a payload to its version's schema, and its call to the call's.
func validate(body []byte, k *call.Call) error {
	encoded, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return errors.Join(
		validateAgainst("provider/"+k.PayloadVersion+".schema.json", body),
		validateAgainst("call.schema.json", encoded),
	)
}

func validateAgainst(path string, doc []byte) error {
	raw, err := schemas.FS.ReadFile(path)
	if err != nil {
		return err
	}
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(path, schema); err != nil {
		return err
	}
	compiled, err := compiler.Compile(path)
	if err != nil {
		return err
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		return err
	}
	return compiled.Validate(v)
}
