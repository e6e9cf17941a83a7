package service

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/onhook/onhook/pkg/config"
	"github.com/onhook/onhook/pkg/trace"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// defaultGrace is more than a worker's own grace, and leaves a service inside the 30 seconds that Kubernetes gives it.
const defaultGrace = 15 * time.Second

// Options are what every process takes from its command line.
type Options struct {
	Config string // path of the configuration file; empty runs without one
	Admin  string // address of the admin listener; empty takes the section admin
	Ready  bool   // only ask the process that runs with these options whether it is ready
}

// ParseOptions reads --config, --admin and --ready, and the flags that define, which may be nil, adds.
// Its errors are flag.ErrHelp, after it wrote the help to output, and *UsageError.
func ParseOptions(name string, args []string, output io.Writer, define func(*flag.FlagSet)) (Options, error) {
	var o Options
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // Main prints the error; the help is printed below
	flags.StringVar(&o.Config, "config", "", "read this `file`, such as onhook.yaml")
	flags.StringVar(&o.Admin, "admin", "", "serve health and metrics on this `address`, whatever the file says")
	flags.BoolVar(&o.Ready, "ready", false, "start nothing; ask the process that runs with this configuration whether it is ready, and exit with 0 or 1")
	if define != nil {
		define(flags)
	}
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(output)
		flags.Usage()
		return o, err
	case err != nil:
		return o, &UsageError{Err: fmt.Errorf("%w; --help shows the flags", err)}
	case flags.NArg() > 0:
		return o, &UsageError{Err: fmt.Errorf("unexpected argument %q; --help shows the flags", flags.Arg(0))}
	}
	return o, nil
}

// Process is what a main has in hand before it builds its service.
type Process struct {
	Config  *config.File
	Log     *zap.Logger
	Metrics *prometheus.Registry
	Admin   *Admin
	Grace   time.Duration // for each part to stop; 15 seconds if not changed
	Tracer  *trace.Tracer // nil: tracing is off

	flush func(context.Context) error // exports the last spans; nil without a tracer of its own
}

// NewProcess reads the configuration, logs to logs as the section log says, and binds the admin listener. An address
// in o that is none is a *UsageError. With Options.Ready it asks that listener in place of binding it, and what it
// returns ends the process: Main gives status 0 for a process that is ready, and else says why it is not.
func NewProcess(o Options, logs io.Writer) (*Process, error) {
	if o.Admin != "" {
		if err := checkAddr(o.Admin); err != nil {
			return nil, &UsageError{Err: fmt.Errorf("--admin %q: %w", o.Admin, err)}
		}
	}
	file := config.Empty()
	if o.Config != "" {
		var err error
		if file, err = config.Load(o.Config); err != nil {
			return nil, err
		}
	}
	logging, admin := DefaultLogConfig(), DefaultAdminConfig()
	if err := errors.Join(file.Section("log", &logging), file.Section("admin", &admin)); err != nil {
		return nil, err
	}
	log, err := NewLogger(logging.Level, logs)
	if err != nil {
		return nil, err
	}
	if o.Admin != "" {
		admin.Listen = o.Admin
	}
	if o.Ready {
		return nil, probe(context.Background(), admin.Listen)
	}
	p := &Process{Config: file, Log: log, Metrics: prometheus.NewRegistry(), Grace: defaultGrace}
	if p.Tracer, p.flush, err = newTracer(context.Background(), log.Named("traces")); err != nil {
		return nil, err
	}
	if p.Admin, err = NewAdmin(admin.Listen, p.Metrics, log.Named("admin")); err != nil {
		return nil, err
	}
	return p, nil
}

// Run is Run with the admin listener around the parts: served until all of them have stopped, and not ready before
// the first of them is stopped. The parts' contexts have the tracer.
func (p *Process) Run(ctx context.Context, parts ...Part) error {
	p.Log.Info("starting", zap.String("version", Version()))
	ctx = trace.With(ctx, p.Tracer)
	all := []Part{{Name: "admin", Run: p.Admin.Run}}
	if p.flush != nil {
		all = append(all, Part{Name: "traces", Run: func(ctx context.Context) error { return exportTraces(ctx, p.flush, p.Log) }})
	}
	all = append(all, parts...)
	all = append(all, Part{Name: "readiness", Run: func(ctx context.Context) error {
		<-ctx.Done()
		p.Admin.Stopping()
		return nil
	}})
	return Run(ctx, p.Log, p.Grace, all...)
}
