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
running instance and no PostgreSQL is needed. Ids are text: 007 is not 7. A user
whom nothing is known of ends it with exit code 1.

Example:

	brimline user 27956157`
}

func (c *userCmd) Run(w *world) error {
	u, other, err := c.look(w)
	if err != nil {
		return ended(w, err)
	}
	switch {
	case c.JSON:
		enc := json.NewEncoder(w.out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(userRecord(u)); err != nil {
			return err
		}
	case u.Found:
		c.print(w, u)
	}
	if !u.Found {
		return unknownUser(u.ID, other)
	}
	return nil
}

func unknownUser(id, other string) error {
	remedy := "write the id as it stands in the table; a user whose rows have all aged out is not known any more"
	if other != "" {
		remedy = "did you mean " + shown(other) + "?"
	}
	return &brimline.Error{
		Class: brimline.ClassRuntime, Kind: "user_unknown", Where: "user " + shown(id), Remedy: remedy,
		Err: errors.New("nothing is known of this user: no row within the retained history"),
	}
}

// look finds the user, and where there is none another spelling of the id that there is.
func (c *userCmd) look(w *world) (u views.User, other string, err error) {
	cluster, err := c.join(w)
	if err != nil {
		return u, "", err
	}
	defer cluster.Close()
	s := c.streams()
	set, err := app.RulesInForce(w, cluster, s.Rules)
	if err != nil {
		return u, "", err
	}
	if set == nil {
		return u, "", c.notBegun()
	}
	view, err := app.ViewConfig(c.options(), s.Group)
	if err != nil {
		return u, "", err
	}
	view.Dir, view.Rules, view.Log = filepath.Join(c.StateDir, s.Group), set, c.log(w)
	v, err := views.Open(w, view)
	if err != nil {
		return u, "", err
	}
	ctx, cancel := context.WithTimeoutCause(w, c.Wait, errors.New("the table was not read in time; allow more with --wait"))
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	defer func() {
		cancel()
		<-done
	}()
	if err := v.WaitRecovered(ctx); err != nil {
		return u, "", err
	}
	now := brimline.TimeOf(time.Now())
	if u, err = v.User(ctx, c.ID, now); err != nil || u.Found {
		return u, "", err
	}
	for _, id := range spellings(c.ID) {
		if like, err := v.User(ctx, id, now); err == nil && like.Found {
			return u, id, nil
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
	const layout = "2006-01-02 15:04:05 MST"
	verb := "transactions are dated in the future; they count from their own times on, the first"
	if n == 1 {
		verb = "transaction is dated in the future; it counts"
	}
	fmt.Fprintf(w.out, "%d %s from %s on\n", n, verb, first.Std().Format(layout))
	for i := range u.Rules {
		f := &u.Rules[i]
		if f.Ahead == nil || f.Ahead.Count == 0 {
			continue
		}
		money := func(t brimline.Total) string { return c.Money.amount(t, &f.Rule, u.Scale) }
		left, what := f.Rule.Limit.Sub(f.Ahead.Total), "to go"
		if left.Sign() < 0 {
			left, what = brimline.Total{}.Sub(left), "above"
		}
		fmt.Fprintf(w.out, "  %s: %s at the newest, %s, %s %s\n",
			shown(f.Rule.ID), money(f.Ahead.Total), last.Std().Format(layout), money(left), what)
	}
}

func (c *userCmd) print(w *world, u views.User) {
	fmt.Fprintf(w.out, "user %s: %s retained\n", shown(u.ID), plural(int64(len(u.Rows)), "transaction"))
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
	c.printFuture(w, u)
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
