package feed

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/kafka"
)

// Reader reads ranges of topics. Its methods are safe for concurrent use.
type Reader struct {
	options kafka.Options
	client  *kgo.Client
	admin   *kadm.Client
	turns   chan struct{} // one for each scan under way
}

const (
	scansAtOnce = 4
	fetchBytes  = 1 << 20
	retries     = 25
	retryAfter  = 200 * time.Millisecond
)

// Open makes a reader. It asks no broker yet.
func Open(o kafka.Options) (*Reader, error) {
	settings, err := o.ClientSettings()
	if err != nil {
		return nil, err
	}
	// A request of a person is not to wait for brokers that are away.
	client, err := kgo.NewClient(append(settings, kgo.RequestRetries(2), kgo.RetryTimeout(5*time.Second))...)
	if err != nil {
		return nil, kafka.Explain(err, "opening a client of Kafka")
	}
	return &Reader{options: o, client: client, admin: kadm.NewClient(client), turns: make(chan struct{}, scansAtOnce)}, nil
}

// Close ends requests under way, with errors.
func (r *Reader) Close() { r.client.Close() }

// Extent is a topic as it was at a moment. Slices are by partition.
type Extent struct {
	Name string
	ID   TopicID
	Low  []int64 // the first record that is left
	End  []int64 // after the last committed record
	// Steady says that the broker gives records their times, so that they do not go back within a partition.
	Steady bool

	leaders []int32
}

// Position is the place that has next to come from each partition.
func (e *Extent) Position(next []int64) Position { return Position{e.ID, next} }

// Extent asks the brokers for a topic.
func (r *Reader) Extent(ctx context.Context, topic string) (*Extent, error) {
	where := fmt.Sprintf("topic %q", topic)
	e := &Extent{Name: topic}
	var err error
	if e.ID, e.leaders, err = r.leaders(ctx, topic); err != nil {
		return nil, kafka.Explain(err, where)
	}
	lows, err := r.admin.ListStartOffsets(ctx, topic)
	if err == nil {
		e.Low, err = offsets(lows, topic, len(e.leaders))
	}
	if err != nil {
		return nil, kafka.Explain(err, where)
	}
	ends, err := r.admin.ListCommittedOffsets(ctx, topic)
	if err == nil {
		e.End, err = offsets(ends, topic, len(e.leaders))
	}
	if err != nil {
		return nil, kafka.Explain(err, where)
	}
	configs, err := r.admin.DescribeTopicConfigs(ctx, topic)
	if err == nil && len(configs) == 1 && configs[0].Err == nil {
		for _, c := range configs[0].Configs {
			if c.Key == "message.timestamp.type" && c.Value != nil {
				e.Steady = *c.Value == "LogAppendTime"
			}
		}
	}
	return e, nil // a topic whose settings may not be read is taken for one that is not steady
}

// leaders asks the brokers themselves: the client's memory of a topic may be of one that was deleted.
func (r *Reader) leaders(ctx context.Context, topic string) (id TopicID, leaders []int32, err error) {
	request := kmsg.NewPtrMetadataRequest()
	asked := kmsg.NewMetadataRequestTopic()
	asked.Topic = &topic
	request.Topics = append(request.Topics, asked)
	all, err := request.RequestWith(ctx, r.client)
	if err != nil {
		return id, nil, err
	}
	if len(all.Topics) != 1 {
		return id, nil, kerr.UnknownTopicOrPartition
	}
	found := &all.Topics[0]
	if err := kerr.ErrorForCode(found.ErrorCode); err != nil {
		return id, nil, err
	}
	leaders = make([]int32, len(found.Partitions))
	for _, p := range found.Partitions {
		if int(p.Partition) >= len(leaders) || p.Leader < 0 {
			return id, nil, kerr.LeaderNotAvailable
		}
		leaders[p.Partition] = p.Leader
	}
	return found.TopicID, leaders, nil
}

func offsets(listed kadm.ListedOffsets, topic string, n int) ([]int64, error) {
	out := make([]int64, n)
	for p := range out {
		o, ok := listed.Lookup(topic, int32(p))
		if !ok {
			return nil, fmt.Errorf("no answer for partition %d", p)
		}
		if o.Err != nil {
			return nil, o.Err
		}
		out[p] = o.Offset
	}
	return out, nil
}

// From gives the offsets before which all records are older than t, in each partition.
func (r *Reader) From(ctx context.Context, e *Extent, t time.Time) ([]int64, error) {
	listed, err := r.admin.ListOffsetsAfterMilli(ctx, t.UnixMilli(), e.Name)
	var found []int64
	if err == nil {
		found, err = offsets(listed, e.Name, len(e.End))
	}
	return found, kafka.Explain(err, fmt.Sprintf("topic %q", e.Name))
}

// Read calls fn for the records of one partition with offsets in [from, until), in order, and returns the offset to go
// on from: until, unless fn ended it or failed. What is not there any more is left out.
func (r *Reader) Read(
	ctx context.Context, e *Extent, partition int32, from, until int64, fn func(Record) error,
) (next int64, err error) {
	leader := e.leaders[partition]
	size := int32(fetchBytes)
	for failures := 0; from < until; {
		fetched, after, err := r.fetch(ctx, e, leader, partition, from, size)
		if errors.Is(err, kerr.OffsetOutOfRange) && fetched.LogStartOffset > from {
			from = min(fetched.LogStartOffset, until) // retention was faster
			continue
		}
		if err != nil {
			if failures++; failures > retries || ctx.Err() != nil || !kerr.IsRetriable(err) && !kgo.IsRetryableBrokerErr(err) {
				return from, kafka.Explain(err, fmt.Sprintf("topic %q, partition %d", e.Name, partition))
			}
			if err := pause(ctx, retryAfter); err != nil {
				return from, err
			}
			if id, leaders, err := r.leaders(ctx, e.Name); err == nil && id == e.ID {
				leader = leaders[partition]
			}
			continue
		}
		failures = 0
		for _, m := range fetched.Records {
			if m.Offset >= until {
				return until, nil
			}
			if err := fn(Record{m.Partition, m.Offset, m.Timestamp, m.Key, m.Value}); err != nil {
				return m.Offset + 1, err
			}
		}
		if after <= from {
			// Below the end there is something: the broker has not heard yet that it is committed.
			if err := pause(ctx, retryAfter/10); err != nil {
				return from, err
			}
			if failures++; failures > retries {
				return from, &brimline.Error{
					Class: brimline.ClassRuntime, Kind: kafka.KindOther,
					Where:  fmt.Sprintf("topic %q, partition %d", e.Name, partition),
					Remedy: "ask again in a moment", Err: fmt.Errorf("the broker shows nothing from offset %d on", from),
				}
			}
			continue
		}
		from = min(after, until)
	}
	return from, nil
}

func (r *Reader) fetch(
	ctx context.Context, e *Extent, leader, partition int32, from int64, size int32,
) (fetched kgo.FetchPartition, after int64, err error) {
	request := kmsg.NewPtrFetchRequest()
	request.MaxWaitMillis, request.MinBytes, request.MaxBytes = 100, 1, size
	request.IsolationLevel, request.SessionEpoch = 1, -1 // committed records only; no fetch session
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch = partition, from, size, -1
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.TopicID, topic.Partitions = e.Name, e.ID, append(topic.Partitions, p)
	request.Topics = append(request.Topics, topic)
	answer, err := r.client.Broker(int(leader)).RetriableRequest(ctx, request)
	if err != nil {
		return fetched, from, err
	}
	response := answer.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(response.ErrorCode); err != nil {
		return fetched, from, err
	}
	if len(response.Topics) != 1 || len(response.Topics[0].Partitions) != 1 {
		return fetched, from, errors.New("the broker's answer is not about what was asked")
	}
	fetched, after = kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Offset: from, IsolationLevel: kgo.ReadCommitted(), Topic: e.Name, Partition: partition,
	}, &response.Topics[0].Partitions[0], kgo.DefaultDecompressor(), nil)
	return fetched, after, fetched.Err
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
