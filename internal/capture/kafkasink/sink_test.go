package kafkasink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/capture"
	"github.com/brimline/brimline/internal/embedded"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/leaks"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
)

func placed(key []byte, partitions int) int32 {
	return int32(asConnect().ForTopic("").Partition(&kgo.Record{Key: key}, partitions))
}

// TestPartitionAsJava: the hashes are the vectors of Apache Kafka's own UtilsTest.testMurmur2.
func TestPartitionAsJava(t *testing.T) {
	for key, hash := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
		"a-little-bit-longer-string": -1486304829, "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		for n := 1; n < 50; n++ {
			if got, want := placed([]byte(key), n), (hash&0x7fffffff)%int32(n); got != want {
				t.Errorf("%q of %d: partition %d, not %d", key, n, got, want)
			}
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
		if got := placed([]byte(r.Key), 4); got != r.Partition {
			t.Errorf("%s: partition %d, not %d", r.Key, got, r.Partition)
		}
	}
	if n == 0 {
		t.Error("no records")
	}
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
	options := kafka.Options{Brokers: broker.Addrs()}
	cluster, err := kafka.Dial(t.Context(), options, kafka.Quick)
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	rowsTopic := kafka.Topic{
		Name:       "rows",
		Partitions: 3,
		Config:     map[string]string{"message.timestamp.type": "CreateTime"},
	}
	_, err = cluster.Ensure(t.Context(), []kafka.Topic{rowsTopic}, kafka.Durability{})
	if err != nil {
		t.Fatal(err)
	}
	sink, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	key := []byte(`{"id":1}`)
	for n := 2; placed(key, 3) == 0; n++ { // partition 0 is that of the null key
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

	got := map[int32][]*kafka.Message{}
	if err := cluster.Tail(t.Context(), "rows", kafka.Oldest, false, func(m *kafka.Message) error {
		got[m.Partition] = append(got[m.Partition], m)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	rows := got[placed(key, 3)]
	if len(rows) != 2 || string(rows[0].Key) != string(key) || string(rows[0].Value) != "v" ||
		rows[0].Headers[0].Key != "h" || string(rows[0].Headers[0].Value) != "x" || !rows[0].Timestamp.Equal(at) ||
		rows[1].Value != nil {
		t.Errorf("read %+v", rows)
	}
	if truncate := got[0]; len(truncate) != 1 || truncate[0].Key != nil || string(truncate[0].Value) != "truncate" {
		t.Errorf("read %+v", truncate)
	}

	large := capture.Record{Topic: "rows", Key: key, Value: make([]byte, options.LargestMessage()+1<<20)}
	if err := sink.Produce(t.Context(), large, func(err error) { acks <- err }); err != nil {
		t.Fatal(err)
	}
	if e, ok := errors.AsType[*brimline.Error](<-acks); !ok || e.Kind != "kafka_message_too_large" || e.Remedy == "" {
		t.Errorf("a record that is too large: %v", e)
	}
}

// TestStopWhileFull: the end of a context ends the wait for room. What has room stays on its way.
func TestStopWhileFull(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // it never answers
	sink, err := New(kafka.Options{Brokers: []string{l.Addr().String()}, MaxMessageBytes: 1 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	acks := make(chan error, 1<<10)
	for n := 0; ; n++ {
		err := sink.Produce(ctx, capture.Record{Topic: "t", Value: make([]byte, 1<<9)}, func(err error) { acks <- err })
		if err == nil && n < cap(acks) {
			continue
		}
		if n == 0 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the end of the context after %d records: %v", n, err)
		}
		break
	}
	if len(acks) > 0 {
		t.Errorf("acknowledged with %v", <-acks)
	}
	if err := sink.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Flush: %v", err)
	}
}
