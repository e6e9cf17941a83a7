package onhook

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/services/crm"
)

type crmCmd struct {
	Setup  crmSetupCmd  `cmd:"" help:"Make what a CRM sink needs in its account, or say what an admin must make."`
	Remove crmRemoveCmd `cmd:"" help:"Delete the consumer of a CRM sink that is configured no more, with the calls that wait for it."`
}

type crmSetupCmd struct {
	Sink   string `arg:"" help:"The sink's name in section crm."`
	Config string `help:"The file with section crm." default:"onhook.yaml" placeholder:"FILE"`
	JSON   bool   `help:"Print JSON." name:"json"`
}

// Run asks the vendor, with the credentials of the file; no service need run.
func (c *crmSetupCmd) Run(ctx context.Context, t terminal) error {
	f, err := config.Load(c.Config)
	if err != nil {
		return err
	}
	if f, err = f.Keep("crm", c.Sink); err != nil { // without the other sinks' secrets
		return err
	}
	sinks := crm.Config{}
	if err := f.Section("crm", &sinks); err != nil {
		return err
	}
	done, todo, err := sinks.Setup(ctx, c.Sink, zap.NewNop())
	if c.JSON {
		return errors.Join(printJSON(t.out, map[string]any{"ok": err == nil, "done": append([]string{}, done...), "todo": append([]string{}, todo...)}), err)
	}
	for _, line := range done {
		_, _ = fmt.Fprintln(t.out, "made:", line)
	}
	for _, line := range todo {
		_, _ = fmt.Fprintln(t.out, "to do:", line)
	}
	if err != nil {
		return fmt.Errorf("the account of %s cannot take calls yet: %w", c.Sink, err)
	}
	_, err = fmt.Fprintf(t.out, "the account of %s is ready\n", c.Sink)
	return err
}

type crmRemoveCmd struct {
	client
	Sink  string `arg:"" help:"The sink's name, as it was in section crm."`
	Force bool   `help:"Also where a worker seems to hold calls of it or to wait for its sink, as after one was killed. One that runs would end, and calls that it holds be lost."`
}

// Run deletes the consumer.
func (c *crmRemoveCmd) Run(ctx context.Context, t terminal) error {
	var r removed
	path := "/v1/crm/" + url.PathEscape(c.Sink)
	if c.Force {
		path += "?force=true"
	}
	if err := c.delete(ctx, path, &r); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(t.out, r)
	}
	_, err := fmt.Fprintf(t.out, "removed %s; %d calls had waited for it. Its dead messages stay until they are discarded\n", c.Sink, r.Unsettled)
	return err
}
