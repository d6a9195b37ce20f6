package main

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/present"
	"github.com/brimline/brimline/internal/reference"
	"github.com/brimline/brimline/internal/rules"
	"github.com/brimline/brimline/internal/rulestest"
)

type rulesTestCmd struct {
	Files   []string      `arg:"" name:"file" help:"Files of tests."`
	Filter  string        `name:"run" help:"Only tests whose name matches." placeholder:"REGEXP"`
	Verbose bool          `short:"v" help:"Also show the tests that pass, with the course of each total."`
	JSON    bool          `name:"json" help:"As JSON."`
	Against config.Secret `help:"Let this PostgreSQL judge the same rows, in a temporary table." placeholder:"URL"`
}

func (rulesTestCmd) Help() string {
	return `Plays the tests of rules on the very code that finds and decides edges, in memory:
no Kafka and no PostgreSQL is needed. A failure shows what was expected beside
what was sent, and the course of the total. docs/rules.md says how to write tests;
brimline rules init writes some to begin with.

With --against the database also says, after each step, which edges the rows
have. It gets them in a temporary table of a transaction that is rolled back; the
login needs the right to make such tables, and none to any other. Where it says
something else than brimline, report that.

Exit code 1 when a test failed, 2 when a file cannot be understood, 3 when the
database cannot be asked.

Examples:

	brimline rules test rules.test.yaml
	brimline rules test --run refund -v rules.test.yaml`
}

func (c *rulesTestCmd) Run(w *world) error {
	chosen, err := regexp.Compile(c.Filter)
	if err != nil {
		return usage("--run", "write a regular expression such as refund|reversal", err)
	}
	files, err := rules.LoadTests(c.Files...)
	if err != nil {
		return err
	}
	var cases []*rulestest.Case
	for _, file := range files {
		for i := range file.Tests {
			if test := &file.Tests[i]; chosen.MatchString(test.Name) {
				cases = append(cases, &rulestest.Case{File: file, Test: test})
			}
		}
	}
	if len(cases) == 0 {
		return usage("--run", "choose by a part of a test's name", errors.New("no test has a name that matches"))
	}
	options := rulestest.Options{Courses: c.Verbose}
	if c.Against != "" {
		if options.Judge, err = reference.Open(w, c.Against.Reveal()); err != nil {
			return err
		}
		defer options.Judge.Close()
	}
	begin := time.Now()
	results, err := rulestest.Play(w, rulestest.NewFold(), cases, options)
	if err != nil {
		return err
	}
	return c.show(w, results, time.Since(begin))
}

func usage(where, remedy string, err error) error {
	return &brimline.Error{Class: brimline.ClassInput, Kind: "usage", Where: where, Remedy: remedy, Err: err}
}

func (c *rulesTestCmd) show(w *world, results []rulestest.Result, took time.Duration) error {
	sum := rulestest.Summarize(results)
	if c.JSON {
		if err := rulestest.WriteJSON(w.out, results); err != nil {
			return err
		}
	} else {
		for i := range results {
			if r := &results[i]; c.Verbose || !r.Passed() {
				r.WriteText(w.out)
			}
		}
		judged := ""
		if c.Against != "" {
			judged = ", judged by PostgreSQL"
		}
		fmt.Fprintf(w.out, "%s: %d passed, %d failed%s (%s)\n", present.Plural(sum.Tests, "test"), sum.Passed,
			sum.Failed+sum.Disagreed, judged, present.Took(took))
	}
	switch {
	case sum.Disagreed > 0:
		return &brimline.Error{
			Class: brimline.ClassRuntime, Kind: "tests_disagree",
			Remedy: "report this with the rules and the tests: one of the two is wrong",
			Err:    fmt.Errorf("brimline and PostgreSQL disagree in %s", present.Plural(sum.Disagreed, "test")),
		}
	case sum.Failed > 0:
		return &brimline.Error{
			Class: brimline.ClassRuntime, Kind: "tests_failed",
			Err: fmt.Errorf("%d of %s failed", sum.Failed, present.Plural(sum.Tests, "test")),
		}
	}
	return nil
}
