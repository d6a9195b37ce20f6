package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/app"
	"github.com/brimline/brimline/internal/backtest"
	"github.com/brimline/brimline/internal/body"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/explain"
	"github.com/brimline/brimline/internal/present"
	"github.com/brimline/brimline/views"
)

type explainCmd struct {
	ID              string    `arg:"" name:"user" help:"The user, as in the watched table."`
	Rule            string    `                   help:"Only by this rule, or one of its limits: weekly-spend, weekly-spend@5000. Without it: by each."    placeholder:"ID"`
	At              time.Time `                   help:"The windows that end at this time, ISO 8601 with an offset. Without it: at the user's newest row." placeholder:"TIME"`
	Rows            bool      `                   help:"Also list the rows of the window, and whether the rule counts them."`
	JSON            bool      `       name:"json" help:"As JSON, with the newest 100 rows."`
	Money           `    group:"Output"`
	config.Database `    group:"PostgreSQL"`
	Group
	Looking
}

func (explainCmd) Help() string {
	return `Why there was an alert for a user, or none: for each rule one sentence with a reason
of a closed list, then what it rests on. That is what the window table has beside
PostgreSQL's own figures, rows that one of the two lacks, what PostgreSQL did not
confirm, and dead letters. No running instance is needed. Without --database-url
PostgreSQL is not asked, and the reason is that of the stream. Table and columns are
those that the group has written down. docs/explain.md has all reasons.

A user whom nothing is known of ends it with exit code 1.

Examples:

	brimline explain 27956157
	brimline explain 27956157 --rule weekly-spend --at 2026-03-08T12:00:00Z`
}

func (c *explainCmd) Run(w *world) error {
	if err := checkUsers(c.ID); err != nil {
		return err
	}
	whole := config.Config{Database: c.Database}
	if err := whole.ReadSecrets(); err != nil {
		return err
	}
	cluster, err := c.join(w)
	if err != nil {
		return ended(w, err)
	}
	defer cluster.Close()
	whole.Group = c.Names.Group
	set, err := app.RulesInForce(w, cluster, c.streams().Rules)
	if err != nil {
		return ended(w, err)
	}
	q := explain.Question{User: c.ID, Rule: c.Rule}
	if !c.At.IsZero() {
		q.At = brimline.TimeOf(c.At)
	}
	var reports []*explain.Report
	other := ""
	err = c.open(w, &c.Group, cluster, func(ctx context.Context, v *views.Windows) (err error) {
		reports, err = app.Explain(ctx, cluster, c.options(), c.streams(), set, v, &whole, q)
		if err == nil && unknown(reports) {
			_, other, err = find(ctx, v, c.ID)
		}
		return err
	})
	if err != nil {
		return ended(w, err)
	}
	if c.JSON {
		err = c.writeJSON(w, reports)
	} else if !unknown(reports) {
		c.print(w, reports)
	}
	if err == nil && unknown(reports) {
		return unknownUser(c.ID, other)
	}
	return err
}

// unknown says whether nothing is known of the user, by any rule.
func unknown(reports []*explain.Report) bool {
	return !slices.ContainsFunc(reports, func(r *explain.Report) bool { return r.Reason != explain.UnknownUser })
}

// mostExplained is how many rows JSON has, as in the API.
const mostExplained = 100

func (c *explainCmd) writeJSON(w *world, reports []*explain.Report) error {
	all := []explain.Body{}
	for _, r := range reports {
		all = append(all, r.Body(mostExplained))
	}
	enc := json.NewEncoder(w.out)
	enc.SetIndent("", "  ")
	return enc.Encode(map[string]any{"user_id": c.ID, "explanations": all})
}

func (c *explainCmd) print(w *world, reports []*explain.Report) {
	for i, r := range reports {
		if i > 0 {
			fmt.Fprintln(w.out)
		}
		c.explain(w, r)
	}
}

func (c *explainCmd) explain(w *world, r *explain.Report) {
	money := func(t brimline.Total) string { return c.Money.amount(t, &r.Rule, r.AmountScale) }
	fmt.Fprintf(w.out, "user %s, rule %s (%s), at %s\n  %s: %s\n", present.Word(r.User), present.Word(r.Rule.ID),
		present.Text(backtest.Condition(&r.Rule, c.Currency, r.AmountScale)), present.ExactTime(r.At), r.Reason,
		r.Sentence(explain.Writing{Amount: money, Time: present.ExactTime, Text: present.Word}))
	figures := [][]string{{"", "TOTAL", "BEFORE", "TRANSACTIONS", ""}}
	note := ""
	switch {
	case r.Stream.Distrusted:
		note = "rows were forgotten; PostgreSQL answers"
	case !r.Found:
		note = "nothing is known"
	case !r.Stream.Complete:
		note = "older rows are not retained"
	}
	line := func(of string, f *brimline.Figures, note string) {
		figures = append(figures, []string{of, money(f.Total), money(f.Before), fmt.Sprint(f.Count), note})
	}
	line("  stream", &r.Stream.At, note)
	switch {
	case r.Database != nil:
		line("  PostgreSQL", &r.Database.Figures, "as of "+brimline.FormatLSN(r.Database.LSN))
	case r.DatabaseError != nil:
		figures = append(figures, []string{"  PostgreSQL", "-", "-", "-", present.Text(r.DatabaseError.Error())})
	default:
		figures = append(figures, []string{"  PostgreSQL", "-", "-", "-", "not asked: give --database-url"})
	}
	table(w.out, []bool{false, true, true, true}, figures...)
	c.edge(w, r)
	counts := map[explain.Why]int{}
	for _, row := range r.Rows {
		counts[row.Why]++
	}
	fmt.Fprintf(w.out, "  rows of the window: %d counted, %d left out by where, %d by the measure\n",
		counts[explain.Counted], counts[explain.ByWhere], counts[explain.ByDirection]+counts[explain.ByNull])
	c.differing(w, "only in PostgreSQL", r.OnlyInDatabase, r.AmountScale)
	c.differing(w, "only in the stream", r.OnlyInStream, r.AmountScale)
	c.differing(w, "not the same in both", r.Different, r.AmountScale)
	for _, d := range r.Letters[:min(len(r.Letters), mostListed)] {
		fmt.Fprintf(w.out, "  dead letter %s of %s  %s  %s  %s\n", present.Place(d.Topic, d.Partition, d.Offset),
			present.ExactTime(d.At), present.Word(d.Kind), present.Text(d.Error), about(d))
	}
	for _, d := range r.Dismissed[:min(len(r.Dismissed), mostListed)] {
		fmt.Fprintf(w.out, "  dismissed %s\n", c.Money.dismissed(d))
	}
	if d := r.Doubt; d != nil {
		fmt.Fprintf(
			w.out,
			"  distrusted since %s (reason: %s): rows up to %s were forgotten\n",
			present.ExactTime(d.At),
			present.Word(string(d.Reason)),
			present.ExactTime(d.Floor),
		)
	}
	if c.Rows {
		list := [][]string{{"  TIME", "AMOUNT", "ID", ""}}
		for _, row := range r.Rows {
			list = append(
				list,
				[]string{"  " + present.ExactTime(row.Time), row.Amount.Format(r.AmountScale), present.Word(row.ID),
					counted(row.Why)},
			)
		}
		table(w.out, []bool{false, true}, list...)
	}
}

// edge says what became of the edge.
func (c *explainCmd) edge(w *world, r *explain.Report) {
	if r.Edge == 0 {
		return
	}
	state := "not known to the window"
	if r.State != nil {
		state = body.EdgeStatus(*r.State)
	}
	sent := "no alert"
	for _, a := range r.Alerts {
		if a.Candidate.Edge == r.Edge {
			sent = "alert " + present.Word(a.Candidate.ID())
			if a.Verification.At != 0 {
				sent += ", verified " + present.ExactTime(a.Verification.At)
			}
			state = "announced"
			break
		}
	}
	fmt.Fprintf(w.out, "  edge %s: %s, %s\n", present.ExactTime(r.Edge), state, sent)
}

func (c *explainCmd) differing(w *world, what string, rows []brimline.Transaction, scale int) {
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(w.out, "  %s: %s\n", what, present.Plural(len(rows), "row"))
	for _, row := range rows[max(0, len(rows)-mostListed):] {
		fmt.Fprintf(w.out, "    %s  %s  %s\n", present.ExactTime(row.Time), row.Amount.Format(scale), present.Word(row.ID))
	}
}

// counted says to people whether a row counts.
func counted(why explain.Why) string {
	switch why {
	case explain.ByWhere:
		return "not counted: where"
	case explain.ByDirection:
		return "not counted: its sign"
	case explain.ByNull:
		return "not counted: no value"
	}
	return "counted"
}
