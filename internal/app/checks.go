package app

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/preflight"
	"github.com/brimline/brimline/internal/rules"
	"github.com/brimline/brimline/processors"
)

// DatabaseChecks translate a configuration for package preflight.
func DatabaseChecks(c *config.Config, rules *brimline.RuleSet) preflight.DatabaseOptions {
	return preflight.DatabaseOptions{
		URL: c.DatabaseURL.Reveal(), Table: c.Table, ID: c.IDColumn, User: c.UserColumn, Amount: c.AmountColumn, Time: c.TimeColumn,
		Columns: rules.Columns, Scale: rules.Scale,
	}
}

// preflight ends the start where going on is pointless, and logs what will
// surprise somebody later. Kafka has been met before; what remains is PostgreSQL.
func (a *App) preflight(ctx context.Context) error {
	if a.config.Verify == "off" || !a.config.Runs(processors.Verify) {
		return nil
	}
	findings := preflight.Database(ctx, DatabaseChecks(&a.config, &a.rules.RuleSet))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := preflight.Err(findings); err != nil {
		return err
	}
	for _, f := range findings {
		if f.Level == preflight.Warning {
			a.log.Warn(f.What, "check", f.Check, "remedy", f.Remedy)
		} else {
			a.log.Debug(f.What, "check", f.Check)
		}
	}
	return nil
}

// Examine runs all checks of `brimline doctor`. Whatever cannot be asked is a finding, too.
func Examine(ctx context.Context, c *config.Config) []preflight.Finding {
	var findings []preflight.Finding
	add := func(level preflight.Level, check, what, remedy string) {
		findings = append(findings, preflight.Finding{Check: check, Level: level, What: what, Remedy: remedy})
	}
	failed := func(check string, err error) {
		e, ok := errors.AsType[*brimline.Error](err)
		if !ok {
			add(preflight.Error, check, err.Error(), "")
			return
		}
		add(preflight.Error, check, strings.TrimPrefix(e.Where+": ", ": ")+e.Err.Error(), e.Remedy)
	}
	ruleSet := brimline.RuleSet{Scale: rules.DefaultScale}
	if set, err := rules.Load(c.Rules); err != nil {
		failed("rules", err)
	} else {
		ruleSet = set.RuleSet
		add(preflight.OK, "rules", fmt.Sprintf("%s: %d rules", c.Rules, len(set.Rules)), "")
	}
	if cluster, err := kafka.Dial(ctx, KafkaOptions(&c.Kafka, "brimline-doctor"), kafka.Quick); err != nil {
		failed("kafka", err)
	} else {
		defer cluster.Close()
		add(preflight.OK, "kafka", "connected to "+strings.Join(c.Brokers, ","), "")
		if n, err := cluster.Partitions(c.Source); err != nil {
			failed("kafka_source", sourceError(c.Source, err))
		} else {
			add(preflight.OK, "kafka_source", fmt.Sprintf("topic %q has %d partitions", c.Source, n), "")
		}
	}
	switch {
	case c.Verify == "off":
		add(preflight.Note, "postgres", "not looked at: --verify is off", "")
	case c.DatabaseURL == "":
		add(preflight.Error, "postgres", "no database URL is given", "set --database-url, or --verify=off")
	default:
		findings = append(findings, preflight.Database(ctx, DatabaseChecks(c, &ruleSet))...)
	}
	return findings
}
