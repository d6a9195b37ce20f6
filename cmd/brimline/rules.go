package main

import (
	"fmt"

	"github.com/brimline/brimline/internal/rules"
)

type rulesCmd struct {
	Check rulesCheckCmd `cmd:"" help:"Check a rules file and show what it says."`
	Test  rulesTestCmd  `cmd:"" help:"Play tests of rules: rows in, alerts expected."`
	Init  rulesInitCmd  `cmd:"" help:"Write a rules file to begin with, and tests of it."`
}

type rulesCheckCmd struct {
	File string `arg:"" help:"The rules file."`
}

func (rulesCheckCmd) Help() string {
	return `Reads a rules file as run would, without Kafka or PostgreSQL. Everything that is
wrong is told at once, with line and column; a correct file is shown as it was
understood.

Example:

	brimline rules check rules.yaml`
}

func (c *rulesCheckCmd) Run(w *world) error {
	set, err := rules.Load(c.File)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(w.out, rules.Describe(set))
	return err
}
