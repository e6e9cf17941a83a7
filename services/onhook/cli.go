// Package onhook is the one binary for people: `onhook run` composes every service in one process, and the other
// commands are the operator's.
package onhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/alecthomas/kong"

	"github.com/onhook/onhook/pkg/service"
)

// cli is the command line.
type cli struct {
	Run     runCmd     `cmd:"" help:"Run the whole pipeline in this process, with everything embedded that the configuration does not name."`
	Ops     opsCmd     `cmd:"" help:"Serve the operator's API of services that run apart, to those who have a token."`
	Send    sendCmd    `cmd:"" help:"Send signed sample webhooks, as a provider would."`
	Decode  decodeCmd  `cmd:"" help:"Decode a provider's payload from a file and print the call."`
	Calls   callsCmd   `cmd:"" help:"List or show stored calls."`
	CRM     crmCmd     `cmd:"" name:"crm" help:"Remove a CRM sink that is configured no more."`
	Dead    deadCmd    `cmd:"" help:"List, show, redrive or discard the messages that a worker gave up on."`
	Spool   spoolCmd   `cmd:"" help:"List or drain a spool that a stopped process has left on a disk."`
	Status  statusCmd  `cmd:"" help:"Show the streams and how far behind each consumer is."`
	Check   checkCmd   `cmd:"" help:"Check a configuration file, and the streams of the broker that it names."`
	Migrate migrateCmd `cmd:"" help:"Bring the database schema, and the settings of the streams, to this version."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

// terminal is where a command writes.
type terminal struct {
	out io.Writer // results
	err io.Writer // logs and progress
}

// Main runs the command that args name. Its errors are *service.UsageError for a command line or configuration that
// is wrong, and else what failed.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	exited := errors.New("help was printed")
	parser, err := kong.New(&cli{},
		kong.Name("onhook"),
		kong.Description("Takes the webhook that a voice platform fires when a call ends, answers once it is safely on disk, and stores each call once."),
		kong.UsageOnError(),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { panic(exited) }), // after --help: unwound below, as a library must not end the process
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(terminal{out: stdout, err: stderr}),
	)
	if err != nil {
		return err
	}
	return runParsed(parser, args, exited)
}

func runParsed(parser *kong.Kong, args []string, exited error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if p != exited { //nolint:errorlint // the very value that was thrown
				panic(p)
			}
			err = nil
		}
	}()
	if len(args) == 0 {
		args = []string{"--help"}
	}
	cmd, err := parser.Parse(args)
	if err != nil {
		return &service.UsageError{Err: fmt.Errorf("%w; --help shows how", err)}
	}
	return cmd.Run()
}

type versionCmd struct {
	JSON bool `help:"Print JSON." name:"json"`
}

// Run prints the version.
func (c *versionCmd) Run(t terminal) error {
	if c.JSON {
		return printJSON(t.out, map[string]string{"version": service.Version(), "revision": service.Revision(), "go_version": runtime.Version()})
	}
	_, err := fmt.Fprintf(t.out, "onhook %s (revision %s, %s)\n", service.Version(), service.Revision(), runtime.Version())
	return err
}
