package preflight

import (
	"context"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/embedded"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/processors"
)

// fakeCluster has the topics that it was given.
type fakeCluster struct {
	brokers int
	topics  map[string]kafka.Facts
	again   int64  // refused edges that wait to be asked about again
	down    string // a topic that cannot be asked about, or "brokers"
}

var errDown = &brimline.Error{Class: brimline.ClassEnvironment, Kind: kafka.KindTopicMissing + "_not",
	Where: "asking", Remedy: "wait", Err: context.Canceled}

func (f fakeCluster) Lag(_ context.Context, group string, topics []string) ([]kafka.PartitionLag, error) {
	if group != streams.VerifyGroup || topics[0] != streams.Again {
		return nil, errDown
	}
	return []kafka.PartitionLag{{Lag: f.again / 2}, {Lag: f.again / 2}}, nil
}

func (f fakeCluster) BrokerCount(context.Context) (int, error) {
	if f.down == "brokers" {
		return 0, errDown
	}
	return f.brokers, nil
}

func (f fakeCluster) Facts(_ context.Context, topic string) (kafka.Facts, error) {
	if f.down == topic {
		return kafka.Facts{}, errDown
	}
	if facts, ok := f.topics[topic]; ok {
		return facts, nil
	}
	return kafka.Facts{}, &brimline.Error{
		Class: brimline.ClassEnvironment,
		Kind:  kafka.KindTopicMissing,
		Err:   context.Canceled,
	}
}

var streams = processors.NewStreams("g", "source", "alerts")

// healthy are three brokers with all topics as brimline creates them.
func healthy() fakeCluster {
	f := fakeCluster{brokers: 3, topics: map[string]kafka.Facts{}}
	add := func(policy, retention string, names ...string) {
		for _, name := range names {
			f.topics[name] = kafka.Facts{Topic: name, Partitions: 8, Replication: 3, Records: 100,
				Settings: map[string]string{"cleanup.policy": policy, "retention.ms": retention, "min.insync.replicas": "2"}}
		}
	}
	add(
		"delete",
		"604800000",
		streams.Changes,
		streams.Candidates,
		streams.Questions,
		streams.Again,
		streams.IndexLoop,
		streams.DeadLetters,
		streams.Dismissed,
		streams.Shadow,
	)
	add("delete", "-1", streams.Source, streams.Alerts)
	add("compact", "604800000", streams.WindowTable, streams.IndexTable, streams.Rules, streams.Reports)
	return f
}

func (f fakeCluster) change(topic string, with func(*kafka.Facts)) {
	facts := f.topics[topic]
	facts.Settings = map[string]string{}
	for k, v := range f.topics[topic].Settings {
		facts.Settings[k] = v
	}
	with(&facts)
	f.topics[topic] = facts
}

func TestKafkaFindings(t *testing.T) {
	set := func(name, value string) func(*kafka.Facts) { return func(f *kafka.Facts) { f.Settings[name] = value } }
	for _, c := range []struct {
		name   string
		topic  string
		change func(*kafka.Facts)
		with   func(*fakeCluster, *KafkaOptions)
		level  Level
		check  string
		words  []string
	}{
		{"missing source", "", nil, func(f *fakeCluster, _ *KafkaOptions) { delete(f.topics, "source") }, Error, "kafka_source", []string{`no topic "source"`, "--source"}},
		{"finite source", "source", set("retention.ms", "1814400000"), nil, Note, "kafka_source", []string{"21d", "very beginning"}},
		{"source shorter than the rules", "source", set("retention.ms", "604800000"), nil, Warning, "kafka_source", []string{"7d", "look back 14d", "retention.ms=1209600000"}},
		{"compacted source", "source", set("cleanup.policy", "compact"), nil, Warning, "kafka_source", []string{"compacted"}},
		{"source that lost records", "source", func(f *kafka.Facts) { f.Removed = 77 }, nil, Note, "kafka_source", []string{"first 77 records"}},
		{"source without leaders", "source", func(f *kafka.Facts) { f.Offline = 2 }, nil, Warning, "kafka_source_offline", []string{"2 of 8 partitions", "no leader"}},
		{"one broker", "", nil, func(f *fakeCluster, _ *KafkaOptions) {
			f.brokers = 1
			for name := range f.topics {
				f.change(name, func(t *kafka.Facts) { t.Replication = 1; t.Settings["min.insync.replicas"] = "1" })
			}
		}, Note, "kafka_brokers", []string{"one broker"}},
		{"a broker is down, and all topics are there", "", nil, func(f *fakeCluster, o *KafkaOptions) {
			f.brokers, o.Replication = 2, 3
		}, Warning, "kafka_brokers_down", []string{"--replication is 3", "2 brokers are up"}},
		{"more copies than brokers", "", nil, func(_ *fakeCluster, o *KafkaOptions) {
			o.Replication, o.Streams = 5, processors.NewStreams("new", "source", "others-alerts")
		}, Error, "kafka_brokers", []string{"--replication is 5", "3 brokers are up"}},
		{"table that deletes", streams.WindowTable, set("cleanup.policy", "delete"), nil, Error, "kafka_topics", []string{"g-window-table", "cleanup.policy=compact"}},
		{"stream that compacts", streams.Changes, set("cleanup.policy", "compact,delete"), nil, Error, "kafka_topics", []string{"g-changes", "cleanup.policy=delete"}},
		{"alerts that age", "alerts", set("retention.ms", "86400000"), nil, Note, "kafka_topics", []string{"keeps alerts for 1d"}},
		{"other partitions", streams.Candidates, func(f *kafka.Facts) { f.Partitions = 4 }, nil, Error, "kafka_topics", []string{"8 and 4 partitions"}},
		{"partitions changed", "", nil, func(_ *fakeCluster, o *KafkaOptions) { o.Partitions = 16 }, Error, "kafka_topics", []string{"--partitions is 16", "began with 8"}},
		{"few copies", streams.WindowTable, func(f *kafka.Facts) { f.Replication = 2 }, nil, Warning, "kafka_topics", []string{"on 2 brokers of 3"}},
		{"weak acknowledgement", streams.WindowTable, set("min.insync.replicas", "1"), nil, Warning, "kafka_topics", []string{"one of 3 copies", "min.insync.replicas=2"}},
		{"no acknowledgement possible", streams.WindowTable, set("min.insync.replicas", "4"), nil, Error, "kafka_topics", []string{"nothing can be written"}},
		{"copy behind", streams.Alerts, func(f *kafka.Facts) { f.UnderReplicated = 1 }, nil, Warning, "kafka_topics", []string{"lags behind"}},
		{"settings not readable", streams.Rules, func(f *kafka.Facts) { f.Settings = nil }, nil, Note, "kafka_topics", []string{"may not be read"}},
		{"some missing", "", nil, func(f *fakeCluster, _ *KafkaOptions) { delete(f.topics, streams.Dismissed) }, Note, "kafka_topics", []string{"not there yet: g-dismissed"}},
		{"many refused edges wait", "", nil, func(f *fakeCluster, _ *KafkaOptions) { f.again = 2000 }, Warning,
			"kafka_topics_again", []string{"2000 offsets", "g-again", "less than the stream"}},
		{"few do", "", nil, func(f *fakeCluster, _ *KafkaOptions) { f.again = 900 }, OK, "kafka_topics", []string{"as they should be"}},
		{"new group", "", nil, func(f *fakeCluster, o *KafkaOptions) {
			o.Streams = processors.NewStreams("new", "source", "others-alerts")
		}, OK, "kafka_topics", []string{`"new" is new`}},
		{"brokers do not say", "", nil, func(f *fakeCluster, _ *KafkaOptions) { f.down = "brokers" }, Error, "kafka_brokers_unknown", []string{"asking"}},
		{"source cannot be asked", "", nil, func(f *fakeCluster, _ *KafkaOptions) { f.down = "source" }, Error, "kafka_source_unknown", []string{"asking"}},
		{"topic cannot be asked", "", nil, func(f *fakeCluster, _ *KafkaOptions) { f.down = streams.Alerts }, Error, "kafka_topics_unknown", []string{"asking"}},
		{"source behind", "source", func(f *kafka.Facts) { f.UnderReplicated = 1 }, nil, Warning, "kafka_source_lagging", []string{"lags behind"}},
		{"topic offline", streams.Alerts, func(f *kafka.Facts) { f.Offline = 1 }, nil, Warning, "kafka_topics_offline", []string{"no leader"}},
		{"healthy", "", nil, nil, OK, "kafka_topics", []string{"as they should be"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, o := healthy(), KafkaOptions{Streams: streams, Retention: 14 * 24 * time.Hour}
			if c.change != nil {
				f.change(c.topic, c.change)
			}
			if c.with != nil {
				c.with(&f, &o)
			}
			findings := Kafka(t.Context(), f, o)
			expectFinding(t, findings, c.level, c.check, c.words...)
			for _, check := range []string{"kafka_brokers", "kafka_source", "kafka_topics"} {
				if check != subject(c.check) {
					quietOn(t, findings, check)
				}
			}
		})
	}
}

func TestKafkaOnABroker(t *testing.T) {
	broker, err := embedded.StartBroker(t.Context(), embedded.BrokerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	cluster, findings := Dial(t.Context(), kafka.Options{Brokers: broker.Addrs()})
	if cluster == nil {
		t.Fatal(findings)
	}
	t.Cleanup(func() { _ = cluster.Close() })
	expectFinding(t, findings, OK, "kafka_connection", broker.Addrs()[0])

	o := KafkaOptions{Streams: streams}
	expectFinding(t, Kafka(t.Context(), cluster, o), Error, "kafka_source")
	_, err = cluster.Ensure(t.Context(), []kafka.Topic{
		{Name: "source", Partitions: 2, Config: map[string]string{"retention.ms": "-1"}},
		{Name: streams.Changes, Partitions: 2}, {Name: streams.WindowTable, Partitions: 2}, // not a table
	}, kafka.Durability{})
	if err != nil {
		t.Fatal(err)
	}
	findings = Kafka(t.Context(), cluster, o)
	quietOn(t, findings, "kafka_source")
	expectFinding(t, findings, Error, "kafka_topics", `"g-window-table" is a table with cleanup.policy "delete"`)
	expectFinding(t, findings, Note, "kafka_topics", "not there yet: g-candidates, g-questions, g-again, alerts")

	broker.Close()
	nobody, findings := Dial(t.Context(), kafka.Options{Brokers: broker.Addrs()})
	if nobody != nil {
		t.Error("connected to nobody")
	}
	expectFinding(t, findings, Error, "kafka_connection")
	if err := Err(findings); brimline.ExitCode(err) != int(brimline.ClassEnvironment) {
		t.Error(err)
	}
}
