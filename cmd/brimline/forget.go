package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/app"
	"github.com/brimline/brimline/internal/kafka"
)

type forgetCmd struct {
	Users []string `arg:"" name:"user" help:"Users, as in the watched table."`
	Yes   bool     `short:"y" help:"Do not ask; needed where there is no terminal."`
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
topic. A dead letter that is retried brings its row back.

Alerts and letters that were on their way are not among it: do it again after a
minute. That does no harm.

Example:

	brimline forget 27956157 --yes`
}

func (c *forgetCmd) Run(w *world) error {
	if err := checkUsers(c.Users); err != nil {
		return err
	}
	cluster, err := c.join(w)
	if err != nil {
		return ended(w, err)
	}
	defer cluster.Close()
	kept, err := c.kept(w, cluster)
	if err != nil {
		return ended(w, err)
	}
	who := plural(int64(len(c.Users)), "user")
	if !c.Yes {
		question := fmt.Sprintf("Delete what group %s keeps of %s?", shown(c.Names.Group), who)
		if ok, err := w.confirm(question); !ok {
			return err
		}
	}
	if err := app.Forget(c.options(), c.streams(), c.Users, brimline.TimeOf(time.Now())); err != nil {
		return ended(w, err)
	}
	fmt.Fprintf(w.out, "%s forgotten: rows, edges and lists of alerts go as soon as the stages come to it\n", who)
	fmt.Fprintln(w.out, "What Kafka keeps, and deletes by age only:")
	for _, k := range kept {
		fmt.Fprintf(w.out, "  %-24s %s, %s\n", k.topic, k.what, k.until)
	}
	return nil
}

// checkUsers refuses what no row can have as its user.
func checkUsers(users []string) error {
	for _, id := range users {
		if id == "" || strings.ContainsRune(id, 0) {
			return &brimline.Error{
				Class: brimline.ClassInput, Kind: "bad_user_id", Where: "user " + shown(id),
				Remedy: "write the id as it stands in the table", Err: errors.New("no user has this id"),
			}
		}
	}
	return nil
}

// kept is what stays of users in a topic.
type kept struct{ topic, what, until string }

// kept counts what can be counted, and says how long each topic keeps it.
func (c *forgetCmd) kept(w *world, cluster *kafka.Cluster) (all []kept, err error) {
	s := c.streams()
	users := map[string]bool{}
	for _, id := range c.Users {
		users[id] = true
	}
	isAlert := func(value []byte) bool {
		v, err := codecs.Alert{}.Decode(value)
		return err == nil && users[v.(*brimline.Alert).Candidate.User]
	}
	isLetter := func(value []byte) bool {
		v, err := codecs.DeadLetter{}.Decode(value)
		return err == nil && users[v.(*brimline.DeadLetter).User]
	}
	for _, t := range []struct {
		topic, what string
		about       func(value []byte) bool // nil: it is not looked through
	}{
		{s.Alerts, "record", isAlert}, {s.Dismissed, "record", isAlert},
		{s.DeadLetters, "letter", isLetter},
		{s.Changes, "", nil}, {s.Candidates, "", nil}, {s.Questions, "", nil}, {s.Again, "", nil}, {s.IndexLoop, "", nil},
		{s.WindowTable, "", nil}, {s.IndexTable, "", nil}, {s.Source, "", nil},
	} {
		k := kept{topic: t.topic, what: "not counted"}
		if t.about != nil {
			n := int64(0)
			err = cluster.Tail(w, t.topic, kafka.Oldest, false, func(m *kafka.Message) error {
				if t.about(m.Value) {
					n++
				}
				return nil
			})
			k.what = plural(n, t.what)
		}
		switch {
		case app.IsMissing(err):
			err = nil
			continue
		case err != nil:
			return nil, err
		}
		k.until = keeps(cluster, t.topic)
		all = append(all, k)
	}
	return all, nil
}

// keeps says for how long a topic keeps what was deleted from it, or stands in it.
func keeps(cluster *kafka.Cluster, topic string) string {
	compacted, age, err := cluster.Keeps(topic)
	switch {
	case err != nil:
		return "for a time that is not known: " + err.Error()
	case compacted:
		return "until the brokers compact it"
	case age < 0:
		return "for ever: shorten its retention.ms, if that is not to be"
	}
	return "for " + span(age)
}

// span is a time in whole days where it is more than two of them.
func span(d time.Duration) string {
	if days := d / (24 * time.Hour); days > 2 && d%(24*time.Hour) == 0 {
		return plural(int64(days), "day")
	}
	return d.String()
}
