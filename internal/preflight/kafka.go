package preflight

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/present"
	"github.com/brimline/brimline/processors"
)

// Cluster has the questions that the checks ask of Kafka; *kafka.Cluster answers.
type Cluster interface {
	BrokerCount(ctx context.Context) (int, error)
	Facts(ctx context.Context, topic string) (kafka.Facts, error)
	Lag(ctx context.Context, group string, topics []string) ([]kafka.PartitionLag, error)
}

// KafkaOptions say what is expected of Kafka.
type KafkaOptions struct {
	Streams processors.Streams
	// Partitions and Replication that are configured for our topics; 0 is the default of each.
	Partitions  int
	Replication int
	// Retention is how much of the past rules need (RuleSet.Retention): a new group reads that much from the source
	// topic.
	Retention time.Duration
}

// Dial connects for the checks and reports how that went: brokers reachable,
// protocol understood, TLS and login accepted. The cluster is nil when it did
// not; otherwise the caller closes it.
func Dial(ctx context.Context, o kafka.Options) (*kafka.Cluster, []Finding) {
	var r report
	c, err := kafka.Dial(ctx, o, kafka.Quick)
	if err != nil {
		r.failed("kafka_connection_failed", err)
		return nil, r.findings
	}
	r.ok("kafka_connection", "connected to %s", strings.Join(o.Brokers, ", "))
	r.encryption(o)
	return c, r.findings
}

func (r *report) encryption(o kafka.Options) {
	if o.SASL.User != "" && !o.TLS.Enabled {
		r.add("kafka_connection_plain", "set --kafka-tls", "user %q logs in over connections that are not encrypted",
			o.SASL.User)
	}
}

// Kafka checks the cluster and the topics: those that others write, and our
// own as far as they exist. Nothing is created or changed.
func Kafka(ctx context.Context, c Cluster, o KafkaOptions) []Finding {
	k := &kafkaChecks{KafkaOptions: o, cluster: c}
	n, err := c.BrokerCount(ctx)
	if err != nil {
		k.failed("kafka_brokers_unknown", err)
		return k.findings
	}
	k.brokers = n
	switch {
	case o.Replication > n: // compared when it is known whether a topic is to be created
	case n == 1:
		k.add(
			"kafka_brokers_one",
			"use three brokers in production",
			"there is one broker: what its disk loses is lost",
		)
	default:
		k.ok("kafka_brokers", "%d brokers are up", n)
	}
	k.source(ctx)
	creates := k.own(ctx)
	up := counted(n, "broker is up", "brokers are up")
	switch {
	case o.Replication > n && creates:
		k.add("kafka_brokers_few", fmt.Sprintf("start more brokers, or set --replication=%d", n),
			"--replication is %d, and %s", o.Replication, up)
	case o.Replication > n:
		k.add("kafka_brokers_down", "see which broker is down", "--replication is %d, and %s", o.Replication, up)
	}
	return k.findings
}

type kafkaChecks struct {
	KafkaOptions
	report
	cluster Cluster
	brokers int
}

func isMissing(err error) bool {
	e, ok := errors.AsType[*brimline.Error](err)
	return ok && e.Kind == kafka.KindTopicMissing
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

func (k *kafkaChecks) source(ctx context.Context) {
	const check = "kafka_source"
	f, err := k.cluster.Facts(ctx, k.Streams.Source)
	if isMissing(err) {
		k.add(
			"kafka_source_missing",
			"name it with --source; Debezium or `brimline capture` creates it with its first "+
				"record",
			"there is no topic %q",
			k.Streams.Source,
		)
		return
	}
	if err != nil {
		k.failed("kafka_source_unknown", err)
		return
	}
	if k.offline(check, f) {
		return
	}
	before := len(k.findings)
	if f.Removed > 0 {
		k.add("kafka_source_cut", "a new --group starts from what is left; keep this group to keep its history",
			"topic %q has lost its first %d records to retention", f.Topic, f.Removed)
	}
	policy, retention, known := policyOf(f)
	compacted := strings.Contains(policy, "compact")
	if compacted {
		k.add(
			"kafka_source_compacted",
			"set cleanup.policy=delete on it",
			"topic %q is compacted: earlier changes of a row vanish, and with them what a new group should have seen",
			f.Topic,
		)
	}
	if known && retention >= 0 && (!compacted || strings.Contains(policy, "delete")) {
		switch {
		case k.Retention > 0 && retention < k.Retention:
			k.add(
				"kafka_source_short",
				fmt.Sprintf("set retention.ms=%d or more on it, or -1", k.Retention.Milliseconds()),
				"topic %q keeps records for %s, and rules look back %s: a new group cannot fill its windows",
				f.Topic,
				present.Duration(retention),
				present.Duration(k.Retention),
			)
		default:
			k.add("kafka_source_retention", "set retention.ms=-1 on it where a new --group must see everything",
				"topic %q keeps records for %s: a new group cannot reprocess from the very beginning", f.Topic,
				present.Duration(retention))
		}
	}
	if len(k.findings) == before {
		k.ok(check, "topic %q has %s and keeps its records", f.Topic, counted(f.Partitions, "partition", "partitions"))
	}
}

// policyOf reads cleanup.policy and retention.ms; a retention below zero is without end.
func policyOf(f kafka.Facts) (policy string, retention time.Duration, known bool) {
	ms, err := strconv.ParseInt(f.Settings["retention.ms"], 10, 64)
	const most = int64(1<<63-1) / int64(time.Millisecond)
	return f.Settings["cleanup.policy"], time.Duration(min(ms, most)) * time.Millisecond, err == nil
}

// offline looks at the copies of a topic; subject is kafka_source or kafka_topics.
func (k *kafkaChecks) offline(subject string, f kafka.Facts) bool {
	if f.Offline > 0 {
		k.add(subject+"_offline", "bring the brokers back that hold them",
			"%d of %d partitions of topic %q have no leader", f.Offline, f.Partitions, f.Topic)
	}
	if f.UnderReplicated > 0 {
		k.add(subject+"_lagging", "see which broker is down or slow",
			"%d of %d partitions of topic %q have a copy that lags behind", f.UnderReplicated, f.Partitions, f.Topic)
	}
	return f.Offline > 0
}

// ownTopic describes how a topic of ours must be. Topics of one family are read
// together and need the same number of partitions.
type ownTopic struct {
	name   string
	table  bool
	family string
}

func (k *kafkaChecks) topics() []ownTopic {
	s := k.Streams
	return []ownTopic{
		{s.Changes, false, "users"}, {s.WindowTable, true, "users"}, {s.Candidates, false, "users"},
		{s.Questions, false, "users"}, {s.Again, false, "users"},
		{s.Alerts, false, "alerts"}, {s.IndexLoop, false, "alerts"}, {s.IndexTable, true, "alerts"},
		{
			s.Rules,
			true,
			"",
		}, {s.Reports, true, ""}, {s.DeadLetters, false, ""}, {s.Dismissed, false, ""}, {s.Shadow, false, ""},
	}
}

// own looks at the topics of ours, and reports whether any is yet to be created.
func (k *kafkaChecks) own(ctx context.Context) (creates bool) {
	const check = "kafka_topics"
	families := map[string]kafka.Facts{}
	before, missing, there := len(k.findings), []string{}, 0
	for _, t := range k.topics() {
		f, err := k.cluster.Facts(ctx, t.name)
		if isMissing(err) {
			missing = append(missing, t.name)
			continue
		}
		if err != nil {
			k.failed("kafka_topics_unknown", err)
			continue
		}
		there++
		k.ownFindings(t, f)
		if t.family == "" {
			continue
		}
		if first, ok := families[t.family]; !ok {
			families[t.family] = f
		} else if first.Partitions != f.Partitions {
			k.add("kafka_topics_partitions", "start a new --group, or `brimline reset` this one",
				"topics %q and %q have %d and %d partitions, and must have the same number",
				first.Topic, f.Topic, first.Partitions, f.Partitions)
		}
	}
	if f, ok := families["users"]; ok && k.Partitions > 0 && f.Partitions != k.Partitions {
		k.add("kafka_topics_partitions", fmt.Sprintf("set --partitions=%d or 0, or start a new --group", f.Partitions),
			"--partitions is %d, and the group began with %d", k.Partitions, f.Partitions)
	}
	if there > 0 {
		k.again(ctx)
	}
	switch {
	case there == 0:
		k.ok(check, "group %q is new: its topics are created at the first start", k.Streams.Group)
	case len(missing) > 0:
		k.add("kafka_topics_missing", "start `brimline run`, which creates them", "not there yet: %s",
			strings.Join(missing, ", "))
	case len(k.findings) == before:
		k.ok(check, "the topics of group %q are as they should be", k.Streams.Group)
	}
	return len(missing) > 0
}

// manyAgain is from how many refused edges on they are told: a few are always on their way while a stream flows.
const manyAgain = 1000

// again looks whether many refused edges wait to be asked about again. Where that cannot be asked it says nothing:
// those who may not look at a group's offsets are told so when they run it.
func (k *kafkaChecks) again(ctx context.Context) {
	lags, err := k.cluster.Lag(ctx, k.Streams.VerifyGroup, []string{k.Streams.Again})
	if err != nil {
		return
	}
	var waiting int64
	for _, l := range lags {
		waiting += l.Lag
	}
	if waiting >= manyAgain {
		k.add("kafka_topics_again", "find what loses changes: deletes that are not published, a row filter, row-level "+
			"security, a unit, a slot that was lost",
			"%d offsets of topic %q wait: PostgreSQL has less than the stream for many edges", waiting, k.Streams.Again)
	}
}

func (k *kafkaChecks) ownFindings(t ownTopic, f kafka.Facts) {
	k.offline("kafka_topics", f)
	if f.Settings == nil {
		k.add("kafka_topics_unreadable", "allow this user to describe topic configurations",
			"the settings of topic %q may not be read", f.Topic)
		return
	}
	policy, retention, known := policyOf(f)
	set := func(setting string) string {
		return fmt.Sprintf(
			"kafka-configs.sh --alter --entity-type topics --entity-name %s --add-config %s",
			f.Topic,
			setting,
		)
	}
	switch {
	case t.table && policy != "compact":
		k.add("kafka_topics_policy", set("cleanup.policy=compact"),
			"topic %q is a table with cleanup.policy %q: its oldest users are deleted", f.Topic, policy)
	case !t.table && policy != "delete":
		k.add("kafka_topics_policy", set("cleanup.policy=delete"),
			"topic %q is a stream with cleanup.policy %q: records of one key replace each other", f.Topic, policy)
	case t.name == k.Streams.Alerts && known && retention >= 0:
		k.add("kafka_topics_retention", set("retention.ms=-1"), "topic %q keeps alerts for %s", f.Topic,
			present.Duration(retention))
	}
	if want := min(3, k.brokers); f.Replication < want {
		k.add("kafka_topics_replication", "raise its replication with kafka-reassign-partitions.sh",
			"topic %q is kept on %s of %d", f.Topic, counted(f.Replication, "broker", "brokers"), k.brokers)
	}
	if isr, err := strconv.Atoi(f.Settings["min.insync.replicas"]); err == nil {
		switch {
		case isr > f.Replication:
			k.add("kafka_topics_isr", set(fmt.Sprintf("min.insync.replicas=%d", max(1, f.Replication-1))),
				"topic %q asks for %d copies in sync and has %d: nothing can be written", f.Topic, isr, f.Replication)
		case isr == 1 && f.Replication > 2:
			k.add("kafka_topics_acks", set("min.insync.replicas=2"),
				"topic %q counts a record as written when one of %d copies has it", f.Topic, f.Replication)
		}
	}
}
