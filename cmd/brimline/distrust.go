package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/app"
	"github.com/brimline/brimline/internal/present"
	"github.com/brimline/brimline/views"
)

type distrustCmd struct {
	Users   []string  `arg:"" name:"user" help:"Users, as in the watched table."`
	UpTo    time.Time `name:"up-to" help:"Forget rows up to this time, ISO 8601 with an offset. Without it: up to now." placeholder:"TIME"`
	Unknown bool      `help:"Also users of whom the stream has brought nothing; the table is not read then."`
	Group
	Looking
}

func (distrustCmd) Help() string {
	return `Do it where the stream was wrong about users' rows: rows were deleted while no slot
held the changes, a partition was dropped and made anew, a row was moved by a
record that does not say whose it was. Their rows are forgotten, and PostgreSQL
is asked for every edge that those may have hidden: at once, and again after 1, 10
and 60 minutes, for it may not show everything yet. It answers for these users
until their windows have filled again with rows that came afterwards; until then
"brimline user" and the page show no totals. What was announced is remembered:
no alert comes twice. Doing it again does no harm.

An earlier --up-to keeps the rows after it. It is better while the group catches up
with rows of the past: until rows lie above that time, PostgreSQL is asked about
each. The stages need not run; they do it when they do.

Examples:

	brimline distrust 27956157
	brimline distrust 27956157 42 --up-to 2026-11-23T12:00:00Z`
}

func (c *distrustCmd) Run(w *world) error {
	now := time.Now()
	upTo := now
	if !c.UpTo.IsZero() {
		upTo = c.UpTo
	}
	if upTo.After(now) {
		return &brimline.Error{
			Class: brimline.ClassInput, Kind: "settings", Where: "--up-to",
			Remedy: "name a time that has passed: for rows dated ahead PostgreSQL would answer until then",
			Err:    fmt.Errorf("%s lies in the future", upTo.Format(time.RFC3339)),
		}
	}
	if err := checkUsers(c.Users...); err != nil {
		return err
	}
	cluster, err := c.join(w)
	if err != nil {
		return ended(w, err)
	}
	defer cluster.Close()
	streams := c.streams()
	if !c.Unknown {
		err := c.open(w, &c.Group, cluster, func(ctx context.Context, v *views.Windows) error {
			for _, id := range c.Users {
				if u, other, err := find(ctx, v, id); err != nil || !u.Found {
					return cmp.Or(err, unknownTo(id, other))
				}
			}
			return nil
		})
		if err != nil {
			return ended(w, err)
		}
	}
	if err := app.Distrust(c.options(), streams, c.Users, brimline.TimeOf(upTo)); err != nil {
		return ended(w, err)
	}
	fmt.Fprintf(w.out, "%s distrusted up to %s: the window stage forgets the rows, and has PostgreSQL asked\n",
		present.Plural(len(c.Users), "user"), present.TimeUTC(brimline.TimeOf(upTo)))
	return nil
}

// unknownTo is unknownUser, with what to do about a user of whom nothing has come.
func unknownTo(id, other string) error {
	err := unknownUser(id, other).(*brimline.Error) //nolint:errorlint // it is
	if other == "" {
		err.Remedy += "; with --unknown PostgreSQL is asked about it all the same"
	}
	return err
}
