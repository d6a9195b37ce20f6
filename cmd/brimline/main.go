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
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/kafka"
)

func main() { os.Exit(execute(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// commands are the command line's commands.
type commands struct {
	ConfigFile string `name:"config" help:"Settings file; default ${file_here}, else ${file_demo} as written by demo." env:"BRIMLINE_CONFIG" placeholder:"FILE"`

	Demo       demoCmd       `cmd:"" help:"See it work: everything on this machine, with made-up transactions."`
	Run        runCmd        `cmd:"" help:"Run the stages: change stream in, verified alerts out."`
	Capture    captureCmd    `cmd:"" help:"Write a table's changes to Kafka, in place of Debezium."`
	User       userCmd       `cmd:"" help:"A user's totals as of now, for each rule."`
	Explain    explainCmd    `cmd:"" help:"Why there was an alert for a user, or none."`
	Alerts     alertsCmd     `cmd:"" help:"List or follow alerts."`
	Status     statusCmd     `cmd:"" help:"Lag, rate and recovery, by group and partition."`
	Ready      readyCmd      `cmd:"" help:"Whether the instance here is ready, as an exit code."`
	Reset      resetCmd      `cmd:"" help:"Delete a group's topics, offsets and state, to start from the beginning."`
	Doctor     doctorCmd     `cmd:"" help:"Check Kafka, topics, PostgreSQL and the connector, with remedies."`
	Topology   topologyCmd   `cmd:"" help:"Show the flow: stages, topics, keys."`
	Rules      rulesCmd      `cmd:"" help:"Check, test or begin a rules file."`
	Backtest   backtestCmd   `cmd:"" help:"Which alerts rules would have sent, by what is in PostgreSQL."`
	Dismissed  dismissedCmd  `cmd:"" help:"List edges that became no alert, and why."`
	Deadletter deadletterCmd `cmd:"" help:"List or retry records that could not be taken in."`
	Prove      proveCmd      `cmd:"" help:"Compare the alerts with all edges of the table, by PostgreSQL."`
	Audit      auditCmd      `cmd:"" help:"Compare the rows that windows hold with those of the table, by PostgreSQL."`
	Distrust   distrustCmd   `cmd:"" help:"Let PostgreSQL answer for users whose rows in the stream were wrong."`
	Forget     forgetCmd     `cmd:"" help:"Delete what brimline keeps of users."`
	Version    versionCmd    `cmd:"" help:"Print the version."`

	file *config.File // of BeforeResolve; nil where there is none
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
	file, err := config.Find(path, settings(ctx.Model.Node))
	if err == nil && file != nil {
		c.file = file
		ctx.AddResolver(file)
	}
	return err
}

// settings are the flags below a command that can be set in the environment: they can be set in the file as well,
// whichever command takes them.
func settings(n *kong.Node) config.Settings {
	all := config.Settings{}
	for _, f := range n.Flags {
		if len(f.Envs) > 0 && f.Name != "config" {
			all[f.Name] = f.Target.Type()
		}
	}
	for _, child := range n.Children {
		maps.Copy(all, settings(child))
	}
	return all
}

// world holds a command's inputs and outputs besides its flags.
type world struct {
	context.Context // ends at the first SIGINT or SIGTERM

	in       io.Reader
	out, err io.Writer

	// startDemo is the remedy where the brokers are those of a demo; empty where they are not.
	startDemo string
}

// logger writes to standard error as the flags say.
func (w *world) logger(l *config.Logging) *slog.Logger { return l.Logger(w.err) }

// note says something beside the output, written as logs are.
func (w *world) note(l *config.Logging, message string) {
	if l.LogFormat == "json" {
		(&config.Logging{LogFormat: "json"}).Logger(w.err).Info(message)
		return
	}
	fmt.Fprintln(w.err, message)
}

// vars fill help texts and defaults.
func vars() kong.Vars {
	return kong.Vars{
		"file_here": config.FileHere, "file_demo": config.FileDemo, "stages": "route, window, verify, index",
	}
}

// newParser reads command lines into c; exit is called once help was written.
func newParser(c *commands, out, errOut io.Writer, exit func(int)) (*kong.Kong, error) {
	return kong.New(c,
		kong.Name("brimline"),
		kong.Description("Watches a PostgreSQL table's change stream and raises an alert at the very transaction that "+
			"lifts a user's rolling total over a limit."),
		kong.Writers(out, errOut),
		kong.Exit(exit),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 110}),
		config.Durations(),
		vars(),
	)
}

func execute(args []string, in io.Reader, stdout, stderr io.Writer) int {
	out, errOut := &output{to: stdout}, &output{to: stderr}
	exit := -1
	c := &commands{}
	last := func(err error) { report(errOut, c.jsonLogs(args), err) }
	parser, err := newParser(c, out, errOut, func(code int) { exit = code })
	if err != nil {
		last(err)
		return int(brimline.ClassRuntime)
	}
	ctx, err := parser.Parse(args)
	if exit >= 0 { // --help
		return exit
	}
	if err != nil {
		if parse, ok := errors.AsType[*kong.ParseError](err); ok && brimline.ExitCode(err) == int(brimline.ClassRuntime) {
			err = &brimline.Error{
				Class: brimline.ClassInput, Kind: "usage", Err: withoutURLs(parse.Unwrap(), args),
				Remedy: fmt.Sprintf("run \"%s --help\" to see what can be said", called(parse.Context)),
			}
		}
		last(err)
		return brimline.ExitCode(err)
	}
	w := &world{in: in, out: out, err: errOut, startDemo: c.startDemo(ctx)}
	var stop func()
	w.Context, stop = signals()
	defer stop()
	var cancel context.CancelFunc
	w.Context, cancel = context.WithCancel(w.Context)
	defer cancel()
	out.stop = cancel // what is followed or watched has no end of its own
	err = w.explain(ctx.Run(w))
	if failed := out.failure(); failed != nil {
		err = failed
	}
	if err != nil {
		last(err)
	}
	return brimline.ExitCode(err)
}

// startDemo is the remedy for brokers of a demo that do not answer; empty for other brokers.
func (c *commands) startDemo(ctx *kong.Context) string {
	if _, brokers := c.file.Value("brokers"); !brokers || !c.file.Demo {
		return ""
	}
	for _, p := range ctx.Path {
		if p.Flag != nil && p.Flag.Name == "brokers" && !p.Resolved {
			return ""
		}
	}
	if _, set := os.LookupEnv("BRIMLINE_BROKERS"); set {
		return ""
	}
	how := "make demo"
	if c.file.Path != config.FileDemo {
		how = "brimline demo --dir " + filepath.Dir(c.file.Path)
	}
	return "the demo is not running: start it with `" + how + "`"
}

// explain says of brokers that do not answer what they are, where that is known.
func (w *world) explain(err error) error {
	e, ok := errors.AsType[*brimline.Error](err)
	if !ok || e.Kind != kafka.KindUnreachable || w.startDemo == "" {
		return err
	}
	known := *e
	known.Remedy = w.startDemo
	return &known
}

// jsonLogs tells how logs are written, also where the command line was not understood.
func (c *commands) jsonLogs(args []string) bool {
	format := os.Getenv("BRIMLINE_LOG_FORMAT")
	if format == "" {
		format, _ = c.file.Value("log-format")
	}
	for i, arg := range args {
		if value, ok := strings.CutPrefix(arg, "--log-format="); ok {
			format = value
		} else if arg == "--log-format" && i+1 < len(args) {
			format = args[i+1]
		}
	}
	return format == "json"
}

// withoutURLs is err without the arguments that may be URLs with a password,
// which an error about a misplaced argument repeats.
func withoutURLs(err error, args []string) error {
	text := err.Error()
	for _, arg := range args {
		if strings.Contains(arg, "://") || strings.Contains(arg, "@") {
			text = strings.ReplaceAll(text, arg, "(not repeated here: it may hold a password)")
		}
	}
	if text == err.Error() {
		return err
	}
	return errors.New(text)
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

// report writes an error as logs are written: for people what, on as many lines as there are problems, and what to do
// about it; as JSON the same in one record for each.
func report(w io.Writer, asJSON bool, err error) {
	log := (&config.Logging{LogFormat: "json"}).Logger(w)
	for _, e := range flatten(err) {
		b, ok := errors.AsType[*brimline.Error](e)
		if !ok {
			b = &brimline.Error{Kind: "other", Err: e}
		}
		where := ""
		if b.Where != "" {
			where = b.Where + ": "
		}
		for _, line := range strings.Split(b.Err.Error(), "\n") {
			if !asJSON {
				fmt.Fprintf(w, "brimline: error: %s%s\n", where, line)
				continue
			}
			message := where + line
			if b.Remedy != "" {
				message += " (remedy: " + b.Remedy + ")" // as in every log
			}
			log.Error(message, "kind", b.Kind)
		}
		if b.Remedy != "" && !asJSON {
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
