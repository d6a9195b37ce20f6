package kafkasink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/brimline/brimline/internal/capture"
	"github.com/brimline/brimline/internal/embedded"
	"github.com/brimline/brimline/internal/leaks"
	"go.uber.org/goleak"
)

// The vectors of Apache Kafka's own UtilsTest.testMurmur2.
func TestMurmur2(t *testing.T) {
	for key, want := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
		"a-little-bit-longer-string": -1486304829, "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		if got := int32(murmur2([]byte(key))); got != want {
			t.Errorf("%q: %d, not %d", key, got, want)
		}
	}
}

// TestPartitionAsConnect: records of a real Debezium are where Kafka Connect put
// them, on a topic of four partitions.
func TestPartitionAsConnect(t *testing.T) {
	file, err := os.Open("../../../testdata/debezium/crash-duplicates.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	n := 0
	for lines := json.NewDecoder(file); lines.More(); n++ {
		var r struct {
			Key       string
			Partition int32
		}
		if err := lines.Decode(&r); err != nil {
			t.Fatal(err)
		}
		got, err := NewPartitioner("").Partition(&sarama.ProducerMessage{Key: sarama.StringEncoder(r.Key)}, 4)
		if err != nil || got != r.Partition {
			t.Errorf("%s: partition %d, not %d (%v)", r.Key, got, r.Partition, err)
		}
	}
	if n == 0 {
		t.Error("no records")
	}
}

func config() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.V3_6_0_0
	c.Producer.RequiredAcks, c.Producer.Idempotent, c.Net.MaxOpenRequests = sarama.WaitForAll, true, 1
	return c
}

func TestSink(t *testing.T) {
	before := goleak.IgnoreCurrent()
	defer func() {
		if err := leaks.Left(before); err != nil {
			t.Error(err)
		}
	}()
	broker, err := embedded.StartBroker(t.Context(), embedded.BrokerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	admin, err := sarama.NewClusterAdmin(broker.Addrs(), config())
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	if err := admin.CreateTopic("rows", &sarama.TopicDetail{NumPartitions: 3, ReplicationFactor: 1}, false); err != nil {
		t.Fatal(err)
	}
	given := config()
	sink, err := New(broker.Addrs(), given)
	if err != nil {
		t.Fatal(err)
	}
	if given.Producer.Return.Successes {
		t.Error("the caller's config was changed")
	}
	key := []byte(`{"id":1}`)
	for n := 2; (murmur2(key)&0x7fffffff)%3 == 0; n++ { // partition 0 is that of the null key
		key = fmt.Appendf(nil, `{"id":%d}`, n)
	}
	at := time.UnixMilli(1700000000000)
	acks := make(chan error, 3)
	for _, r := range []capture.Record{
		{Topic: "rows", Key: key, Value: []byte("v"), Timestamp: at, Headers: []capture.Header{{Key: "h", Value: []byte("x")}}},
		{Topic: "rows", Key: key, Timestamp: at},
		{Topic: "rows", Value: []byte("truncate"), Timestamp: at},
	} {
		if err := sink.Produce(t.Context(), r, func(err error) { acks <- err }); err != nil {
			t.Fatal(err)
		}
	}
	if err := sink.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		select {
		case err := <-acks:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Fatal("Flush returned before the last acknowledgement")
		}
	}

	consumer, err := sarama.NewConsumer(broker.Addrs(), config())
	if err != nil {
		t.Fatal(err)
	}
	defer consumer.Close()
	read := func(partition int32, n int) (got []*sarama.ConsumerMessage) {
		pc, err := consumer.ConsumePartition("rows", partition, sarama.OffsetOldest)
		if err != nil {
			t.Fatal(err)
		}
		defer pc.Close()
		for range n {
			got = append(got, <-pc.Messages())
		}
		return got
	}
	home := int32(murmur2(key)&0x7fffffff) % 3
	rows := read(home, 2)
	if string(rows[0].Value) != "v" || !rows[0].Timestamp.Equal(at) || string(rows[0].Headers[0].Value) != "x" || rows[1].Value != nil {
		t.Errorf("read %+v, %+v", rows[0], rows[1])
	}
	if truncate := read(0, 1)[0]; truncate.Key != nil || string(truncate.Value) != "truncate" {
		t.Errorf("read %+v", truncate)
	}

	if err := sink.Produce(t.Context(), capture.Record{Topic: "no-such-topic", Key: key}, func(err error) { acks <- err }); err != nil {
		t.Fatal(err)
	}
	if err := <-acks; !errors.Is(err, sarama.ErrUnknownTopicOrPartition) {
		t.Errorf("a topic that does not exist: %v", err)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sink.Flush(stopped); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	sink.Close()
}
