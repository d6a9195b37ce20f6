package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/codecs/debezium"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/preflight"
	"github.com/brimline/brimline/internal/present"
	"github.com/brimline/brimline/internal/rules"
	"github.com/brimline/brimline/processors"
)

// DatabaseChecks translate a configuration for package preflight.
func DatabaseChecks(c *config.Config, rules *brimline.RuleSet) preflight.DatabaseOptions {
	return preflight.DatabaseOptions{
		URL: c.DatabaseURL.Reveal(), Table: c.Table, ID: c.IDColumn, User: c.UserColumn,
		Amount: c.AmountColumn, Time: c.TimeColumn,
		Columns: rules.Columns, Scale: rules.Scale, MinorUnits: c.AmountMinorUnits, FloatAmounts: c.AllowFloatAmounts,
		Unverified: c.Verify == "off", Slot: c.Slot, Publication: c.Publication,
	}
}

// watched are the columns that are read, each once.
func watched(c *config.Config, rules *brimline.RuleSet) []string {
	names := append([]string{c.UserColumn, c.AmountColumn, c.TimeColumn}, c.IDColumn...)
	for _, column := range rules.Columns {
		names = append(names, column.Name)
	}
	return names
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

// newestLooked is how many of the newest records of each partition of the source topic are looked at.
const newestLooked = 20

// examination holds the findings of the checks that `brimline doctor` and a start make.
type examination struct {
	findings []preflight.Finding
	// catalog describes the table; nil where PostgreSQL was not asked, or gave no answer.
	catalog *preflight.Catalog
	decided preflight.Decided
	// recorded are the settings that the group has written down; nil where it has none.
	recorded *codecs.GroupSettings
	// waits is set where this instance must not read the stream before another has written down what its rows mean.
	waits bool
}

func (e *examination) add(findings ...preflight.Finding) {
	e.findings = append(e.findings, findings...)
}

// examine makes all checks that can be made. What cannot be asked is a finding, too; cluster is nil where there is
// none.
func examine(
	ctx context.Context, c *config.Config, set *rules.Set, cluster *kafka.Cluster, capture bool,
) *examination {
	e := &examination{}
	var samples []preflight.Sample
	if cluster != nil {
		e.kafka(ctx, c, set, cluster)
		if newest, err := cluster.Last(ctx, c.Source, newestLooked); err == nil { // else it is said of the topic already
			for _, m := range newest {
				samples = append(samples, preflight.Sample{Key: m.Key, Value: m.Value})
			}
		}
	}
	newest := preflight.Look(samples, c.AmountColumn)
	database := DatabaseChecks(c, &set.RuleSet)
	database.Capture = capture
	database.AsksNull, database.Streamed = set.AsksNull(), newest.Any()
	connector := e.connect(ctx, c, set)
	if connector != nil {
		database.Slot, database.Publication = cmp.Or(
			c.Slot,
			connector.Slot,
		), cmp.Or(
			c.Publication,
			connector.Publication,
		)
		database.Nulls = connector.Nulls
	}
	if newest.Own() {
		database.Nulls = preflight.NullsKept
	}
	e.database(ctx, c, database)
	e.records(c, set, newest, connector, cluster != nil)
	return e
}

func (e *examination) kafka(ctx context.Context, c *config.Config, set *rules.Set, cluster *kafka.Cluster) {
	streams := Streams(c)
	e.add(preflight.Kafka(ctx, cluster, preflight.KafkaOptions{
		Streams: streams, Partitions: c.Partitions, Replication: c.Replication, Retention: set.Retention(),
	})...)
	e.alertsShared(ctx, streams, cluster)
	recorded, err := rulesTopic{cluster}.settings(ctx, streams.Rules)
	switch {
	case IsMissing(err):
	case err != nil:
		e.add(preflight.Failed("group_record", err))
	default:
		e.recorded = recorded
	}
}

// alertsShared looks for who else writes to our topic of alerts. What cannot be looked at is told where it is needed.
func (e *examination) alertsShared(ctx context.Context, streams processors.Streams, cluster *kafka.Cluster) {
	newest, err := cluster.Last(ctx, streams.Alerts, newestLooked)
	if err != nil { // it is not there yet, most often
		return
	}
	var parts []string
	groups, err := GroupsThere(ctx, cluster)
	if err != nil {
		return
	}
	groups = slices.DeleteFunc(groups, func(group string) bool {
		if group == streams.Group {
			return true
		}
		lags, err := cluster.Lag(ctx, processors.NewStreams(group, "", "").IndexGroup, []string{streams.Alerts})
		return err != nil || !slices.ContainsFunc(lags, func(l kafka.PartitionLag) bool { return l.Committed >= 0 })
	})
	switch len(groups) {
	case 0:
	case 1:
		parts = append(parts, "is also that of group "+groups[0])
	default:
		parts = append(parts, "is also that of the groups "+strings.Join(groups, ", "))
	}
	var sources []string
	for _, m := range newest {
		v, err := codecs.Alert{}.Decode(m.Value)
		if err != nil {
			continue // the topic is open to others
		}
		if from := v.(*brimline.Alert).Candidate.Source.Topic; from != streams.Source &&
			!slices.Contains(sources, from) {
			sources = append(sources, from)
		}
	}
	if slices.Sort(sources); len(sources) > 0 {
		parts = append(parts, "holds alerts of rows from "+strings.Join(sources, ", "))
	}
	if len(parts) > 0 {
		e.add(preflight.Found("kafka_alerts_shared", "give each group a topic of its own with --alerts, unless its "+
			"consumers tell by source.topic and rule whose an alert is", "topic %q %s", streams.Alerts,
			strings.Join(parts, ", and ")))
	}
}

func (e *examination) connect(ctx context.Context, c *config.Config, set *rules.Set) *preflight.Connector {
	if c.ConnectURL == "" {
		return nil
	}
	findings, connector := preflight.Connect(ctx, preflight.ConnectOptions{
		URL: c.ConnectURL.Reveal(), Table: c.Table, Source: c.Source, Columns: watched(c, &set.RuleSet),
	})
	e.add(findings...)
	return connector
}

func (e *examination) database(ctx context.Context, c *config.Config, o preflight.DatabaseOptions) {
	switch {
	case c.DatabaseURL != "":
		o.Spared = c.Verify == "off" || !c.Runs(processors.Verify) && e.recorded != nil && e.recorded.Known()
		findings, catalog := preflight.Database(ctx, o)
		e.add(findings...)
		e.catalog = catalog
	case c.Verify == "off":
		e.add(preflight.Found("postgres_connection_off", "set --database-url, where it can be asked: also without "+
			"verification its catalog says what the rows mean", "PostgreSQL was not looked at: --verify is off, and no "+
			"database URL is given"))
	case !c.Runs(processors.Verify):
		e.waits = c.Runs(processors.Route) && (e.recorded == nil || !e.recorded.Known())
		e.add(preflight.Found(
			"postgres_connection_off",
			"give --database-url here, too, to have it checked here",
			"PostgreSQL was not looked at: another instance verifies, and what it knows of the columns is taken from the group",
		))
	default:
		e.add(
			preflight.Found(
				"postgres_connection_none",
				"set --database-url, or --verify=off",
				"no database URL is given",
			),
		)
	}
}

// records looks at the settings in the light of what is known of the columns, and at the newest records.
func (e *examination) records(c *config.Config, set *rules.Set, newest *preflight.Newest,
	connector *preflight.Connector,
	asked bool) {
	o := DecoderOptions(c, &set.RuleSet)
	if e.catalog != nil {
		o.Facts, o.Identity = e.catalog.Facts(watched(c, &set.RuleSet)), e.catalog.Identity
	} else if e.recorded != nil {
		o.Facts, o.Identity = e.recorded.Facts, e.recorded.Identity
	}
	if _, err := debezium.New(o); err != nil {
		if !e.failed() { // else the columns' own findings say it, and better
			f := preflight.Failed("settings_wrong", err)
			f.Remedy = cmp.Or(f.Remedy, "correct the settings, or take out what is said to have no effect")
			e.add(f)
		}
		return
	}
	if e.recorded != nil {
		ours := groupSettings(c, &set.RuleSet, e)
		e.add(append(refusal(e.recorded, ours), changes(e.recorded, ours)...)...)
		if e.failed() {
			return // the records would be read as what they are not
		}
	}
	if asked && !e.waits {
		findings, decided := preflight.Records(newest, preflight.RecordsOptions{Debezium: o, Connector: connector})
		e.add(findings...)
		e.decided = decided
	}
	if e.recorded != nil && (e.decided != preflight.Decided{}) && !e.failed() {
		e.add(refusal(e.recorded, groupSettings(c, &set.RuleSet, e))...)
	}
}

// failed reports whether something would end a start.
func (e *examination) failed() bool { return preflight.Worst(e.findings) == preflight.Error }

// check makes the checks of a start: it ends the start where going on is pointless or would give wrong figures, and
// logs what will surprise an operator later.
func (a *App) check(ctx context.Context) (*examination, error) {
	e := examine(ctx, &a.config, a.rules, a.cluster, false)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	for _, f := range e.findings {
		switch {
		case f.Level == preflight.Warning:
			a.log.Warn(f.What, "check", f.Check, "remedy", f.Remedy)
		case f.Check == "units":
			a.log.Info(f.What, "check", f.Check)
		default:
			a.log.Debug(f.What, "check", f.Check)
		}
	}
	return e, preflight.Err(e.findings)
}

// Examine makes all checks of `brimline doctor`.
// capture adds what `brimline capture` needs of the database's login.
func Examine(ctx context.Context, c *config.Config, capture bool) []preflight.Finding {
	if all := *c; len(c.Stages) == 0 { // doctor looks for all of them
		all.Stages = config.Default().Stages
		c = &all
	}
	var findings []preflight.Finding
	set, err := loadRules(c)
	if err != nil {
		findings = append(findings, rulesFinding(err))
		set = &rules.Set{RuleSet: brimline.RuleSet{Scale: rules.DefaultScale}}
	} else {
		findings = append(findings, preflight.Fine("rules", "%s is in order, with %s", c.Rules,
			present.Plural(len(set.Rules), "rule")))
	}
	cluster, dialed := preflight.Dial(ctx, KafkaOptions(&c.Kafka, "brimline-doctor"))
	if cluster != nil {
		defer cluster.Close()
	}
	e := examine(ctx, c, set, cluster, capture)
	return append(append(findings, dialed...), e.findings...)
}

// loadRules reads the rules file, and refuses what the settings exclude: that an edge is silent is PostgreSQL's to say.
func loadRules(c *config.Config) (*rules.Set, error) {
	set, err := rules.Load(c.Rules)
	if err != nil || c.Verify != "off" {
		return set, err
	}
	var quiet []string
	for i := range set.Rules {
		if set.Rules[i].Silences() {
			quiet = append(quiet, strconv.Quote(set.Rules[i].ID))
		}
	}
	if len(quiet) == 0 {
		return set, nil
	}
	return nil, &brimline.Error{
		Class: brimline.ClassInput, Kind: "quiet_without_verification", Where: c.Rules,
		Remedy: "give --verify=on and --database-url, or take `quiet` and `rearm` out of these rules",
		Err: fmt.Errorf("rules %s are quiet for a while, or rearm, which PostgreSQL alone can decide, and --verify is off",
			strings.Join(quiet, ", ")),
	}
}

func rulesFinding(err error) preflight.Finding {
	f := preflight.Found("rules_file", "see `brimline rules check`", "%v", err)
	if e, ok := errors.AsType[*brimline.Error](err); ok {
		f.What = e.Err.Error()
		f.Remedy = cmp.Or(e.Remedy, f.Remedy)
	}
	return f
}
