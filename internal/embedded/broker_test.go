package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/brimline/brimline"
)

func startBroker(t *testing.T, dir string) *Broker {
	t.Helper()
	b, err := StartBroker(t.Context(), BrokerOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func saramaConfig() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.V3_6_0_0
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.IsolationLevel = sarama.ReadCommitted
	c.Producer.Return.Successes = true
	c.Producer.RequiredAcks = sarama.WaitForAll
	return c
}

func admin(t *testing.T, b *Broker) sarama.ClusterAdmin {
	t.Helper()
	a, err := sarama.NewClusterAdmin(b.Addrs(), saramaConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

func createTopic(t *testing.T, a sarama.ClusterAdmin, name string, config map[string]*string) {
	t.Helper()
	err := a.CreateTopic(name, &sarama.TopicDetail{NumPartitions: 2, ReplicationFactor: 1, ConfigEntries: config}, false)
	if err != nil {
		t.Fatal(err)
	}
}

func topicID(t *testing.T, a sarama.ClusterAdmin, name string) string {
	t.Helper()
	topics, err := a.DescribeTopics([]string{name})
	if err != nil || topics[0].Err != sarama.ErrNoError {
		t.Fatal(err, topics)
	}
	return topics[0].Uuid.String()
}

func produce(t *testing.T, b *Broker, topic string, values ...string) {
	t.Helper()
	c := saramaConfig()
	c.Producer.Idempotent, c.Net.MaxOpenRequests = true, 1
	p, err := sarama.NewSyncProducer(b.Addrs(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, v := range values {
		m := &sarama.ProducerMessage{Topic: topic, Key: sarama.StringEncoder("k"), Value: sarama.StringEncoder(v)}
		if _, _, err := p.SendMessage(m); err != nil {
			t.Fatal(err)
		}
	}
}

// consume reads n committed values of all partitions of topic.
func consume(t *testing.T, b *Broker, topic string, n int) []string {
	t.Helper()
	c, err := sarama.NewConsumer(b.Addrs(), saramaConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	messages := make(chan *sarama.ConsumerMessage)
	for p := range int32(2) {
		pc, err := c.ConsumePartition(topic, p, sarama.OffsetOldest)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for m := range pc.Messages() {
				select {
				case messages <- m:
				case <-t.Context().Done():
				}
			}
		}()
		defer pc.AsyncClose()
	}
	var got []string
	for len(got) < n {
		select {
		case m := <-messages:
			got = append(got, string(m.Value))
		case <-time.After(20 * time.Second):
			t.Fatalf("have %d of %d: %v", len(got), n, got)
		}
	}
	return got
}

func TestBrokerKeepsItsStateAndPort(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, dir)
	a := admin(t, b)
	createTopic(t, a, "kept", nil)
	id := topicID(t, a, "kept")
	produce(t, b, "kept", "a", "b")
	b.Close()
	b.Close()

	again := startBroker(t, dir)
	if fmt.Sprint(again.Addrs()) != fmt.Sprint(b.Addrs()) {
		t.Errorf("port changed: %v, before %v", again.Addrs(), b.Addrs())
	}
	if got := topicID(t, admin(t, again), "kept"); got != id {
		t.Errorf("topic id changed: %s, before %s", got, id)
	}
	produce(t, again, "kept", "c")
	if got := strings.Join(consume(t, again, "kept", 3), ""); got != "abc" {
		t.Errorf("read %q", got)
	}
}

func TestBrokerSurvivesKill(t *testing.T) {
	dir := t.TempDir()
	said := startChild(t, "broker", dir) // has acknowledged its records and waits
	said.kill(t)
	b := startBroker(t, dir)
	if b.Addrs()[0] != said.text {
		t.Errorf("port changed: %v, before %s", b.Addrs(), said.text)
	}
	if got := consume(t, b, "kept", 100); got[0] != "v0" || got[99] != "v99" {
		t.Errorf("read %v", got)
	}
}

func TestBrokerDirIsLocked(t *testing.T) {
	dir := t.TempDir()
	startBroker(t, dir)
	_, err := StartBroker(t.Context(), BrokerOptions{Dir: dir})
	e, ok := errors.AsType[*brimline.Error](err)
	if !ok || e.Kind != "data_dir_in_use" || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Fatalf("%v", err)
	}
	other := startBroker(t, "")
	if err := os.WriteFile(filepath.Join(dir, "unrelated"), nil, 0o644); err != nil || len(other.Addrs()) != 1 {
		t.Fatal(err, other.Addrs())
	}
}

func TestBrokerCreatesNoTopicByUse(t *testing.T) {
	b := startBroker(t, "")
	c := saramaConfig()
	c.Metadata.Retry.Max = 0
	client, err := sarama.NewClient(b.Addrs(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Partitions("mistyped"); !errors.Is(err, sarama.ErrUnknownTopicOrPartition) {
		t.Fatalf("%v", err)
	}
}

func TestBrokerCompacts(t *testing.T) {
	b := startBroker(t, t.TempDir())
	compact := "compact"
	createTopic(t, admin(t, b), "table", map[string]*string{"cleanup.policy": &compact})
	produce(t, b, "table", "1", "2", "3", "4")
	b.cluster.Compact()
	// The last batch counts as active, and of those before it one record of the key may stay.
	if got := consume(t, b, "table", 1); got[0] == "1" {
		t.Fatalf("the first value of a key is still there: %v", got)
	}
}

type oneClaim struct{ seen chan *sarama.ConsumerMessage }

func (oneClaim) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (oneClaim) Cleanup(sarama.ConsumerGroupSession) error { return nil }
func (h oneClaim) ConsumeClaim(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
	for m := range c.Messages() {
		s.MarkMessage(m, "")
		h.seen <- m
	}
	return nil
}

// TestBrokerGroupsAndTransactions: a group reads, a transaction writes and
// commits the group's offset with metadata; an aborted one leaves nothing; all
// of it holds after a restart.
func TestBrokerGroupsAndTransactions(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, dir)
	a := admin(t, b)
	createTopic(t, a, "in", nil)
	createTopic(t, a, "out", nil)
	produce(t, b, "in", "x")

	group, err := sarama.NewConsumerGroup(b.Addrs(), "g", saramaConfig())
	if err != nil {
		t.Fatal(err)
	}
	h := oneClaim{make(chan *sarama.ConsumerMessage)}
	go func() { _ = group.Consume(t.Context(), []string{"in"}, h) }()
	m := <-h.seen
	if err := group.Close(); err != nil {
		t.Fatal(err)
	}

	c := saramaConfig()
	c.Producer.Idempotent, c.Net.MaxOpenRequests = true, 1
	c.Producer.Transaction.ID = "tx"
	p, err := sarama.NewSyncProducer(b.Addrs(), c)
	if err != nil {
		t.Fatal(err)
	}
	send := func(value string) {
		t.Helper()
		if err := p.BeginTxn(); err != nil {
			t.Fatal(err)
		}
		if _, _, err := p.SendMessage(&sarama.ProducerMessage{Topic: "out", Value: sarama.StringEncoder(value)}); err != nil {
			t.Fatal(err)
		}
	}
	send("aborted")
	if err := p.AbortTxn(); err != nil {
		t.Fatal(err)
	}
	send("committed")
	metadata := "watermark"
	offset := &sarama.PartitionOffsetMetadata{Partition: m.Partition, Offset: m.Offset + 1, Metadata: &metadata}
	if err := p.AddOffsetsToTxn(map[string][]*sarama.PartitionOffsetMetadata{"in": {offset}}, "g"); err != nil {
		t.Fatal(err)
	}
	if err := p.CommitTxn(); err != nil {
		t.Fatal(err)
	}
	p.Close()
	b.Close()

	b = startBroker(t, dir)
	if got := consume(t, b, "out", 1); got[0] != "committed" {
		t.Errorf("read %v", got)
	}
	offsets, err := admin(t, b).ListConsumerGroupOffsets("g", map[string][]int32{"in": {m.Partition}})
	if err != nil {
		t.Fatal(err)
	}
	if block := offsets.GetBlock("in", m.Partition); block.Offset != m.Offset+1 || block.Metadata != metadata {
		t.Errorf("committed offset %+v", block)
	}
}
