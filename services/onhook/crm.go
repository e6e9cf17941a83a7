package onhook

import (
	"context"
	"fmt"
	"net/url"
)

type crmCmd struct {
	Remove crmRemoveCmd `cmd:"" help:"Delete the consumer of a CRM sink that is configured no more, with the calls that wait for it."`
}

type crmRemoveCmd struct {
	client
	Sink string `arg:"" help:"The sink's name, as it was in section crm."`
}

// Run deletes the consumer.
func (c *crmRemoveCmd) Run(ctx context.Context, t terminal) error {
	var r removed
	if err := c.delete(ctx, "/v1/crm/"+url.PathEscape(c.Sink), &r); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(t.out, r)
	}
	_, err := fmt.Fprintf(t.out, "removed %s; %d calls had waited for it. Its dead messages stay until they are discarded\n", c.Sink, r.Unsettled)
	return err
}
