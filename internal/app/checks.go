package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"

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

// mayDescribe ends the start where this login must not look at the group: a
// lasting client takes the refusal for a coordinator that is away, and asks for minutes.
func (a *App) mayDescribe(ctx context.Context) error {
	quick, err := kafka.Dial(ctx, a.kafka, kafka.Quick)
	if err != nil {
		return err
	}
	defer quick.Close()
	for _, group := range a.streams.Groups() {
		_, err := quick.Members(ctx, group)
		if e, ok := errors.AsType[*brimline.Error](err); ok && e.Kind == kafka.KindPermission {
			return err
		}
	}
	return ctx.Err()
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

// newestLooked is how many of the newest records of the source topic are looked at.
const newestLooked = 50

// Examine runs all checks of `brimline doctor`. Whatever cannot be asked is a
// finding, too. connectURL is Kafka Connect's REST interface; empty where there is none to ask.
func Examine(ctx context.Context, c *config.Config, connectURL string) []preflight.Finding {
	var findings []preflight.Finding
	ruleSet := brimline.RuleSet{Scale: rules.DefaultScale}
	if set, err := rules.Load(c.Rules); err != nil {
		findings = append(findings, rulesFinding(err))
	} else {
		ruleSet = set.RuleSet
		what := fmt.Sprintf("%s is in order, with %s", c.Rules, plural(len(set.Rules), "rule"))
		findings = append(findings, preflight.Finding{Check: "rules", What: what})
	}
	findings = append(findings, examineDatabase(ctx, c, &ruleSet)...)
	findings = append(findings, examineKafka(ctx, c, &ruleSet)...)
	if connectURL != "" {
		findings = append(findings, preflight.Connect(ctx, preflight.ConnectOptions{URL: connectURL, Table: c.Table})...)
	}
	return findings
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func rulesFinding(err error) preflight.Finding {
	f := preflight.Finding{Check: "rules", Level: preflight.Error, What: err.Error(), Remedy: "see `brimline rules check`"}
	if e, ok := errors.AsType[*brimline.Error](err); ok {
		f.What = e.Err.Error()
		f.Remedy = cmp.Or(e.Remedy, f.Remedy)
	}
	return f
}

func examineDatabase(ctx context.Context, c *config.Config, ruleSet *brimline.RuleSet) []preflight.Finding {
	switch {
	case c.DatabaseURL != "":
		return preflight.Database(ctx, DatabaseChecks(c, ruleSet))
	case c.Verify == "off":
		return []preflight.Finding{{Check: "postgres_connection", Level: preflight.Note, What: "PostgreSQL was not looked at: --verify is off"}}
	}
	return []preflight.Finding{{
		Check: "postgres_connection", Level: preflight.Error, What: "no database URL is given", Remedy: "set --database-url, or --verify=off",
	}}
}

func examineKafka(ctx context.Context, c *config.Config, ruleSet *brimline.RuleSet) []preflight.Finding {
	cluster, findings := preflight.Dial(ctx, KafkaOptions(&c.Kafka, "brimline-doctor"))
	if cluster == nil {
		return findings
	}
	defer cluster.Close()
	findings = append(findings, preflight.Kafka(ctx, cluster, preflight.KafkaOptions{
		Streams: Streams(c), Partitions: c.Partitions, Replication: c.Replication, History: ruleSet.Retention(),
	})...)
	newest, err := cluster.Last(ctx, c.Source, newestLooked)
	if err != nil {
		return findings // said of the topic already
	}
	o := preflight.ConnectorOptions{Debezium: DecoderOptions(c, ruleSet)}
	if c.DatabaseURL != "" {
		if scale, known := preflight.AmountScale(ctx, DatabaseChecks(c, ruleSet)); known {
			o.TableScale = &scale
		}
	}
	var samples []preflight.Sample
	for _, m := range newest {
		samples = append(samples, preflight.Sample{Key: m.Key, Value: m.Value})
	}
	return append(findings, preflight.Connector(samples, o)...)
}
