package service

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Signals returns a context that ends with the first SIGINT or SIGTERM. A second one then kills the process at once,
// as it would have without us. The returned function ends the context and releases the signals.
func Signals(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		var cause error
		select {
		case s := <-signals:
			cause = fmt.Errorf("received signal %s", s)
		case <-ctx.Done():
		}
		signal.Stop(signals) // before the context ends: whoever sees that it has ended can rely on the second signal
		cancel(cause)
	}()
	return ctx, func() { cancel(nil) }
}
