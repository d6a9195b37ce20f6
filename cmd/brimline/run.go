package main

import (
	"github.com/brimline/brimline/internal/app"
	"github.com/brimline/brimline/internal/config"
)

type runCmd struct {
	Config config.Config `embed:""`
}

func (runCmd) Help() string {
	return `Runs the stages route, window, verify and index in this process, and the HTTP
API over their tables. Start more with the same --group to share the work; the
same group resumes where it stopped, a new one starts from the beginning. Topics
are created as needed. The first Ctrl-C (or SIGTERM) finishes what was begun,
the second ends at once.

Examples:

	brimline run --brokers kafka:9092 --rules rules.yaml --database-url postgres://brimline@db/app
	brimline run --stages verify --group payments`
}

func (c *runCmd) Run(w *world) error {
	// Checked before the secrets' files are read, so that every problem is told at once.
	if err := c.Config.Valid(); err != nil {
		return err
	}
	if err := c.Config.ReadSecrets(); err != nil {
		return err
	}
	c.Config.Memory.Keep()
	a, err := app.New(w, app.Options{Config: c.Config, Log: w.logger(&c.Config.Logging), Version: version()})
	if err != nil {
		return err
	}
	return a.Run(w)
}
