package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/app"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/preflight"
)

type doctorCmd struct {
	JSON       bool   `name:"json" help:"As JSON."`
	ConnectURL string `name:"connect-url" help:"Also ask Kafka Connect about its connector." env:"BRIMLINE_CONNECT_URL" placeholder:"URL"`

	config.Kafka    `group:"Kafka"`
	config.Names    `group:"Names"`
	config.Topics   `group:"Topics"`
	config.Watched  `group:"Watched table"`
	config.Records  `group:"Change records"`
	config.Judging  `group:"Rules and verification"`
	config.Database `group:"PostgreSQL"`
	config.Logging  `group:"Logs"`
}

func (doctorCmd) Help() string {
	return `Looks at everything that a run needs, changes nothing, and tells what to do about
each finding that is not fine. Exit code 3 when something would not work.

Example:

	brimline doctor --brokers kafka:9092 --database-url postgres://brimline@db/app`
}

func (c *doctorCmd) Run(w *world) error {
	all := config.Config{
		Kafka: c.Kafka, Names: c.Names, Topics: c.Topics, Watched: c.Watched, Records: c.Records,
		Judging: c.Judging, Database: c.Database, Logging: c.Logging,
	}
	if err := config.Check(&all.Kafka, &all.Names, &all.Topics, &all.Watched, &all.Records, &all.Judging, &all.Database, &all.Logging); err != nil {
		return err
	}
	if err := all.ReadSecrets(); err != nil {
		return err
	}
	findings := app.Examine(w, &all, c.ConnectURL)
	if w.Err() != nil {
		return nil
	}
	for i := range findings {
		if f := &findings[i]; w.startDemo != "" && f.Level == preflight.Error && strings.HasSuffix(f.Check, "_connection") {
			f.Remedy = w.startDemo
		}
	}
	if err := c.show(w, findings); err != nil {
		return err
	}
	if preflight.Worst(findings) == preflight.Error {
		return &brimline.Error{
			Class: brimline.ClassEnvironment, Kind: "doctor", Remedy: "see the findings above", Err: errors.New("something would not work"),
		}
	}
	return nil
}

func (c *doctorCmd) show(w *world, findings []preflight.Finding) error {
	if c.JSON {
		enc := json.NewEncoder(w.out)
		enc.SetIndent("", "  ")
		return enc.Encode(findings)
	}
	for _, f := range findings {
		fmt.Fprintf(w.out, "%-8s %-28s %s\n", f.Level, f.Check, f.What)
		if f.Remedy != "" {
			fmt.Fprintf(w.out, "%-8s %-28s remedy: %s\n", "", "", f.Remedy)
		}
	}
	return nil
}
