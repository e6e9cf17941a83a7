package onhook

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/pkg/service"
)

type callsCmd struct {
	List callsListCmd `cmd:"" help:"List calls, newest first."`
	Show callsShowCmd `cmd:"" help:"Show one call, and what became of it."`
}

type callsListCmd struct {
	client
	Source string `help:"Of this source only."`
	Status string `help:"With this status only, such as completed."`
	Phone  string `help:"With this customer only, as +521234567890."`
	Since  string `help:"Received since then: a duration such as 24h or 14d, or an RFC 3339 time." placeholder:"WHEN"`
	Limit  int    `help:"At most so many." default:"100"`
}

// Run lists calls.
func (c *callsListCmd) Run(ctx context.Context, t terminal) error {
	if c.Limit < 1 || c.Limit > maxRows {
		return &service.UsageError{Err: fmt.Errorf("--limit %d: want a number from 1 to %d", c.Limit, maxRows)}
	}
	q := url.Values{"limit": {strconv.Itoa(c.Limit)}}
	for name, v := range map[string]string{"source": c.Source, "status": c.Status, "phone": c.Phone} {
		if v != "" {
			q.Set(name, v)
		}
	}
	if c.Since != "" {
		since, err := moment(c.Since, time.Now())
		if err != nil {
			return err
		}
		q.Set("since", since.UTC().Format(time.RFC3339))
	}
	calls := []*call.Call{}
	if err := c.get(ctx, "/v1/calls", q, &calls); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(t.out, calls)
	}
	tw := table(t.out, "RECEIVED", "SOURCE", "CALL ID", "STATUS", "CUSTOMER", "DURATION")
	for _, k := range calls {
		row(tw, timeText(k.ReceivedAt), k.Source, k.CallID, string(k.Status), phoneText(k.CustomerPhone), durationText(k.DurationMS))
	}
	return tw.Flush()
}

type callsShowCmd struct {
	client
	Source string `arg:"" help:"The call's source."`
	CallID string `arg:"" help:"The provider's id of the call." name:"call-id"`
}

// Run shows one call with its timeline.
func (c *callsShowCmd) Run(ctx context.Context, t terminal) error {
	var k call.Call
	if err := c.get(ctx, "/v1/call", url.Values{"source": {c.Source}, "id": {c.CallID}}, &k); err != nil {
		return err
	}
	var steps []step
	if err := c.get(ctx, "/v1/call/timeline", url.Values{"source": {c.Source}, "id": {c.CallID}}, &steps); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(t.out, callWithTimeline{&k, steps})
	}
	tw := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	for _, f := range [][2]string{
		{"call", k.Key},
		{"event", string(k.Event)},
		{"status", wordText(string(k.Status), k.StatusRaw)},
		{"end reason", wordText(string(k.EndReason), k.EndReasonRaw)},
		{"answered by", wordText(string(k.AnsweredBy), k.AnsweredByRaw)},
		{"direction", string(k.Direction)},
		{"customer", phoneText(k.CustomerPhone)},
		{"started", timeText(k.StartedAt)},
		{"ended", timeText(k.EndedAt)},
		{"duration", durationText(k.DurationMS)},
		{"received", timeText(k.ReceivedAt)},
		{"sender", string(k.Auth)},
		{"delivery", k.DeliveryID + " (" + k.BodyRef + ")"},
	} {
		row(tw, f[0], f[1])
	}
	for name, v := range k.Extracted {
		row(tw, "extracted", name+" = "+string(v))
	}
	for _, w := range k.Warnings {
		row(tw, "warning", w)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(t.out)
	if err := printTimeline(t, steps); err != nil {
		return err
	}
	for _, turn := range k.Transcript.Turns {
		_, _ = fmt.Fprintf(t.out, "\n%s: %s", turn.Role, turn.Text)
	}
	_, err := fmt.Fprintln(t.out)
	return err
}

// moment reads a time, or how long before now it was.
func moment(s string, now time.Time) (time.Time, error) {
	if d, err := config.ParseDuration(s); err == nil {
		return now.Add(-d), nil
	}
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return at, &service.UsageError{Err: fmt.Errorf("--since %q is neither a duration such as 24h or 14d nor a time such as 2026-01-31T15:04:05Z", s)}
	}
	return at, nil
}

func table(w io.Writer, titles ...string) *tabwriter.Writer {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row(tw, titles...)
	return tw
}

// row writes one line of a table. Control characters of foreign text do not reach the terminal.
func row(w io.Writer, cells ...string) {
	for i, c := range cells {
		if i > 0 {
			_, _ = io.WriteString(w, "\t")
		}
		if c == "" {
			c = "-"
		}
		_, _ = io.WriteString(w, plain(c))
	}
	_, _ = io.WriteString(w, "\n")
}

// plain is s with everything that is not printable escaped.
func plain(s string) string {
	var b []byte
	for _, r := range s {
		if strconv.IsPrint(r) {
			b = append(b, string(r)...)
		} else {
			q := strconv.QuoteRuneToASCII(r)
			b = append(b, q[1:len(q)-1]...)
		}
	}
	return string(b)
}

func timeText(t *call.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

func durationText(ms *int64) string {
	if ms == nil {
		return ""
	}
	return (time.Duration(*ms) * time.Millisecond).String()
}

func phoneText(p *call.Phone) string {
	switch {
	case p == nil:
		return ""
	case p.E164 != "":
		return p.E164
	default:
		return p.Raw
	}
}

func wordText(word, raw string) string {
	if raw == "" || raw == word {
		return word
	}
	return word + " (" + raw + ")"
}
