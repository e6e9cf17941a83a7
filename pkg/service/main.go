package service

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/onhook/onhook/pkg/config"
)

// The exit statuses of every onhook process.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2 // the command line or the configuration is wrong: trying again is of no use
)

// UsageError is a fault in the command line.
type UsageError struct{ Err error }

// Error returns the message of Err.
func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *UsageError) Unwrap() error { return e.Err }

// Main runs a process until it is done or signalled to stop (see Signals), and exits: with status 0, with 1 after an
// error, or with 2 if the error is a *UsageError or *config.Error. The error goes to stderr as "name: error".
//
// A main is a few lines:
//
//	func main() { service.Main("onhook-decoder", run) }
//
//	func run(ctx context.Context) error {
//		opts, err := service.ParseOptions("onhook-decoder", os.Args[1:], os.Stdout, nil)
//		if err != nil {
//			return err
//		}
//		p, err := service.NewProcess(opts, os.Stderr)
//		if err != nil {
//			return err
//		}
//		… decode sections from p.Config, connect, build the service with p.Log and p.Metrics, p.Admin.AddCheck …
//		return p.Run(ctx, service.Part{Name: "decoder", Run: decoder.Run})
//	}
func Main(name string, run func(ctx context.Context) error) {
	ctx, stop := Signals(context.Background())
	err := run(ctx)
	status := report(name, os.Stderr, err)
	stop()
	os.Exit(status)
}

// unused is memory that nobody writes to, so the system never gives it. The collector takes it for in use.
var unused []byte

const unusedSize = 24 << 20

// CollectRarely saves a service that holds little and allocates much a tenth of its CPU. The collector waits until the heap
// has doubled, which takes twice unusedSize longer now, however large it is: a percentage, as in GOGC, would cost gigabytes
// under overload.
func CollectRarely() {
	unused = make([]byte, unusedSize)
	runtime.KeepAlive(unused)
}

// report prints err and returns the exit status.
func report(name string, stderr io.Writer, err error) int {
	if err == nil || errors.Is(err, flag.ErrHelp) || errors.Is(err, errReady) {
		return exitOK
	}
	for line := range strings.Lines(err.Error()) { // joined errors have a line each
		_, _ = fmt.Fprintf(stderr, "%s: %s\n", name, strings.TrimSuffix(line, "\n"))
	}
	_, usage := errors.AsType[*UsageError](err)
	_, configuration := errors.AsType[*config.Error](err)
	if usage || configuration {
		return exitUsage
	}
	return exitFailed
}
