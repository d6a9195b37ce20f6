package main

import (
	"encoding/json"
	"fmt"

	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/processors"
)

type topologyCmd struct {
	JSON         bool `name:"json" help:"As JSON."`
	config.Names `group:"Names"`
}

func (topologyCmd) Help() string {
	return `The stages in the order of the flow, with every topic, table and consumer
group that they use, and what records are keyed by. It is the declaration that
topics are created from; nothing is asked of Kafka.

Example:

	brimline topology --group payments`
}

func (c *topologyCmd) Run(w *world) error {
	if err := config.Check(&c.Names); err != nil {
		return err
	}
	stages := processors.Topology(processors.NewStreams(c.Group, c.Source, c.Names.Alerts))
	if c.JSON {
		enc := json.NewEncoder(w.out)
		enc.SetIndent("", "  ")
		return enc.Encode(stages)
	}
	for i, s := range stages {
		if i > 0 {
			fmt.Fprintln(w.out)
		}
		fmt.Fprintf(w.out, "%s (group %s)\n", s.Name, s.Group)
		var rows [][]string
		add := func(kind string, e processors.Stream) {
			rows = append(rows, []string{"  " + kind, e.Topic, "key: " + e.Key, e.What})
		}
		for _, e := range s.In {
			add("in", e)
		}
		if s.Table != nil {
			add("table", *s.Table)
		}
		if s.Loop != nil {
			add("loop", *s.Loop)
		}
		for _, e := range s.Out {
			add("out", e)
		}
		table(w.out, nil, rows...)
	}
	return nil
}
