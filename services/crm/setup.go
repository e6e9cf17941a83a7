package crm

import (
	"context"
	"fmt"

	"go.uber.org/zap"
)

// Setup makes what the sink of that name needs in its account, and says what it made and what is left for an admin to do.
// An error says why the account cannot take calls yet. It needs no broker.
func (c Config) Setup(ctx context.Context, name string, log *zap.Logger) (done, todo []string, err error) {
	one, err := c.Only(name)
	if err != nil {
		return nil, nil, err
	}
	k, err := kindOf(one[name].Kind)
	if err != nil {
		return nil, nil, err
	}
	client, err := k.open(one[name].client, deps{name: name, log: log})
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
