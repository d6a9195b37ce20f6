package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/app"
	"github.com/brimline/brimline/internal/backtest"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/present"
	"github.com/brimline/brimline/internal/rules"
)

type backtestCmd struct {
	Rules   string    `help:"Rules file." default:"rules.yaml" env:"BRIMLINE_RULES"`
	Against string    `help:"Another rules file, to say what would change from it to --rules." placeholder:"FILE"`
	From    time.Time `help:"First time of alerts, ISO 8601 with an offset. Without it: the oldest row's." placeholder:"TIME"`
	To      time.Time `help:"Last time of alerts. Without it: the newest row's." placeholder:"TIME"`
	JSON    bool      `name:"json" help:"As JSON." xor:"form"`
	CSV     bool      `name:"csv" help:"The alerts themselves, one a line." xor:"form"`
	HTML    bool      `name:"html" help:"As a page with charts, which loads nothing from anywhere." xor:"form"`

	WithoutIndex     bool          `help:"Read a large table also where no index has its rows by user and time."`
	StatementTimeout time.Duration `help:"Bound of one statement on the server. Where PostgreSQL sorts, the first one takes all its time." default:"5m"`
	Budget           time.Duration `help:"Bound of the whole; 0: none." default:"0s"`

	MinorUnits      int `name:"amount-minor-units" help:"n where the amount column counts 10^-n in whole numbers: 2 for cents; 0: whole units." default:"0" env:"BRIMLINE_AMOUNT_MINOR_UNITS"`
	Money           `group:"Output"`
	config.Watched  `group:"Watched table"`
	config.Database `group:"PostgreSQL"`
	config.Logging  `group:"Logs"`
}

func (backtestCmd) Help() string {
	return `Says which alerts rules would have sent by the rows that are in the table now: by
rule, day and user, and how many there would be with other limits. With --against
also what would change from another file. Rules are the same by their id. An alert
has moved where one that is lost and one that is gained have no other of the two
files between them, and lie no further apart than the window.

PostgreSQL is read once, by one login that may only read, in one snapshot; a
replica will do. Nothing is written to Kafka, nor read from it. Standard error says
every ten seconds how far it has come.

Examples:

	brimline backtest --rules new.yaml --against rules.yaml --from 2026-01-01T00:00:00Z
	brimline backtest --rules new.yaml --csv > alerts.csv
	brimline backtest --rules new.yaml --against rules.yaml --html > report.html`
}

// every is how often standard error says how far a command has come.
const every = 10 * time.Second

func (c *backtestCmd) Run(w *world) error {
	all := config.Default()
	all.Watched, all.Database, all.Logging, all.AmountMinorUnits = c.Watched, c.Database, c.Logging, c.MinorUnits
	if err := config.Check(&all.Watched, &all.Database, &all.Logging, &all.Records); err != nil {
		return err
	}
	if c.StatementTimeout < time.Millisecond || c.Budget < 0 {
		return usage("--statement-timeout, --budget", "write durations such as 5m", errors.New("too short"))
	}
	set, err := rules.Load(c.Rules)
	if err != nil {
		return err
	}
	o := app.BacktestOptions{
		Rules: set, From: brimline.MinTime, To: brimline.MaxTime, Now: brimline.TimeOf(time.Now()),
		WithoutIndex: c.WithoutIndex, Timeout: c.StatementTimeout, Budget: c.Budget,
	}
	if c.Against != "" {
		if o.Against, err = rules.Load(c.Against); err != nil {
			return err
		}
	}
	if !c.From.IsZero() {
		o.From = brimline.TimeOf(c.From)
	}
	if !c.To.IsZero() {
		o.To = brimline.TimeOf(c.To)
	}
	if err := all.ReadSecrets(); err != nil {
		return err
	}
	if all.DatabaseURL == "" {
		return usage("--database-url", "give it, or --database-url-file", errors.New("there is no database to read"))
	}
	last := time.Now()
	o.Progress = func(rows, users int64) {
		if now := time.Now(); now.Sub(last) >= every {
			last = now
			w.note(&c.Logging, fmt.Sprintf("%s of %s read", present.Plural(rows, "row"), present.Plural(users, "user")))
		}
	}
	var lines *csv.Writer
	if c.CSV {
		lines = csv.NewWriter(w.out)
		if err := lines.Write([]string{"id", "rule", "user", "edge", "limit", "before", "total", "count"}); err != nil {
			return err
		}
		o.Each = func(a *backtest.Alert) error { return lines.Write(line(a, set.Scale)) }
	}
	report, err := app.Backtest(w, &all, o)
	switch {
	case w.Err() != nil:
		return stopped()
	case err != nil:
		return err
	case c.CSV:
		lines.Flush()
		return lines.Error()
	case c.JSON:
		return report.WriteJSON(w.out, set.Scale)
	case c.HTML:
		return report.WriteHTML(w.out, backtest.Heading{
			File: c.Rules, Against: c.Against, Made: time.Now(), Currency: c.Currency,
		}, set.Scale)
	}
	c.show(w.out, report, set.Scale)
	return nil
}

// stopped is the error of a command that was stopped before it had its answer.
func stopped() error {
	return &brimline.Error{
		Class: brimline.ClassRuntime, Kind: "stopped", Err: errors.New("stopped before the end: there is no result"),
	}
}

// line is an alert as a row of a table.
func line(a *backtest.Alert, scale int) []string {
	scale = a.Rule.Measure.Scale(scale)
	return []string{
		present.Cell(a.ID()), present.Cell(a.Rule.ID), present.Cell(a.User), a.Time.String(), a.Rule.Limit.Format(scale),
		a.Figures.Before.Format(scale), a.Figures.Total.Format(scale), strconv.FormatInt(a.Figures.Count, 10),
	}
}

func (c *backtestCmd) show(w io.Writer, r *backtest.Report, scale int) {
	fmt.Fprintf(w, "%s of %s", present.Plural(r.Rows, "row"), present.Plural(r.Users, "user"))
	if r.Rows > 0 {
		fmt.Fprintf(w, ", from %s to %s", present.Time(r.Oldest), present.Time(r.Newest))
	}
	fmt.Fprintf(w, ", as PostgreSQL had them at %s\n", brimline.FormatLSN(r.Position))
	for _, rule := range r.Rules {
		c.showRule(w, rule, scale, c.Against != "")
	}
}

func (c *backtestCmd) condition(r *brimline.Rule, scale int) string {
	return backtest.Condition(r, c.Currency, scale)
}

func (c *backtestCmd) showRule(w io.Writer, r *backtest.RuleReport, scale int, compared bool) {
	if r.Rule == nil {
		fmt.Fprintf(w, "\n%s is only in %s (%s): %s lost\n",
			present.Word(r.Old.ID), present.Word(c.Against), c.condition(r.Old, scale),
			present.Plural(r.Lost, "alert"))
		c.examples(w, "lost", r.LostExamples, scale)
		return
	}
	fmt.Fprintf(w, "\n%s (%s): %s of %s\n",
		present.Word(r.Rule.ID), c.condition(r.Rule, scale), present.Plural(r.Alerts, "alert"),
		present.Plural(r.Users, "user"))
	if compared {
		if r.Old == nil {
			fmt.Fprintf(w, "  not in %s: all are gained\n", present.Word(c.Against))
		} else {
			fmt.Fprintf(w, "  against %s (%s), %s: %d kept, %d gained, %d lost, %d moved\n", present.Word(c.Against),
				c.condition(r.Old, scale), present.Plural(r.OldAlerts, "alert"), r.Kept, r.Gained, r.Lost, r.Moved)
		}
		c.examples(w, "gained", r.GainedExamples, scale)
		c.examples(w, "lost", r.LostExamples, scale)
		for i := range r.MovedExamples {
			m := &r.MovedExamples[i]
			fmt.Fprintf(w, "    moved   user %s  %s → %s\n", present.Word(m.From.User), present.Time(m.From.Time),
				present.Time(m.To.Time))
		}
	}
	if r.Alerts > 0 {
		fmt.Fprintf(w, "  days: %s\n", days(r.Days))
		var most []string
		for _, u := range r.Most {
			most = append(most, fmt.Sprintf("%s %d", present.Word(u.User), u.Alerts))
		}
		fmt.Fprintf(w, "  users with the most: %s\n", strings.Join(most, ", "))
	}
	c.curve(w, r, scale)
}

func (c *backtestCmd) examples(w io.Writer, what string, alerts []backtest.Alert, scale int) {
	for i := range alerts {
		a := &alerts[i]
		fmt.Fprintf(w, "    %-6s  user %s  %s  %s, %s before\n", what, present.Word(a.User), present.Time(a.Time),
			c.amount(a.Figures.Total, a.Rule, scale), c.amount(a.Figures.Before, a.Rule, scale))
	}
}

// mostDays is how many days are shown one by one.
const mostDays = 7

// days are the days with the newest alerts, and what is before them in one sum.
func days(all []backtest.Day) string {
	peak, sum := all[0], int64(0)
	for _, d := range all {
		if sum += d.Alerts; d.Alerts > peak.Alerts {
			peak = d
		}
	}
	day := func(d backtest.Day) string {
		return d.At.Std().Format(time.DateOnly) + " " + strconv.FormatInt(d.Alerts, 10)
	}
	var texts []string
	if len(all) > mostDays {
		texts = []string{fmt.Sprintf("%d days with alerts, the most on %s; the newest", len(all), day(peak))}
		all = all[len(all)-mostDays:]
	}
	for _, d := range all {
		texts = append(texts, day(d))
	}
	return strings.Join(texts, ", ")
}

// curve shows how many alerts there would be with limits around the rule's.
func (c *backtestCmd) curve(w io.Writer, r *backtest.RuleReport, scale int) {
	steps, known := r.Curve.Steps()
	if r.Curve == nil {
		fmt.Fprintln(w, "  with other limits: not known of an average, and of a rule that is quiet or rearms; "+
			"give it another limit")
		return
	}
	if !known {
		fmt.Fprintln(w, "  with other limits: not known, there are too many different totals; choose a shorter span")
		return
	}
	rows := [][]string{{"  limit", "alerts"}}
	for _, s := range backtest.Around(steps, r.Rule.Limit) {
		rows = append(rows, []string{"  " + c.amount(s.Limit, r.Rule, scale), strconv.FormatInt(s.Alerts, 10)})
	}
	table(w, []bool{true, true}, rows...)
}
