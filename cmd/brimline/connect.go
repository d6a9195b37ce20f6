package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/app"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/present"
	"github.com/brimline/brimline/processors"
)

// Group are the settings of commands that look at one group in Kafka.
type Group struct {
	config.Kafka   `group:"Kafka"`
	config.Names   `group:"Names"`
	config.Logging `group:"Logs"`
}

// connect checks the settings and dials, giving up soon, because a person waits for the answer.
func (g *Group) connect(w *world) (*kafka.Cluster, error) {
	if err := config.Check(&g.Kafka, &g.Names, &g.Logging); err != nil {
		return nil, err
	}
	whole := config.Config{Kafka: g.Kafka}
	if err := whole.ReadSecrets(); err != nil {
		return nil, err
	}
	g.Kafka = whole.Kafka
	return kafka.Dial(w, g.options(), kafka.Quick)
}

func (g *Group) options() kafka.Options { return app.KafkaOptions(&g.Kafka, "brimline-cli") }

func (g *Group) streams() processors.Streams {
	return processors.NewStreams(g.Names.Group, g.Source, g.Names.Alerts)
}

func (g *Group) log(w *world) *slog.Logger { return w.logger(&g.Logging) }

// join connects, and makes sure that there is such a group: what is asked of one that is not there has no answer, and
// silence must not pass for one.
func (g *Group) join(w *world) (*kafka.Cluster, error) {
	cluster, err := g.connect(w)
	if err != nil {
		return nil, err
	}
	if err := g.exists(w, cluster); err != nil {
		_ = cluster.Close()
		return nil, err
	}
	return cluster, nil
}

// exists is an error where the group has never run, or was reset. Who may not look at its topics is not told so here.
func (g *Group) exists(ctx context.Context, cluster *kafka.Cluster) error {
	s := g.streams()
	_, err := cluster.Partitions(s.Rules)
	if !app.IsMissing(err) {
		if e, ok := errors.AsType[*brimline.Error](err); ok && e.Kind == kafka.KindPermission {
			return nil
		}
		return err
	}
	others, err := app.GroupsThere(ctx, cluster)
	if err != nil {
		return err
	}
	remedy := "check --group and --brokers; "
	if len(others) > 0 {
		remedy += "groups here: " + listed(others) + "; "
	}
	remedy += "`brimline run` begins a group at its first start"
	what := fmt.Errorf("it does not exist: there is no topic %q", s.Rules)
	if _, err := cluster.Partitions(s.Alerts); err == nil {
		what = fmt.Errorf("%w; topic %q is still there: consume it with any Kafka client", what, s.Alerts)
	}
	return &brimline.Error{
		Class: brimline.ClassInput, Kind: "group_unknown", Where: "group " + present.Word(g.Names.Group),
		Remedy: remedy, Err: what,
	}
}

// mostListed is how many names an error repeats.
const mostListed = 10

func listed(names []string) string {
	var all []string
	for _, name := range names[:min(len(names), mostListed)] {
		all = append(all, present.Word(name))
	}
	text := strings.Join(all, ", ")
	if more := len(names) - mostListed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// notBegun is the error where a first start has ended before the group's rules were written down.
func (g *Group) notBegun() error {
	return &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: "group_not_begun", Where: "group " + present.Word(g.Names.Group),
		Remedy: "start `brimline run` once more: it goes on with what there is",
		Err:    fmt.Errorf("its topic %q is empty: its first start has not come to an end", g.streams().Rules),
	}
}
