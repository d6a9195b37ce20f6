package main

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/present"
	"github.com/brimline/brimline/views"
)

type alertsCmd struct {
	Follow bool   `short:"f" help:"Go on with alerts as they come."`
	JSON   bool   `name:"json" help:"One JSON record a line, as in the topic."`
	User   string `help:"Only of this user." placeholder:"ID"`
	Rule   string `help:"Only of this rule, or of one of its limits: weekly-spend, weekly-spend@5000." placeholder:"ID"`
	Shadow bool   `help:"Those of rules in mode shadow, which stand in a topic of their own."`
	Limit  *int   `help:"The newest so many; 0: all. Where it is not given, 20 on a terminal or with --follow, else all." placeholder:"N"`
	Money  `group:"Output"`
	Group
}

func (alertsCmd) Help() string {
	return `Reads the topic of alerts: the newest ones, oldest of them first, and with
--follow everything that comes after. If there are more than are shown, standard
error says how many. An alert that supersedes earlier ones of its user and rule,
since a row came late, names their times.

Examples:

	brimline alerts --follow
	brimline alerts --user 27956157 --json --limit 0
	brimline alerts --shadow --rule weekly-spend`
}

// seenAlert is an alert with the bytes that it came as.
type seenAlert struct {
	*brimline.Alert
	raw []byte
}

// fewAlerts is how many are shown to who has not said a number and does not want a file of them.
const fewAlerts = 20

func (c *alertsCmd) Run(w *world) error {
	most, err := c.most(w)
	if err != nil {
		return err
	}
	cluster, err := c.join(w)
	if err != nil {
		return ended(w, err)
	}
	defer cluster.Close()
	topic := c.streams().Alerts
	if c.Shadow {
		topic = c.streams().Shadow
	}
	var list []seenAlert
	all := 0 // alerts, of every user
	mine := 0
	read := map[int32]int64{}
	err = cluster.Tail(w, topic, kafka.Oldest, false, func(m *kafka.Message) error {
		read[m.Partition] = m.Offset
		a, ok := decodeAlert(m)
		if !ok {
			return nil
		}
		all++
		if c.asked(a) {
			mine++
			list = append(list, a)
		}
		if most > 0 && len(list) >= 2*most+1000 { // a long list is not kept for its end
			list = newest(list, most)
		}
		return nil
	})
	if err != nil {
		return ended(w, err)
	}
	list = newest(list, most)
	for _, a := range list {
		c.print(w, a)
	}
	switch {
	case len(list) < mine:
		w.note(&c.Logging, fmt.Sprintf("%d of %d shown; --limit 0 shows all", len(list), mine))
	case mine == 0 && c.User != "" && c.Rule != "":
		w.note(&c.Logging,
			fmt.Sprintf("no alerts of user %s and rule %s among %d", present.Word(c.User), present.Word(c.Rule), all))
	case mine == 0 && c.User != "":
		w.note(&c.Logging, fmt.Sprintf("no alerts of user %s among %d", present.Word(c.User), all))
	case mine == 0 && c.Rule != "":
		w.note(&c.Logging, fmt.Sprintf("no alerts of rule %s among %d", present.Word(c.Rule), all))
	case mine == 0:
		w.note(&c.Logging, "no alerts")
	}
	if !c.Follow {
		return nil
	}
	// From the beginning once more, because what came since the list was read must not be missed.
	return ended(w, cluster.Tail(w, topic, kafka.Oldest, true, func(m *kafka.Message) error {
		if last, ok := read[m.Partition]; ok && m.Offset <= last {
			return nil
		}
		if a, ok := decodeAlert(m); ok && c.asked(a) {
			c.print(w, a)
		}
		return nil
	}))
}

// most is how many alerts are shown of those that there are; 0: all.
func (c *alertsCmd) most(w *world) (int, error) {
	switch {
	case c.Limit == nil && (c.Follow || isTerminal(w.out)):
		return fewAlerts, nil
	case c.Limit == nil:
		return 0, nil
	case *c.Limit < 0:
		return 0, &brimline.Error{
			Class: brimline.ClassInput, Kind: "settings", Where: "--limit", Remedy: "give a number, or 0 for all",
			Err: fmt.Errorf("%d is below 0", *c.Limit),
		}
	}
	return *c.Limit, nil
}

func (c *alertsCmd) asked(a seenAlert) bool {
	rule := &a.Candidate.Rule
	return (c.User == "" || a.Candidate.User == c.User) && (c.Rule == "" || rule.ID == c.Rule || rule.Of() == c.Rule)
}

// decodeAlert gives what is an alert; the topic is open to others.
func decodeAlert(m *kafka.Message) (seenAlert, bool) {
	v, err := codecs.Alert{}.Decode(m.Value)
	if err != nil {
		return seenAlert{}, false
	}
	return seenAlert{v.(*brimline.Alert), m.Value}, true
}

func newest(list []seenAlert, most int) []seenAlert {
	slices.SortStableFunc(list, func(a, b seenAlert) int {
		return cmp.Compare(views.Raised(a.Alert), views.Raised(b.Alert))
	})
	if most > 0 && len(list) > most {
		list = slices.Clone(list[len(list)-most:])
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
