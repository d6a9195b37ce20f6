// Package kafkasink writes captured records to Kafka, to the partition that
// Kafka Connect would choose.
package kafkasink

import (
	"context"
	"fmt"
	"time"

	"github.com/brimline/brimline/internal/capture"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/twmb/franz-go/pkg/kgo"
)

// drainWithin bounds Close.
const drainWithin = 10 * time.Second

// Sink is a capture.Sink.
type Sink struct{ client *kgo.Client }

// New makes a sink. Connections are made by the first record.
func New(o kafka.Options) (*Sink, error) {
	settings, err := o.DatedSettings(asConnect())
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(settings...)
	if err != nil {
		return nil, kafka.Explain(err, "making a producer of captured changes")
	}
	return &Sink{client}, nil
}

// asConnect places a record as the Java producer under Kafka Connect does, by murmur2 of the key, which is franz-go's
// default. A table can so move between Debezium and capture while the changes of one row stay in one partition. A null
// key, which only a TRUNCATE has, goes to the first partition, where a reader knows to look; Java would pick one by
// chance. A partition that is away is waited for, never replaced by another.
func asConnect() kgo.Partitioner {
	return kgo.BasicConsistentPartitioner(func(topic string) func(*kgo.Record, int) int {
		byKey := kgo.StickyKeyPartitioner(nil).ForTopic(topic)
		return func(r *kgo.Record, partitions int) int {
			if r.Key == nil {
				return 0
			}
			return byKey.Partition(r, partitions)
		}
	})
}

// Produce implements capture.Sink.
func (s *Sink) Produce(ctx context.Context, r capture.Record, acked func(error)) error {
	record := &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Timestamp: r.Timestamp}
	for _, h := range r.Headers {
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	// The end of ctx ends the wait for room, and takes back no record that is on its way.
	handing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	s.client.Produce(handing, record, func(_ *kgo.Record, err error) {
		if handing.Err() == nil {
			acked(kafka.Explain(err, fmt.Sprintf("writing a captured change to topic %q", r.Topic)))
		}
	})
	if !stop() {
		return ctx.Err()
	}
	return nil
}

// Flush implements capture.Sink.
func (s *Sink) Flush(ctx context.Context) error { return s.client.Flush(ctx) }

// Close sends, within ten seconds, what was handed over, and ends the producer. Produce must not be called any more.
func (s *Sink) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), drainWithin)
	defer cancel()
	_ = s.client.Flush(ctx) // what is not acknowledged is not confirmed to PostgreSQL, and comes again
	s.client.Close()
}
