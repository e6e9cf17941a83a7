package onhook

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/service"
)

type deadCmd struct {
	List    deadListCmd    `cmd:"" help:"List dead messages, oldest first."`
	Show    deadShowCmd    `cmd:"" help:"Show one dead message with its body."`
	Redrive deadRedriveCmd `cmd:"" help:"Hand dead messages back to the worker that gave them up."`
	Discard deadDiscardCmd `cmd:"" help:"Delete dead messages for good."`
}

type deadListCmd struct {
	client
	Consumer string `help:"Of this consumer only."`
	Limit    int    `help:"At most so many." default:"1000"`
}

// Run lists dead messages.
func (c *deadListCmd) Run(ctx context.Context, t terminal) error {
	if c.Limit < 1 {
		return &service.UsageError{Err: errors.New("--limit starts at 1")}
	}
	q := url.Values{"limit": {strconv.Itoa(c.Limit)}}
	if c.Consumer != "" {
		q.Set("consumer", c.Consumer)
	}
	dead := []bus.Dead{}
	if err := c.get(ctx, "/v1/dead", q, &dead); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(t.out, dead)
	}
	tw := table(t.out, "SEQ", "TIME", "CONSUMER", "SOURCE", "ATTEMPTS", "ORIGIN", "REASON")
	for _, d := range dead {
		row(tw, strconv.FormatUint(d.Seq, 10), d.Time.UTC().Format("2006-01-02 15:04:05Z"), d.Consumer, d.Source, strconv.Itoa(d.Attempts), d.Origin, d.Reason)
	}
	if err := tw.Flush(); err != nil || len(dead) < c.Limit {
		return err
	}
	_, err := fmt.Fprintf(t.err, "these are the oldest %d; --limit shows more\n", c.Limit)
	return err
}

type deadShowCmd struct {
	client
	Seq uint64 `arg:"" help:"The message's sequence number, from dead list."`
}

// Run shows one dead message.
func (c *deadShowCmd) Run(ctx context.Context, t terminal) error {
	var d deadWithBody
	if err := c.get(ctx, "/v1/dead/"+strconv.FormatUint(c.Seq, 10), nil, &d); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(t.out, d)
	}
	_, err := fmt.Fprintf(t.out, "seq       %d\nconsumer  %s\nsource    %s\norigin    %s\ntime      %s\nattempts  %d\nreason    %s\nsize      %d bytes\n\n%s\n",
		d.Seq, d.Consumer, plain(d.Source), d.Origin, d.Time.UTC().Format(time.RFC3339), d.Attempts, plain(d.Reason), d.Size, plain(d.Body))
	return err
}

// chosen is the dead messages that a command is about.
type chosen struct {
	client
	Seqs     []uint64 `arg:"" optional:"" name:"seq" help:"Sequence numbers, from dead list."`
	Consumer string   `help:"All dead messages of this consumer."`
}

// do has the API do a thing to the chosen messages.
func (c *chosen) do(ctx context.Context, t terminal, path, done string) error {
	if (len(c.Seqs) == 0) == (c.Consumer == "") {
		return &service.UsageError{Err: errors.New("give either sequence numbers or --consumer")}
	}
	all := handled{Seqs: []uint64{}}
	var err error
	for sel := range c.pages(&all) {
		var h handled
		if err = c.post(ctx, path, sel, &h); err != nil {
			break
		}
		all.Seqs = append(all.Seqs, h.Seqs...)
		all.Next, all.Until = h.Next, h.Until
	}
	if err != nil && len(all.Seqs) > 0 {
		err = fmt.Errorf("%s %d, then: %w", done, len(all.Seqs), err)
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(t.out, handled{Seqs: all.Seqs})
	}
	_, err = fmt.Fprintf(t.out, "%s %d\n", done, len(all.Seqs))
	return err
}

// pages is the selection in parts that a request can handle, going on from what the last one answered.
func (c *chosen) pages(answered *handled) iter.Seq[selection] {
	return func(yield func(selection) bool) {
		for part := range slices.Chunk(c.Seqs, deadPage) {
			if !yield(selection{Seqs: part}) {
				return
			}
		}
		if c.Consumer == "" || !yield(selection{Consumer: c.Consumer}) {
			return
		}
		for answered.Next > 0 && yield(selection{Consumer: c.Consumer, From: answered.Next, Until: answered.Until}) {
		}
	}
}

type deadRedriveCmd struct{ chosen }

// Run hands the messages back.
func (c *deadRedriveCmd) Run(ctx context.Context, t terminal) error {
	return c.do(ctx, t, "/v1/dead/redrive", "redriven")
}

type deadDiscardCmd struct{ chosen }

// Run deletes the messages.
func (c *deadDiscardCmd) Run(ctx context.Context, t terminal) error {
	return c.do(ctx, t, "/v1/dead/discard", "discarded")
}
