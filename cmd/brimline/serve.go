package main

import (
	"errors"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/app"
	"github.com/brimline/brimline/internal/config"
)

type serveCmd struct {
	config.Kafka     `group:"Kafka"`
	config.Names     `group:"Names"`
	config.Database  `group:"PostgreSQL"`
	config.State     `group:"State"`
	config.Serving   `group:"Running"`
	config.Profiling `group:"Running"`
	// As of config.Running.
	StopTimeout time.Duration `help:"How long a stop may take; what is not finished by then is left to the next start." default:"15s" env:"BRIMLINE_STOP_TIMEOUT" group:"Running"`
	Memory      config.Bytes  `help:"Memory to stay within; more of it makes a catch-up faster." default:"256MiB" env:"BRIMLINE_MEMORY" group:"Running"`

	config.Logging `group:"Logs"`
}

func (serveCmd) Help() string {
	return `API and page without stages, beside instances that run them: as many as are wanted,
where people are. Each reads the tables of the group whole and keeps a copy on disk.
It takes the rules, the table and its columns from what the group has written down,
and others when the group takes up others; until the group has begun it waits.
PostgreSQL, where --database-url is given, is asked for explanations alone. The
flags of --listen are those of run: beyond loopback it wants --tokens-file.

Examples:

	brimline serve --brokers kafka:9092 --group payments
	brimline serve --listen 0.0.0.0:8480 --tokens-file tokens --tls-cert cert.pem --tls-key key.pem`
}

func (c *serveCmd) Run(w *world) error {
	all := config.Default()
	all.Kafka, all.Names, all.Database, all.State = c.Kafka, c.Names, c.Database, c.State
	all.Serving, all.Profiling, all.Logging = c.Serving, c.Profiling, c.Logging
	all.StopTimeout, all.Memory = c.StopTimeout, c.Memory
	// The settings that only stages have are at their defaults, and fine.
	if err := config.Check(&all.Kafka, &all.Names, &all.Database, &all.State, &all.Running, &all.Serving, &all.Profiling,
		&all.Logging); err != nil {
		return err
	}
	if c.Listen == "off" {
		return &brimline.Error{
			Class: brimline.ClassInput, Kind: "settings", Where: "--listen",
			Remedy: "give an address; to answer is all that serve does", Err: errors.New("off leaves nothing to do"),
		}
	}
	if err := all.ReadSecrets(); err != nil {
		return err
	}
	all.Memory.Keep()
	return app.NewWithout(app.Options{Config: all, Log: w.logger(&c.Logging), Version: version()}).Run(w)
}
