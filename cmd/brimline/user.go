package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/app"
	"github.com/brimline/brimline/internal/rules"
	"github.com/brimline/brimline/views"
)

type userCmd struct {
	ID    string `arg:"" help:"The user, as in the watched table."`
	JSON  bool   `name:"json" help:"As JSON."`
	Rows  bool   `help:"Also list the retained transactions."`
	Money `group:"Output"`
	Group
	StateDir string        `help:"Where a copy of the table is kept, so that the next question is answered sooner." default:".brimline/state" env:"BRIMLINE_STATE_DIR" group:"State"`
	Wait     time.Duration `help:"How long reading the table may take." default:"60s"`
}

func (userCmd) Help() string {
	return `Each rule's total and count over the window that ends now, and how far it is from
the limit, as the window table has it. Read from Kafka through a goka view; no
running instance and no PostgreSQL is needed.

Example:

	brimline user 27956157`
}

func (c *userCmd) Run(w *world) error {
	u, err := c.look(w)
	if err != nil {
		return ended(w, err)
	}
	if c.JSON {
		enc := json.NewEncoder(w.out)
		enc.SetIndent("", "  ")
		return enc.Encode(userRecord(u))
	}
	c.print(w, u)
	return nil
}

func (c *userCmd) look(w *world) (views.User, error) {
	cluster, err := c.connect(w)
	if err != nil {
		return views.User{}, err
	}
	defer cluster.Close()
	s := c.streams()
	set, err := app.RulesInForce(w, cluster, s.Rules)
	if err != nil {
		return views.User{}, c.notRunYet(err)
	}
	if set == nil {
		return views.User{}, c.notRunYet(errors.New("its topic of rules is empty"))
	}
	view, err := app.ViewConfig(c.options(), s.Group)
	if err != nil {
		return views.User{}, err
	}
	view.Dir, view.Rules, view.Log = filepath.Join(c.StateDir, s.Group), set, c.log(w)
	v, err := views.Open(w, view)
	if err != nil {
		return views.User{}, err
	}
	ctx, cancel := context.WithTimeoutCause(w, c.Wait, errors.New("the table was not read in time; allow more with --wait"))
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	defer func() {
		cancel()
		<-done //nolint:errcheck // its end is what is awaited; what fails, fails the reads
	}()
	if err := v.WaitRecovered(ctx); err != nil {
		return views.User{}, err
	}
	return v.User(ctx, c.ID, brimline.TimeOf(time.Now()))
}

func (c *userCmd) print(w *world, u views.User) {
	if !u.Found {
		fmt.Fprintf(w.out, "user %s: nothing is retained\n", shown(u.ID))
	} else {
		fmt.Fprintf(w.out, "user %s: %s retained\n", shown(u.ID), plural(int64(len(u.Rows)), "transaction"))
	}
	rows := [][]string{{"RULE", "WINDOW", "TOTAL", "LIMIT", "TRANSACTIONS", ""}}
	for i := range u.Rules {
		f := &u.Rules[i]
		money := func(t brimline.Total) string { return c.Money.amount(t, &f.Rule, u.Scale) }
		distance := money(f.Distance) + " to go"
		if f.Above() {
			distance = money(brimline.Total{}.Sub(f.Distance)) + " above"
		}
		if !f.Complete {
			distance += " (older rows are not retained)"
		}
		rows = append(rows, []string{
			shown(f.Rule.ID), rules.FormatWindow(f.Rule.Window), money(f.At.Total), money(f.Rule.Limit), fmt.Sprint(f.At.Count), distance,
		})
	}
	table(w.out, []bool{false, true, true, true, true}, rows...)
	if c.Rows {
		fmt.Fprintln(w.out)
		list := [][]string{{"TIME", "AMOUNT", "ID"}}
		for _, r := range u.Rows {
			list = append(list, []string{r.Time.Std().Format("2006-01-02 15:04:05"), r.Amount.Format(u.Scale), shown(r.ID)})
		}
		table(w.out, []bool{false, true}, list...)
	}
	behind := "lag unknown"
	if u.AsOf.Lag >= 0 {
		behind = plural(u.AsOf.Lag, "record") + " behind"
	}
	fmt.Fprintf(w.out, "as of %s, change %d of partition %d, %s\n", u.Now.Std().Format("2006-01-02 15:04:05 MST"), u.AsOf.Input, u.AsOf.Partition, behind)
}
