package onhook

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/onhook/onhook/pkg/bus"
)

type statusCmd struct{ client }

// Run shows the streams and consumers.
func (c *statusCmd) Run(ctx context.Context, t terminal) error {
	var s status
	if err := c.get(ctx, "/v1/status", nil, &s); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(t.out, s)
	}
	tw := table(t.out, "STREAM", "MESSAGES", "BYTES", "REPLICAS")
	for _, st := range s.Streams {
		row(tw, st.Name, strconv.FormatUint(st.Messages, 10), strconv.FormatUint(st.Bytes, 10), strconv.Itoa(st.Replicas))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, st := range s.Streams {
		for i, d := range st.Differences {
			if i == 0 {
				_, _ = fmt.Fprintln(t.out)
			}
			_, _ = fmt.Fprintf(t.out, "%s: %s\n", d.Kind, d)
		}
	}
	verdict := "ok"
	if !s.Durability.OK {
		verdict = "NOT OK"
	}
	_, _ = fmt.Fprintf(t.out, "\ndurability %s: %s\n\n", verdict, s.Durability.Finding)
	tw = table(t.out, "CONSUMER", "STREAM", "PENDING", "IN HAND", "SCHEDULED", "OLDEST", "DEAD", "STATE")
	for _, k := range s.Consumers {
		row(tw, k.Name, k.Stream, strconv.FormatUint(k.Pending, 10), strconv.FormatUint(k.InHand, 10), strconv.FormatUint(k.Scheduled, 10),
			time.Duration(k.OldestSeconds*float64(time.Second)).Round(time.Millisecond).String(), strconv.FormatUint(k.Dead, 10), stateText(k))
	}
	return tw.Flush()
}

// stateText is why a consumer's messages wait, if there is a reason.
func stateText(c consumerStatus) string {
	var states []string
	if c.Orphan {
		sink := strings.TrimPrefix(c.Name, bus.CRM("").Name)
		states = append(states, "orphan: not configured here; `onhook crm remove "+sink+"` deletes it")
	}
	if c.Outage != nil {
		states = append(states, "stopped since "+c.Outage.Since.UTC().Format("2006-01-02 15:04:05Z")+": "+c.Outage.Reason)
	}
	if len(states) == 0 {
		return "ok"
	}
	return strings.Join(states, "; ")
}
