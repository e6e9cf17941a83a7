// Command connect is Redpanda Connect with those of its Apache-licensed components that deploy/bench compares onhook
// with. It takes the arguments of any Redpanda Connect: connect run config.yaml.
package main

import (
	"context"

	_ "github.com/lib/pq" // the driver that sql_insert calls postgres
	_ "github.com/redpanda-data/benthos/v4/public/components/io"
	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
	"github.com/redpanda-data/benthos/v4/public/service"
	_ "github.com/redpanda-data/connect/v4/public/components/nats"
	_ "github.com/redpanda-data/connect/v4/public/components/sql/base"
)

func main() { service.RunCLI(context.Background()) }
