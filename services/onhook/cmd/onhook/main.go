// Command onhook runs the whole pipeline in one process, and holds the operator's commands.
package main

import (
	"context"
	"os"
	_ "time/tzdata" // an image from scratch has none

	_ "golang.org/x/crypto/x509roots/fallback" // where the system has no root certificates: an image from scratch

	"github.com/onhook/onhook/pkg/service"
	"github.com/onhook/onhook/services/onhook"
)

func main() {
	service.Main("onhook", func(ctx context.Context) error {
		return onhook.Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
	})
}
