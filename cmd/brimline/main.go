// Command brimline watches a PostgreSQL table's change stream and raises an
// alert at the very transaction that lifts a user's rolling total over a limit.
//
// Each command has a file of its own here, with its flags and its help; the
// work is done by the packages below internal.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/config"
)

func main() { os.Exit(execute(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// commands are what can be said on the command line.
type commands struct {
	ConfigFile string `name:"config" help:"Settings file; default ${file_here}, else ${file_demo} as written by demo." env:"BRIMLINE_CONFIG" placeholder:"FILE"`

	Demo       demoCmd       `cmd:"" help:"See it work: everything on this machine, with made-up transactions."`
	Run        runCmd        `cmd:"" help:"Run the stages: change stream in, verified alerts out."`
	Capture    captureCmd    `cmd:"" help:"Write a table's changes to Kafka, in place of Debezium."`
	User       userCmd       `cmd:"" help:"A user's totals as of now, for each rule."`
	Alerts     alertsCmd     `cmd:"" help:"List or follow alerts."`
	Status     statusCmd     `cmd:"" help:"Lag, rate and recovery, by group and partition."`
	Ready      readyCmd      `cmd:"" help:"Whether the instance here is ready, as an exit code."`
	Reset      resetCmd      `cmd:"" help:"Delete a group's topics, offsets and state, to start from the beginning."`
	Doctor     doctorCmd     `cmd:"" help:"Check Kafka, topics, PostgreSQL and the connector, with remedies."`
	Topology   topologyCmd   `cmd:"" help:"Show the flow: stages, topics, keys."`
	Rules      rulesCmd      `cmd:"" help:"Check a rules file."`
	Deadletter deadletterCmd `cmd:"" help:"List or retry records that could not be taken in."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
}

// BeforeResolve finds the settings file, which kong asks for the flags that
// neither the command line nor the environment gives.
func (c *commands) BeforeResolve(ctx *kong.Context) error {
	path := ""
	for _, f := range ctx.Model.Flags {
		if f.Name == "config" {
			path, _ = ctx.FlagValue(f).(string)
		}
	}
	file, err := config.Find(path)
	if err == nil && file != nil {
		ctx.AddResolver(file)
	}
	return err
}

// world is what a command has besides its flags.
type world struct {
	context.Context // ends at the first SIGINT or SIGTERM

	in       io.Reader
	out, err io.Writer
}

// logger writes to standard error as the flags say.
func (w *world) logger(l *config.Logging) *slog.Logger { return l.Logger(w.err) }

func execute(args []string, in io.Reader, stdout, stderr io.Writer) int {
	out, errOut := &output{to: stdout}, &output{to: stderr}
	exit := -1
	parser, err := kong.New(&commands{},
		kong.Name("brimline"),
		kong.Description("Watches a PostgreSQL table's change stream and raises an alert at the very transaction that lifts a user's rolling total over a limit."),
		kong.Writers(out, errOut),
		kong.Exit(func(code int) { exit = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 110}),
		kong.Vars{
			"file_here": config.FileHere, "file_demo": config.FileDemo, "stages": "route, window, verify, index",
		},
	)
	if err != nil {
		report(errOut, err)
		return int(brimline.ClassRuntime)
	}
	ctx, err := parser.Parse(args)
	if exit >= 0 { // --help
		return exit
	}
	if err != nil {
		report(errOut, err)
		if parse, ok := errors.AsType[*kong.ParseError](err); ok && brimline.ExitCode(err) == int(brimline.ClassRuntime) {
			fmt.Fprintf(errOut, "Run \"%s --help\" to see what can be said.\n", called(parse.Context))
			return int(brimline.ClassInput)
		}
		return brimline.ExitCode(err)
	}
	w := &world{in: in, out: out, err: errOut}
	var stop func()
	w.Context, stop = signals()
	defer stop()
	var cancel context.CancelFunc
	w.Context, cancel = context.WithCancel(w.Context)
	defer cancel()
	out.stop = cancel // what is followed or watched has no end of its own
	err = ctx.Run(w)
	if failed := out.failure(); failed != nil {
		err = failed
	}
	if err != nil {
		report(errOut, err)
	}
	return brimline.ExitCode(err)
}

// called is the command as far as it was understood.
func called(ctx *kong.Context) string {
	if ctx != nil && ctx.Selected() != nil {
		return ctx.Selected().FullPath()
	}
	return "brimline"
}

// signals gives a context that ends at the first SIGINT or SIGTERM; the second
// ends the process at once.
func signals() (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ch := make(chan os.Signal, 2)
	signal.Notify(ch, syscall.SIGINT, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		for n := 0; ; n++ {
			select {
			case s := <-ch:
				if n > 0 {
					code := 130
					if s == syscall.SIGTERM {
						code = 143
					}
					os.Exit(code)
				}
				cancel()
			case <-done:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(ch)
		close(done)
		cancel()
	}
}

// report writes an error for people: what, on as many lines as there are
// problems, and what to do about it.
func report(w io.Writer, err error) {
	for _, e := range flatten(err) {
		b, ok := errors.AsType[*brimline.Error](e)
		if !ok {
			fmt.Fprintf(w, "brimline: error: %v\n", e)
			continue
		}
		where := ""
		if b.Where != "" {
			where = b.Where + ": "
		}
		for _, line := range strings.Split(b.Err.Error(), "\n") {
			fmt.Fprintf(w, "brimline: error: %s%s\n", where, line)
		}
		if b.Remedy != "" {
			fmt.Fprintf(w, "  remedy: %s\n", b.Remedy)
		}
	}
}

// flatten takes joined errors apart.
func flatten(err error) []error {
	if _, ok := err.(*brimline.Error); ok { //nolint:errorlint // goes down the chain itself
		return []error{err}
	}
	switch e := err.(type) { //nolint:errorlint // goes down the chain itself
	case interface{ Unwrap() []error }:
		var all []error
		for _, inner := range e.Unwrap() {
			all = append(all, flatten(inner)...)
		}
		return all
	case *kong.ParseError:
		return flatten(e.Unwrap())
	}
	return []error{err}
}
