package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/app"
	"github.com/brimline/brimline/internal/body"
	"github.com/brimline/brimline/internal/explain"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/present"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/brimline/brimline/views"
)

type userCmd struct {
	ID    string    `arg:"" help:"The user, as in the watched table."`
	At    time.Time `help:"Totals of the windows that end at this time, ISO 8601 with an offset. Without it: now." placeholder:"TIME"`
	JSON  bool      `name:"json" help:"As JSON."`
	Rows  bool      `help:"Also list the retained transactions up to that time, and which rules count them. Without --at: all."`
	With  string    `help:"Also what one more transaction of this amount would do by each rule, if it came at that time, had no columns and another id." placeholder:"AMOUNT"`
	Money `group:"Output"`
	Group
	Looking

	compiled []sliding.Rule // in force; with --rows
}

func (userCmd) Help() string {
	return `Each rule's total and count over the window that ends now, and how far it is from
the limit, as the window table has it; with --at, over the window that ends then, by
the rows that are retained today. Read from Kafka through a goka view; no
running instance and no PostgreSQL is needed. Ids are text: 007 is not 7. A user
whom nothing is known of ends it with exit code 1.

Examples:

	brimline user 27956157
	brimline user 27956157 --at 2026-03-08T12:00:00Z --rows
	brimline user 27956157 --with 250.00`
}

func (c *userCmd) Run(w *world) error {
	u, other, err := c.look(w)
	if err != nil {
		return ended(w, err)
	}
	with, err := c.with(&u)
	if err != nil {
		return err
	}
	switch {
	case c.JSON:
		enc := json.NewEncoder(w.out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(c.record(&u, with)); err != nil {
			return err
		}
	case u.Found:
		c.print(w, u, with)
	}
	if !u.Found {
		return unknownUser(u.ID, other)
	}
	return nil
}

// with gives the figures after one more transaction; nil unless asked for.
func (c *userCmd) with(u *views.User) ([]views.WithRow, error) {
	if c.With == "" {
		return nil, nil
	}
	amount, err := brimline.ParseAmount(c.With, u.Scale)
	if err != nil {
		return nil, &brimline.Error{
			Class: brimline.ClassInput, Kind: "settings", Where: "--with",
			Remedy: fmt.Sprintf("give an amount with at most %d decimals, such as 250 or -12.5", u.Scale), Err: err,
		}
	}
	return u.With(amount), nil
}

func unknownUser(id, other string) error {
	remedy := "write the id as it stands in the table; a user whose rows have all aged out is not known any more"
	if other != "" {
		remedy = "did you mean " + present.Word(other) + "?"
	}
	return &brimline.Error{
		Class: brimline.ClassRuntime, Kind: "user_unknown", Where: "user " + present.Word(id), Remedy: remedy,
		Err: errors.New("nothing is known of this user: no row within the retained history"),
	}
}

// Looking says how the window table is read.
type Looking struct {
	StateDir string        `help:"Where a copy of the table is kept, so that the next question is answered sooner." default:".brimline/state" env:"BRIMLINE_STATE_DIR" group:"State"`
	Wait     time.Duration `help:"How long reading the table may take." default:"1m"`
}

// open reads the window table of a group whole, for as long as f takes.
func (l *Looking) open(
	w *world, g *Group, cluster *kafka.Cluster, f func(context.Context, *views.Windows) error,
) error {
	s := g.streams()
	set, err := app.RulesInForce(w, cluster, s.Rules)
	if err != nil {
		return err
	}
	if set == nil {
		return g.notBegun()
	}
	view, err := app.ViewConfig(g.options(), s.Group)
	if err != nil {
		return err
	}
	view.Dir, view.Rules, view.Log = filepath.Join(l.StateDir, s.Group), set, g.log(w)
	v, err := views.Open(w, view)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(w, l.Wait,
		errors.New("the table was not read in time; allow more with --wait"))
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	defer func() {
		cancel()
		<-done
	}()
	if err := v.WaitRecovered(ctx); err != nil {
		return err
	}
	return f(ctx, v)
}

// look finds the user, and where there is none another spelling of the id that there is.
func (c *userCmd) look(w *world) (u views.User, other string, err error) {
	cluster, err := c.join(w)
	if err != nil {
		return u, "", err
	}
	defer cluster.Close()
	err = c.open(w, &c.Group, cluster, func(ctx context.Context, v *views.Windows) (err error) {
		u, other, err = findAt(ctx, v, c.ID, c.now())
		return err
	})
	if err == nil && c.Rows {
		c.compiled, err = app.CompiledInForce(w, cluster, c.streams().Rules)
	}
	return u, other, err
}

// now is the time that the figures are of.
func (c *userCmd) now() brimline.Time {
	if c.At.IsZero() {
		return brimline.TimeOf(time.Now())
	}
	return brimline.TimeOf(c.At)
}

// find gives a user, and where there is none another spelling of the id that there is.
func find(ctx context.Context, v *views.Windows, id string) (u views.User, other string, err error) {
	return findAt(ctx, v, id, brimline.TimeOf(time.Now()))
}

// findAt is find, with figures as of a time.
func findAt(
	ctx context.Context, v *views.Windows, id string, now brimline.Time,
) (u views.User, other string, err error) {
	if u, err = v.User(ctx, id, now); err != nil || u.Found {
		return u, "", err
	}
	for _, other := range spellings(id) {
		if like, err := v.User(ctx, other, now); err == nil && like.Found {
			return u, other, nil
		}
	}
	return u, "", nil
}

// spellings are other ways to write an id that a person may have meant.
func spellings(id string) []string {
	bare := strings.Trim(strings.TrimSpace(id), `"'`)
	var all []string
	for _, s := range []string{bare, strings.TrimLeft(bare, "0+"), strings.ToLower(bare), strings.ToUpper(bare)} {
		if s != "" && s != id && !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}

// printFuture says what does not count yet.
func (c *userCmd) printFuture(w *world, u views.User) {
	n, first, last := u.Future()
	if n == 0 {
		return
	}
	verb := "transactions are dated in the future; they count from their own times on, the first"
	if n == 1 {
		verb = "transaction is dated in the future; it counts"
	}
	fmt.Fprintf(w.out, "%d %s from %s on\n", n, verb, present.TimeUTC(first))
	for i := range u.Rules {
		f := &u.Rules[i]
		if f.Ahead == nil || f.Ahead.Count == 0 || f.Distrusted {
			continue
		}
		money := func(t brimline.Total) string { return c.Money.amount(t, &f.Rule, u.Scale) }
		left, what := f.Rule.Limit.Sub(f.Ahead.Total), "to go"
		if left.Sign() < 0 {
			left, what = brimline.Total{}.Sub(left), "above"
		}
		distance := money(left) + " " + what
		if f.Rule.Measure == brimline.Avg { // the limit is no figure beside the sum
			if distance = "not above"; f.Rule.Above(*f.Ahead) {
				distance = "above"
			}
			distance = "by " + present.Plural(f.Ahead.Count, "transaction") + ", " + distance
		}
		fmt.Fprintf(w.out, "  %s: %s at the newest, %s, %s\n",
			present.Word(f.Rule.ID), money(f.Ahead.Total), present.TimeUTC(last), distance)
	}
}

// printWith says what one more transaction would do.
func (c *userCmd) printWith(w *world, u views.User, with []views.WithRow) {
	if with == nil {
		return
	}
	fmt.Fprintf(w.out, "\nwith one more of %s\n", present.Word(c.With))
	list := [][]string{{"RULE", "TOTAL", ""}}
	for i := range u.Rules {
		f := &u.Rules[i]
		total, what := c.Money.amount(with[i].At.Total, &f.Rule, u.Scale), ""
		switch {
		case f.Distrusted:
			total, what = "-", "only PostgreSQL knows"
		case with[i].Alerts && f.Rule.Quiet != 0:
			what = "crosses the limit: an alert, unless another crossing came within " +
				present.Duration(f.Rule.Quiet) + " before"
		case with[i].Alerts && f.Rule.Rearms:
			what = "crosses the limit: an alert, if the total was at or below " +
				c.Money.amount(f.Rule.Rearm, &f.Rule, u.Scale) + " since the crossing before"
		case with[i].Alerts:
			what = "raises an alert"
		case !with[i].Counts:
			what = "does not count"
		case f.Above():
			what = "is above the limit already"
		}
		list = append(list, []string{present.Word(f.Rule.ID), total, what})
	}
	table(w.out, []bool{false, true}, list...)
}

// rows are the retained ones up to the time that is asked about.
func (c *userCmd) rows(u *views.User) []brimline.Transaction {
	rows := u.Rows
	for !c.At.IsZero() && len(rows) > 0 && rows[len(rows)-1].Time > u.Now {
		rows = rows[:len(rows)-1]
	}
	return rows
}

// countedBy are the rules of whose total or count at the time a row is.
func (c *userCmd) countedBy(u *views.User, row *brimline.Transaction) (names []string) {
	for i := range c.compiled {
		r := &c.compiled[i]
		in := row.Time <= u.Now && row.Time >= u.Now.Add(-r.Window)
		if in && explain.WhyOf(r, row) == explain.Counted {
			names = append(names, r.ID)
		}
	}
	return names
}

// record is the user as JSON: what the API gives, and what the flags ask for beside it.
func (c *userCmd) record(u *views.User, with []views.WithRow) body.User {
	record := body.UserOf(u, 0)
	for i := range with {
		f, one := &u.Rules[i], &body.With{Counts: with[i].Counts}
		if !f.Distrusted {
			one.Total = new(with[i].At.Total.Format(f.Scale))
		}
		if !f.Distrusted && !(with[i].Alerts && f.Rule.Silences()) {
			one.Alerts = &with[i].Alerts
		}
		record.Rules[i].With = one
	}
	if c.Rows {
		for _, t := range slices.Backward(c.rows(u)) {
			row, by := body.RowOf(&t, u.Scale), append([]string{}, c.countedBy(u, &t)...)
			row.CountedBy = &by
			record.Rows = append(record.Rows, row)
		}
	}
	return record
}

func (c *userCmd) print(w *world, u views.User, with []views.WithRow) {
	fmt.Fprintf(w.out, "user %s: %s retained\n", present.Word(u.ID), present.Plural(len(u.Rows), "transaction"))
	rows := [][]string{{"RULE", "WINDOW", "TOTAL", "LIMIT", "TRANSACTIONS", ""}}
	for i := range u.Rules {
		f := &u.Rules[i]
		money := func(t brimline.Total) string { return c.Money.amount(t, &f.Rule, u.Scale) }
		distance := money(f.Distance) + " to go"
		if f.Above() {
			distance = money(brimline.Total{}.Sub(f.Distance)) + " above"
		}
		if f.ClearsAt != nil {
			distance += ", until " + present.TimeUTC(*f.ClearsAt) + " if nothing more comes"
		}
		if !f.Complete {
			distance += " (older rows are not retained)"
		}
		total, count := money(f.At.Total), fmt.Sprint(f.At.Count)
		if f.Distrusted {
			total, count, distance = "-", "-", "only PostgreSQL knows"
		}
		if f.Rule.Measure == brimline.Avg {
			distance = "not above"
			if f.Above() {
				distance = "above"
			}
			if f.Rule.MinCount != 0 {
				distance += fmt.Sprintf(", with %d transactions or more", f.Rule.MinCount)
			}
			if !f.Complete {
				distance += " (older rows are not retained)"
			}
			if f.Distrusted {
				distance = "only PostgreSQL knows"
			}
		}
		if f.Rule.Quiet != 0 {
			distance += ", quiet for " + present.Duration(f.Rule.Quiet)
		}
		if f.Rule.Rearms {
			distance += ", rearms at " + money(f.Rule.Rearm)
		}
		rows = append(rows, []string{
			present.Word(f.Rule.ID), present.Duration(f.Rule.Window), total, money(f.Rule.Limit), count, distance,
		})
	}
	table(w.out, []bool{false, true, true, true, true}, rows...)
	if d := u.Doubt; d != nil {
		fmt.Fprintf(w.out, "distrusted since %s (reason: %s): rows up to %s were forgotten, and PostgreSQL answers\n",
			present.TimeUTC(d.At), present.Word(string(d.Reason)), present.TimeUTC(d.Floor))
	}
	if c.At.IsZero() {
		c.printFuture(w, u)
	}
	c.printWith(w, u, with)
	if c.Rows {
		fmt.Fprintln(w.out)
		list := [][]string{{"TIME", "AMOUNT", "ID", "COUNTED BY"}}
		for _, r := range c.rows(&u) {
			by := "none"
			for i, id := range c.countedBy(&u, &r) {
				if i == 0 {
					by = present.Word(id)
				} else {
					by += ", " + present.Word(id)
				}
			}
			list = append(list, []string{present.Time(r.Time), r.Amount.Format(u.Scale), present.Word(r.ID), by})
		}
		table(w.out, []bool{false, true}, list...)
	}
	behind := "lag unknown"
	if u.AsOf.Lag >= 0 {
		behind = present.Plural(u.AsOf.Lag, "record") + " behind"
	}
	fmt.Fprintf(w.out, "as of %s, change %d of partition %d, %s\n",
		present.TimeUTC(u.Now), u.AsOf.Input, u.AsOf.Partition, behind)
}
