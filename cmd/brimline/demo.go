package main

import (
	"fmt"
	"os"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/demo"
	"github.com/brimline/brimline/internal/present"
)

type demoCmd struct {
	Rate           int           `help:"Transactions a second; 0: none after the first ones." default:"20"`
	For            time.Duration `help:"Stop by itself after this time; 0: at Ctrl-C." default:"0s"`
	Fresh          bool          `help:"Delete what an earlier demo left, and begin anew."`
	Backlog        int           `help:"Transactions of the last ten days that are there at the first start." default:"4000"`
	Seed           uint64        `help:"Seed of the made-up transactions; 0: another one each time." default:"0"`
	Dir            string        `help:"Directory for everything; other commands find the default by themselves." default:".brimline"`
	Listen         string        `help:"Address of API and page, another port if it is taken; off: none." default:"127.0.0.1:8480"`
	AllowedHosts   []string      `type:"list" help:"Names, besides localhost and IP addresses, under which API and page answer: exact, or *.example.com; several by commas." env:"BRIMLINE_ALLOWED_HOSTS" placeholder:"NAME"`
	TokensFile     string        `help:"Who may ask, a line each: name, read or operate, and a token or sha256:HASH. Read again when it changes." env:"BRIMLINE_TOKENS_FILE" placeholder:"FILE"`
	AllowAnonymous bool          `help:"Let everybody who reaches --listen read without a token." env:"BRIMLINE_ALLOW_ANONYMOUS"`
	Money          `group:"Output"`

	LogFormat string `help:"text or json." default:"text" group:"Logs"`
	LogLevel  string `help:"debug, info, warn or error." default:"warn" group:"Logs"`
}

func (demoCmd) Help() string {
	return `Starts a real PostgreSQL and an in-process Kafka below .brimline, fills the table
streaming.transactions with made-up payments, captures its changes, runs all
stages, and prints alerts as they come. Stopped with Ctrl-C, or killed, it goes on
where it was. The rules are in .brimline/rules.yaml; change them and start again.

The in-process Kafka is for trying out and for tests, never for production.

Examples:

	brimline demo
	brimline demo --fresh --rate 200 --for 1m`
}

func (c *demoCmd) Run(w *world) error {
	logging := config.Logging{LogFormat: c.LogFormat, LogLevel: c.LogLevel}
	serving := config.Serving{Listening: config.Listening{Listen: c.Listen}, AllowedHosts: c.AllowedHosts,
		TokensFile: c.TokensFile, AllowAnonymous: c.AllowAnonymous}
	if err := config.Check(&logging, &serving); err != nil {
		return err
	}
	began := time.Now()
	return demo.Run(w, demo.Options{
		Dir: c.Dir, Rate: max(0, c.Rate), Backlog: max(12, c.Backlog), Seed: c.Seed,
		For: c.For, Fresh: c.Fresh, Listen: c.Listen,
		AllowedHosts: c.AllowedHosts, TokensFile: c.TokensFile, AllowAnonymous: c.AllowAnonymous,
		Version: version(),
		Log:     w.logger(&logging),
		Step:    func(what string) { fmt.Fprintf(w.out, "%6s  %s\n", present.Took(time.Since(began)), what) },
		Ready: func(p demo.Place) {
			fmt.Fprintf(w.out, "%6s  running; Ctrl-C stops it, and the next start goes on from here\n\n",
				present.Took(time.Since(began)))
			c.tell(w, p)
		},
		OnAlert: func(a *brimline.Alert) { fmt.Fprintln(w.out, c.Money.alert(a)) },
	})
}

// tell says how to look further, in the words with which brimline was called.
func (c *demoCmd) tell(w *world, p demo.Place) {
	me := os.Args[0]
	config := ""
	if c.Dir != ".brimline" {
		config = " --config " + p.Settings
	}
	rows := [][]string{
		{"  " + me + " user " + fmt.Sprint(demo.StoryUser) + config, "each rule's total as of now"},
		{"  " + me + " alerts --follow" + config, "also as JSON: --json"},
		{"  " + me + " status" + config, "lag per stage and partition"},
		{"  psql " + p.Database, "the table streaming.transactions"},
	}
	if p.HTTP != "" {
		rows = append(rows, []string{"  " + p.HTTP, "page, API and metrics"})
	}
	fmt.Fprintln(w.out, "Look further from another terminal:")
	table(w.out, nil, rows...)
	fmt.Fprintf(w.out, "\nRules: %s\n", p.Rules)
	if p.Resumed {
		fmt.Fprintln(w.out, "Resumed: what was raised before is not repeated here.")
	}
	fmt.Fprintln(w.out)
}
