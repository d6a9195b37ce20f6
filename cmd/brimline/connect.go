package main

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/app"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/processors"
)

// Group are the settings of commands that look at one group in Kafka.
type Group struct {
	config.Kafka   `group:"Kafka"`
	config.Names   `group:"Names"`
	config.Logging `group:"Logs"`
}

// connect checks the settings and dials, giving up soon: somebody is waiting.
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

// notRunYet explains a topic of ours that is not there.
func (g *Group) notRunYet(err error) error {
	missing, ok := errors.AsType[*brimline.Error](err)
	if !ok || !app.IsMissing(err) {
		return err
	}
	return &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: "group_unknown", Where: "group " + shown(g.Names.Group),
		Remedy: "check --group and --brokers; `brimline run` creates its topics at the first start",
		Err:    fmt.Errorf("%s: %w", missing.Where, missing.Err), // without its own remedy: this one knows better
	}
}
