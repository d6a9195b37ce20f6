package main

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/views"
)

type alertsCmd struct {
	Follow bool   `short:"f" help:"Go on with alerts as they come."`
	JSON   bool   `name:"json" help:"One JSON record a line, as in the topic."`
	User   string `help:"Only of this user." placeholder:"ID"`
	Limit  int    `help:"The newest so many; 0: all." default:"20"`
	Money  `group:"Output"`
	Group
}

func (alertsCmd) Help() string {
	return `Reads the topic of alerts: the newest ones, oldest of them first, and with
--follow everything that comes after.

Examples:

	brimline alerts --follow
	brimline alerts --user 27956157 --json --limit 0`
}

// seenAlert is an alert with the bytes that it came as.
type seenAlert struct {
	*brimline.Alert
	raw []byte
}

func (c *alertsCmd) Run(w *world) error {
	cluster, err := c.connect(w)
	if err != nil {
		return ended(w, err)
	}
	defer cluster.Close()
	topic := c.streams().Alerts
	var list []seenAlert
	read := map[int32]int64{}
	err = cluster.Tail(w, topic, kafka.Oldest, false, func(m *kafka.Message) error {
		read[m.Partition] = m.Offset
		if a, ok := c.decode(m); ok {
			list = append(list, a)
		}
		if c.Limit > 0 && len(list) >= 2*c.Limit+1000 { // a long history is not kept for its end
			list = c.newest(list)
		}
		return nil
	})
	if err != nil {
		return ended(w, c.notRunYet(err))
	}
	for _, a := range c.newest(list) {
		c.print(w, a)
	}
	if !c.Follow {
		return nil
	}
	// From the beginning once more, because what came since the list was read must not be missed.
	return ended(w, cluster.Tail(w, topic, kafka.Oldest, true, func(m *kafka.Message) error {
		if last, ok := read[m.Partition]; ok && m.Offset <= last {
			return nil
		}
		if a, ok := c.decode(m); ok {
			c.print(w, a)
		}
		return nil
	}))
}

// decode gives what is an alert and was asked for; the topic is open to others.
func (c *alertsCmd) decode(m *kafka.Message) (seenAlert, bool) {
	v, err := codecs.Alert{}.Decode(m.Value)
	if err != nil {
		return seenAlert{}, false
	}
	a := v.(*brimline.Alert)
	return seenAlert{a, m.Value}, c.User == "" || a.Candidate.User == c.User
}

func (c *alertsCmd) newest(list []seenAlert) []seenAlert {
	slices.SortStableFunc(list, func(a, b seenAlert) int { return cmp.Compare(views.Raised(a.Alert), views.Raised(b.Alert)) })
	if c.Limit > 0 && len(list) > c.Limit {
		list = slices.Clone(list[len(list)-c.Limit:])
	}
	return list
}

func (c *alertsCmd) print(w *world, a seenAlert) {
	if c.JSON {
		fmt.Fprintf(w.out, "%s\n", a.raw)
		return
	}
	fmt.Fprintln(w.out, c.Money.alert(a.Alert))
}

// ended is nil when the person stopped the command: that is how --follow ends.
func ended(w *world, err error) error {
	if w.Err() != nil {
		return nil
	}
	return err
}
