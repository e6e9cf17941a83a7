// Command onhook runs the whole pipeline in one process, and holds the operator's commands.
package main

import (
	"context"
	"os"

	"github.com/onhook/onhook/pkg/service"
	"github.com/onhook/onhook/services/onhook"
)

func main() {
	service.Main("onhook", func(ctx context.Context) error {
		return onhook.Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
	})
}
