package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/app"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/present"
	"github.com/brimline/brimline/processors"
)

type forgetCmd struct {
	Users   []string `arg:"" name:"user" help:"Users, as in the watched table."`
	Unknown bool     `help:"Also users of whom nothing is found."`
	Yes     bool     `short:"y" help:"Do not ask; needed where there is no terminal."`
	Group
}

func (forgetCmd) Help() string {
	return `Do it when a person asks for erasure, after their rows have been deleted from the
table. The stages delete the users' rows, announced edges, open questions and lists of
alerts, while they run or as soon as they do. What is left for a while is the id
and the time of the command, so that PostgreSQL is asked if rows come again: as long
as the table has rows of a user, the user comes back with the next one. No alert
comes twice by it, and none from before comes any more.

Kafka deletes single records from no topic. What topics keep of the users is shown
with how long they keep it: alerts for ever, unless you shorten retention.ms of that
topic. A dead letter that is retried brings its row back. Local files, below
--state-dir, keep deleted values until they are rewritten: docs/operations.md says more.

Alerts and letters that were on their way are not among it: do it again after a
minute, or, where the group is behind, when "brimline status" shows no lag. That
does no harm. A user of whom nothing is found ends it with exit code 1, and no user
is forgotten then. Do it for each group.

Examples:

	brimline forget 27956157 --yes
	brimline forget 27956157 --yes --group payments --alerts payments-alerts`
}

func (c *forgetCmd) Run(w *world) error {
	if err := checkUsers(c.Users...); err != nil {
		return err
	}
	cluster, err := c.join(w)
	if err != nil {
		return ended(w, err)
	}
	defer cluster.Close()
	slices.Sort(c.Users)
	c.Users = slices.Compact(c.Users)
	found, err := c.find(w, cluster)
	if err != nil {
		return ended(w, err)
	}
	for _, id := range c.Users {
		if !found.known[id] && !c.Unknown {
			return nothingKept(id, found.meant[id])
		}
	}
	unread, err := c.unread(w, cluster)
	if err != nil {
		return ended(w, err)
	}
	others, err := app.GroupsThere(w, cluster)
	if err != nil {
		return ended(w, err)
	}
	who := present.Plural(len(c.Users), "user")
	group := present.Word(c.Names.Group)
	if !c.Yes {
		if ok, err := w.confirm(fmt.Sprintf("Delete what group %s keeps of %s?", group, who)); !ok {
			return err
		}
	}
	if err := app.Forget(c.options(), c.streams(), c.Users, brimline.TimeOf(time.Now())); err != nil {
		return ended(w, err)
	}
	fmt.Fprintf(w.out, "%s of group %s forgotten: rows, edges and lists of alerts go as soon as the stages come to it\n",
		who, group)
	if unread != "" {
		fmt.Fprintln(w.out, unread)
	}
	fmt.Fprintln(w.out, "Kafka deletes no single record. What topics keep of it, and how long:")
	table(w.out, nil, found.kept...)
	if others = slices.DeleteFunc(others, func(g string) bool { return g == c.Names.Group }); len(others) > 0 {
		fmt.Fprintf(w.out, "Other groups here keep their own: %s\n", listed(others))
	}
	return nil
}

// checkUsers refuses what no row can have as its user: a message about it would become a dead letter.
func checkUsers(users ...string) error {
	for _, id := range users {
		if err := processors.CheckUser(id); err != nil {
			return &brimline.Error{
				Class: brimline.ClassInput, Kind: "bad_user_id", Where: "user " + present.Word(id),
				Remedy: "write the id as it stands in the table", Err: err,
			}
		}
	}
	return nil
}

// nothingKept is an error: an id with a slip in it must not pass for a person who was forgotten.
func nothingKept(id, other string) error {
	remedy := "write the id as it stands in the table; what the group has not read yet it does not know: with --unknown " +
		"the user is forgotten all the same"
	if other != "" {
		remedy = "did you mean " + present.Word(other) + "?"
	}
	return &brimline.Error{
		Class: brimline.ClassRuntime, Kind: "user_unknown", Where: "user " + present.Word(id), Remedy: remedy,
		Err: errors.New("nothing is kept of this user: no row, alert, dismissed candidate or dead letter"),
	}
}

// unread says how much the group has still to read, which comes after the command; empty for nothing.
func (c *forgetCmd) unread(w *world, cluster *kafka.Cluster) (string, error) {
	stages, err := app.Lags(w, cluster, c.streams())
	if app.IsMissing(err) {
		return "How far the group is behind is not known: " + present.Text(err.Error()), nil
	}
	n := int64(0)
	for _, s := range stages {
		for _, p := range s.Partitions {
			n += p.Lag
		}
	}
	if n == 0 || err != nil {
		return "", err
	}
	return fmt.Sprintf("The group has %s yet to read, which may bring more of the users: alerts, letters, later rows. "+
		"When `brimline status` shows no lag, do it again.", present.Plural(n, "record")), nil
}

// found counts the records of users by topic.
type found struct {
	users map[string]bool
	alike map[string]string // users by other ways to write them
	known map[string]bool
	meant map[string]string // of a user, how one is written of whom there is something
	kept  [][]string        // a line for each topic
}

// note says whether a record is about one of the users.
func (f *found) note(user string) bool {
	if f.users[user] {
		f.known[user] = true
		return true
	}
	if id, ok := f.alike[user]; ok {
		f.meant[id] = user
	}
	return false
}

// find counts what can be counted, and says how long each topic keeps it.
func (c *forgetCmd) find(w *world, cluster *kafka.Cluster) (*found, error) {
	s := c.streams()
	f := &found{users: map[string]bool{}, alike: map[string]string{}, known: map[string]bool{}, meant: map[string]string{}}
	for _, id := range c.Users {
		f.users[id] = true
		for _, other := range spellings(id) {
			f.alike[other] = id
		}
	}
	ofAlert := func(m *kafka.Message) string {
		if v, err := (codecs.Alert{}).Decode(m.Value); err == nil {
			return v.(*brimline.Alert).Candidate.User
		}
		return ""
	}
	nobodys := int64(0)
	ofLetter := func(m *kafka.Message) string {
		v, err := codecs.DeadLetter{}.Decode(m.Value)
		if err != nil || v.(*brimline.DeadLetter).User == "" {
			nobodys++
			return ""
		}
		return v.(*brimline.DeadLetter).User
	}
	ofValue := func(m *kafka.Message) string {
		switch user, _, ok := processors.ParseSegmentKey(string(m.Key)); {
		case m.Value == nil:
			return ""
		case ok:
			return user
		}
		return string(m.Key)
	}
	for _, t := range []struct {
		topic, what string
		of          func(m *kafka.Message) string // whose a record is; nil: it is not looked through
	}{
		{s.Alerts, "record", ofAlert}, {s.Shadow, "record", ofAlert}, {s.Dismissed, "record", ofAlert},
		{s.DeadLetters, "letter", ofLetter},
		{s.WindowTable, "record", ofValue}, {s.IndexTable, "record", ofValue},
		{s.Changes, "", nil}, {s.Candidates, "", nil}, {s.Questions, "", nil}, {s.Again, "", nil},
		{s.IndexLoop, "", nil}, {s.Source, "", nil},
	} {
		_, err := cluster.Partitions(t.topic)
		what := "not counted"
		if err == nil && t.of != nil {
			n := int64(0)
			err = cluster.Tail(w, t.topic, kafka.Oldest, false, func(m *kafka.Message) error {
				if f.note(t.of(m)) {
					n++
				}
				return nil
			})
			what = present.Plural(n, t.what)
			if t.topic == s.DeadLetters && nobodys > 0 {
				what += fmt.Sprintf(", and %d whose account is not known", nobodys)
			}
		}
		until := ""
		switch {
		case app.IsMissing(err) && t.topic != s.Alerts:
			what = "is not there"
		case err != nil:
			return nil, err
		default:
			until = keeps(cluster, t.topic)
		}
		f.kept = append(f.kept, []string{"  " + t.topic, what, until})
	}
	return f, nil
}

// keeps says for how long a topic keeps what was deleted from it, or stands in it.
func keeps(cluster *kafka.Cluster, topic string) string {
	k, err := cluster.Keeps(topic)
	switch {
	case err != nil:
		return "for a time that is not known: " + present.Text(err.Error())
	case k.Compacted && k.Compaction > 0:
		return fmt.Sprintf("until the brokers compact it, in about %s", present.Duration(k.Compaction))
	case k.Compacted:
		return "until the brokers compact it: its max.compaction.lag.ms is not set"
	case k.Age < 0:
		return "for ever: shorten its retention.ms, if that is not to be"
	case k.Segment > 0:
		return fmt.Sprintf("for %s, and up to %s more", present.Duration(k.Age), present.Duration(k.Segment))
	}
	return "for " + present.Duration(k.Age)
}
