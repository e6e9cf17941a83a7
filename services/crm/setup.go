package crm

import (
	"context"
	"fmt"
	"strings"

	"go.uber.org/zap"
)

// Setup makes what the sink of that name needs in its account, and says what it made and what is left for an admin to do.
// An error says why the account cannot take calls yet. It needs no broker.
func (c Config) Setup(ctx context.Context, name string, log *zap.Logger) (done, todo []string, err error) {
	s, ok := c[name]
	if !ok {
		return nil, nil, fmt.Errorf("there is no sink %q; there are %s", name, strings.Join(c.Names(), ", "))
	}
	k, err := kindOf(s.Kind)
	if err != nil {
		return nil, nil, err
	}
	client, err := k.open(s.client, deps{name: name, log: log})
	if err != nil {
		return nil, nil, err
	}
	account, ok := client.(interface {
		Setup(ctx context.Context) (done, todo []string, err error)
	})
	if !ok {
		return nil, nil, fmt.Errorf("%s needs nothing set up", k.name)
	}
	if done, todo, err = account.Setup(ctx); err == nil {
		err = client.Check(ctx)
	}
	return done, todo, err
}
