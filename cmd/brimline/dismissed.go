package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/app"
	"github.com/brimline/brimline/internal/feed"
	"github.com/brimline/brimline/internal/present"
)

type dismissedCmd struct {
	List dismissedListCmd `cmd:"" help:"Show edges of the stream that became no alert, and why."`
}

type dismissedListCmd struct {
	User   string    `help:"Only of this user."                                                                      placeholder:"ID"`
	Rule   string    `help:"Only of this rule, or of one of its limits: weekly-spend, weekly-spend@5000."            placeholder:"ID"`
	Reason string    `help:"Only for this reason: already_above, not_above, quiet, not_rearmed, no_database, before_alerts_from." placeholder:"REASON"`
	Since  time.Time `help:"Only what was dismissed at this time or later, ISO 8601 with an offset."                 placeholder:"TIME"`
	Limit  *int      `help:"The newest so many; 0: all. Where it is not given, 20 on a terminal, else all."          placeholder:"N"`
	JSON   bool      `help:"One JSON record a line, as in the topic."                                                                     name:"json"`
	Money  `   group:"Output"`
	Group
}

func (dismissedListCmd) Help() string {
	return `An edge that the stream has found is no alert before PostgreSQL has confirmed it.
Each line is one that it did not confirm, with what PostgreSQL had at the edge and
what the stream had: already_above (the total was above the limit before; the true
edge is an earlier one), not_above (it is not above; rows were changed or removed,
or the stream has what PostgreSQL has not), quiet (another crossing came before, and
the rule is quiet for longer), not_rearmed (another crossing came before, and since
then the total was not down to the rule's rearm), no_database (verification is off),
before_alerts_from (it was confirmed, and lies before the group's --alerts-from).
The newest are last. The same edge may be dismissed, and be alerted later.

Examples:

	brimline dismissed list --user 27956157
	brimline dismissed list --rule weekly-spend --since 2026-03-08T00:00:00Z --json`
}

func (c *dismissedListCmd) Run(w *world) error {
	most, err := (&alertsCmd{Limit: c.Limit}).most(w)
	if err != nil {
		return err
	}
	if c.User != "" {
		if err := checkUsers(c.User); err != nil {
			return err
		}
	}
	if err := checkReason(c.Reason); err != nil {
		return err
	}
	cluster, err := c.join(w)
	if err != nil {
		return ended(w, err)
	}
	defer cluster.Close()
	f := feed.Filter{Equal: map[string]string{}, From: c.Since}
	for name, value := range map[string]string{"user": c.User, "rule": c.Rule, "reason": c.Reason} {
		if value != "" {
			f.Equal[name] = value
		}
	}
	var list []seenAlert
	more, unreadable := false, 0
	seen, err := app.Recorded(w, c.options(), c.streams().Dismissed, &f, func(m *feed.Record) bool {
		v, err := codecs.Alert{}.Decode(m.Value)
		if err != nil {
			unreadable++
			return true
		}
		if more = most > 0 && len(list) == most; more {
			return false
		}
		list = append(list, seenAlert{v.(*brimline.Alert), m.Value})
		return true
	})
	if err != nil {
		return ended(w, err)
	}
	for _, a := range slices.Backward(list) {
		if c.JSON {
			fmt.Fprintf(w.out, "%s\n", a.raw)
		} else {
			fmt.Fprintln(w.out, c.Money.dismissed(a.Alert))
		}
	}
	switch {
	case more:
		w.note(&c.Logging, fmt.Sprintf("the newest %d; --limit 0 shows all", len(list)))
	case len(list) == 0:
		w.note(&c.Logging, "nothing was dismissed of what is asked for; the topic keeps records for a time only")
	}
	if unreadable += seen.Unreadable; unreadable > 0 {
		w.note(
			&c.Logging,
			present.Plural(unreadable, "record")+" cannot be read: another version of brimline wrote them",
		)
	}
	return nil
}

func checkReason(reason string) error {
	known := []string{
		brimline.ReasonAlreadyAbove, brimline.ReasonNotAbove, brimline.ReasonQuiet, brimline.ReasonNotRearmed,
		brimline.ReasonNoDatabase, brimline.ReasonBeforeAlertsFrom,
	}
	if reason == "" || slices.Contains(known, reason) {
		return nil
	}
	return usage("--reason", "one of "+listed(known), fmt.Errorf("there is no reason %s", present.Word(reason)))
}

// dismissed is one line for people.
func (m Money) dismissed(a *brimline.Alert) string {
	c := &a.Candidate
	figures := func(f *brimline.Figures) string {
		return fmt.Sprintf("%s, %s before", m.amount(f.Total, &c.Rule, c.Scale), m.amount(f.Before, &c.Rule, c.Scale))
	}
	text := fmt.Sprintf("%s  user %s  %s over %s in %s  %s", present.Time(c.Edge), present.Word(c.User),
		present.Word(c.Rule.ID), m.amount(c.Rule.Limit, &c.Rule, c.Scale), present.Duration(c.Rule.Window),
		present.Word(a.Reason))
	if a.Database != nil {
		text += ": PostgreSQL has " + figures(a.Database) + "; the stream had " + figures(&c.Stream)
	} else {
		text += ": the stream had " + figures(&c.Stream)
	}
	if at := a.Verification.At; at != 0 {
		text += "; asked at " + present.Time(at)
	}
	return text
}
