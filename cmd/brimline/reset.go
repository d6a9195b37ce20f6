package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/app"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/present"
)

type resetCmd struct {
	Yes        bool   `short:"y" help:"Do not ask."`
	WithAlerts bool   `help:"Also delete the topic of alerts, which other groups and programs may be reading."`
	StateDir   string `help:"Directory for local state." default:".brimline/state" env:"BRIMLINE_STATE_DIR"`
	Group
}

func (resetCmd) Help() string {
	return `Deletes everything that belongs to the group, so that the next run reads the
change stream from the beginning: its consumer groups, its topics and tables,
and its state on this machine. Shows the list and asks. Refused while an
instance is running. The source topic is never touched. The topic of alerts
stays: alerts raised again then have the same ids as before.

A new --group does the same and leaves the old one as it is.

Example:

	brimline reset --group brimline`
}

func (c *resetCmd) Run(w *world) error {
	cluster, err := c.connect(w)
	if err != nil {
		return err
	}
	defer cluster.Close()
	s := c.streams()
	if err := refuseLive(w, cluster, s.Groups()); err != nil {
		return err
	}
	topics := s.Owned()
	if c.WithAlerts {
		topics = append(topics, s.Alerts)
	}
	existing, err := existingTopics(cluster, topics)
	if err != nil {
		return err
	}
	groups, err := cluster.GroupsThere(w, s.Groups()...)
	if err != nil {
		return err
	}
	state := filepath.Join(c.StateDir, s.Group)
	_, stateErr := os.Stat(state)
	// What an interrupted reset has left is deleted by the next one. The topic of alerts may be that of others.
	if len(groups) == 0 && !slices.ContainsFunc(existing, func(t string) bool { return t != s.Alerts }) {
		if err := c.exists(w, cluster); err != nil {
			return err
		}
	}

	fmt.Fprintf(w.out, "This deletes, at %s:\n", strings.Join(c.Brokers, ","))
	for _, g := range groups {
		fmt.Fprintf(w.out, "  consumer group  %s\n", g)
	}
	for _, t := range existing {
		fmt.Fprintf(w.out, "  topic           %s\n", t)
	}
	if stateErr == nil {
		fmt.Fprintf(w.out, "  local state     %s\n", state)
	}
	if !c.WithAlerts {
		fmt.Fprintf(w.out, "Topic %s stays; its alerts will be raised again, with the same ids.\n", s.Alerts)
	}
	if !c.Yes {
		if ok, err := w.confirm("Delete all of this?"); !ok {
			return err
		}
	}
	if err := cluster.DeleteGroups(w, groups...); err != nil {
		return err
	}
	if err := cluster.Delete(w, existing...); err != nil {
		return err
	}
	if err := app.RemoveState(c.StateDir, s.Group); err != nil {
		return err
	}
	fmt.Fprintln(w.out, "done; the next run starts from the beginning")
	return nil
}

// refuseLive is an error that names the members that the groups still have.
func refuseLive(w *world, cluster *kafka.Cluster, groups []string) error {
	var live []string
	for _, g := range groups {
		members, err := cluster.Members(w, g)
		if err != nil {
			return err
		}
		for _, m := range members {
			live = append(live, fmt.Sprintf("%s: %s at %s", g, present.Word(m.ClientID), present.Word(m.Host)))
		}
	}
	if len(live) == 0 {
		return nil
	}
	return &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: kafka.KindGroupActive, Where: "the group is in use",
		Remedy: "stop these instances first; one that was killed is forgotten after --session-timeout",
		Err:    errors.New(strings.Join(live, "\n")),
	}
}

func existingTopics(cluster *kafka.Cluster, topics []string) ([]string, error) {
	var there []string
	for _, t := range topics {
		_, err := cluster.Partitions(t)
		if app.IsMissing(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		there = append(there, t)
	}
	return there, nil
}
