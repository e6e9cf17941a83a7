package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Outage is why a consumer's worker waits. It is kept where every process can read it, for `onhook status`, and passes
// by itself when the worker does not renew it.
type Outage struct {
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
}

// OutageRenewal is how often a worker that waits says so again.
const OutageRenewal = time.Minute

// SetOutage says that the worker of c waits, or with nil that it works.
func (b *Bus) SetOutage(ctx context.Context, c Consumer, o *Outage) error {
	var short *Outage // null: it works
	if o != nil {
		short = &Outage{Reason: headerText(o.Reason), Since: o.Since.UTC()}
	}
	data, err := json.Marshal(short)
	if err != nil {
		return err
	}
	m := nats.NewMsg(b.prefix + outageSubject(c.Name))
	m.Data = data
	return b.publish(ctx, m, "outage:"+c.Name+":"+strconv.FormatInt(time.Now().UnixNano(), 10))
}

// outageOf is why the worker of c waits, or nil, and when it said so last.
func (b *Bus) outageOf(ctx context.Context, c Consumer) (o *Outage, said time.Time, err error) {
	st, err := b.js.Stream(ctx, b.prefix+outages)
	if err != nil {
		return nil, said, fmt.Errorf("stream %s: %w", b.prefix+outages, err)
	}
	raw, err := st.GetLastMsgForSubject(ctx, b.prefix+outageSubject(c.Name))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, said, nil
	}
	if err != nil {
		return nil, said, err
	}
	if err := json.Unmarshal(raw.Data, &o); err != nil {
		return nil, said, fmt.Errorf("stream %s: %w", b.prefix+outages, err)
	}
	if o == nil {
		return nil, said, nil
	}
	return o, raw.Time, nil
}
