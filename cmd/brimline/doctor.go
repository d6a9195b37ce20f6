package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/app"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/httpapi"
	"github.com/brimline/brimline/internal/preflight"
	"github.com/brimline/brimline/internal/present"
	"github.com/brimline/brimline/processors"
)

type doctorCmd struct {
	JSON    bool `name:"json" help:"As JSON."`
	Capture bool `help:"Also check what brimline capture needs of this database and login."`

	config.Kafka     `group:"Kafka"`
	config.Names     `group:"Names"`
	config.Topics    `group:"Topics"`
	config.Watched   `group:"Watched table"`
	config.Records   `group:"Change records"`
	config.Feeding   `group:"Change records"`
	config.Judging   `group:"Rules and verification"`
	config.Database  `group:"PostgreSQL"`
	config.Listening `group:"Instance"`
	config.Logging   `group:"Logs"`
}

func (doctorCmd) Help() string {
	return `Makes the checks that a run makes at its start, changes nothing, and tells what to do
about each finding that is not fine, the worst first. Exit code 3 when a run
would not start, 2 when only settings are the reason. docs/checks.md lists all.

Where an instance of the group answers at --listen, users whom it distrusts are
told as well. It knows those of its own partitions only: ask the others, too.

Example:

	brimline doctor --brokers kafka:9092 --database-url postgres://brimline@db/app --connect-url http://connect:8083`
}

func (c *doctorCmd) Run(w *world) error {
	all := config.Config{
		Kafka: c.Kafka, Names: c.Names, Topics: c.Topics, Watched: c.Watched, Records: c.Records,
		Feeding: c.Feeding, Judging: c.Judging, Database: c.Database, Logging: c.Logging,
	}
	if err := config.Check(&all.Kafka, &all.Names, &all.Topics, &all.Watched, &all.Records, &all.Feeding, &all.Judging,
		&all.Database, &all.Logging); err != nil {
		return err
	}
	if err := all.ReadSecrets(); err != nil {
		return err
	}
	findings := append(app.Examine(w, &all, c.Capture), doubts(askInstance(w, c.Listen, c.Names.Group))...)
	if w.Err() != nil {
		return nil
	}
	for i := range findings {
		if f := &findings[i]; w.startDemo != "" && f.Level == preflight.Error &&
			f.Check == "kafka_connection_failed" {
			f.Remedy = w.startDemo
		}
	}
	if err := c.show(w, findings); err != nil {
		return err
	}
	if err := preflight.Err(findings); err != nil {
		class := brimline.ClassEnvironment
		if e, ok := errors.AsType[*brimline.Error](err); ok {
			class = e.Class
		}
		return &brimline.Error{
			Class: class, Kind: "doctor", Remedy: "see the findings above", Err: errors.New("a run would not start"),
		}
	}
	return nil
}

// doubts are the findings of an instance's answer: whether it distrusts users, or would distrust more than it may.
func doubts(asked *askedInstance) (findings []preflight.Finding) {
	if asked == nil {
		return nil
	}
	const another = "name an instance of the group that runs stage window with --listen, or off"
	if asked.status == nil {
		return []preflight.Finding{preflight.Found("instance_silent", another, "%s: %s", present.Word(asked.Listen),
			present.Text(asked.Problem))}
	}
	where := fmt.Sprintf("instance %s at %s", present.Word(asked.Instance), present.Word(asked.Listen))
	for _, n := range asked.Notices {
		switch n.Kind {
		case "distrusted_users", "distrusts_wait":
			findings = append(findings, preflight.Found("instance_"+n.Kind, present.Text(cmp.Or(n.Remedy,
				"nothing need be done for the alerts; the instance's log has examples of what the stream has lost")),
				"%s: %s", where, present.Text(n.Message)))
		}
	}
	window := slices.ContainsFunc(asked.Stages, func(s askedStage) bool {
		return s.Name == string(processors.Window) && s.State == string(httpapi.Running)
	})
	switch {
	case len(findings) > 0:
		return findings
	case window:
		return []preflight.Finding{preflight.Fine("instance", "%s: no user of its partitions is distrusted", where)}
	default:
		return []preflight.Finding{preflight.Found("instance_silent", another,
			"%s: stage window does not run there, so it knows of no distrusted users", where)}
	}
}

func (c *doctorCmd) show(w *world, findings []preflight.Finding) error {
	if c.JSON {
		enc := json.NewEncoder(w.out)
		enc.SetIndent("", "  ")
		return enc.Encode(findings)
	}
	findings = slices.Clone(findings)
	slices.SortStableFunc(findings, func(a, b preflight.Finding) int { return int(b.Level) - int(a.Level) })
	counts := map[preflight.Level]int{}
	for _, f := range findings {
		counts[f.Level]++
		fmt.Fprintf(w.out, "%-8s %-28s %s\n", f.Level, f.Check, f.What)
		if f.Remedy != "" {
			fmt.Fprintf(w.out, "%-8s %-28s remedy: %s\n", "", "", f.Remedy)
		}
	}
	fmt.Fprintf(w.out, "%d errors, %d warnings, %d notes, %d ok\n", counts[preflight.Error], counts[preflight.Warning],
		counts[preflight.Note], counts[preflight.OK])
	return nil
}
