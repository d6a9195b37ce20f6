package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/brimline/brimline/internal/backoff"

	"github.com/brimline/brimline"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ErrStop, returned by the function that gets a topic's records, ends the reading without an error.
var ErrStop = errors.New("kafka: stop reading")

const (
	readBytes = 1 << 20
	// shownWithin is how soon a broker shows what it has said is there.
	shownWithin = time.Second
)

// Read calls fn for the committed records of one partition with offsets in [from, until), in order, and returns the
// offset to go on from: until, or after the record at which fn returned an error, which is returned as it is. What is
// not there any more is left out. It ends also where the last offsets hold nothing to be read (transaction markers,
// aborted or compacted records); a consumer that waits for "the record before the end" would wait for ever.
func (c *Cluster) Read(
	ctx context.Context, e *Extent, partition int32, from, until int64, fn func(*Message) error,
) (next int64, err error) {
	where := fmt.Sprintf("topic %q, partition %d", e.Topic, partition)
	leader := e.leaders[partition]
	for moved := time.Now(); from < until; {
		fetched, after, err := c.fetch(ctx, e, leader, partition, from)
		switch {
		case errors.Is(err, kerr.OffsetOutOfRange) && fetched.LogStartOffset > from:
			from = min(fetched.LogStartOffset, until) // retention was faster
			continue
		case err != nil:
			if ctx.Err() == nil && !c.worthwhile(err, moved) {
				return from, Explain(err, where)
			}
			if err := backoff.Pause(ctx, tryAgain); err != nil {
				return from, err
			}
			if t, err := c.ask(ctx, e.Topic); err == nil && t.TopicID == e.ID && int(partition) < len(t.Partitions) {
				leader = t.Partitions[partition].Leader
			}
			continue
		case after <= from:
			// Below the end there is something: the broker has not heard yet that it is committed.
			if time.Since(moved) > shownWithin {
				return from, &brimline.Error{
					Class: brimline.ClassRuntime, Kind: KindOther, Where: where, Remedy: "ask again in a moment",
					Err: fmt.Errorf("the broker shows nothing from offset %d on", from),
				}
			}
			if err := backoff.Pause(ctx, tryAgain/10); err != nil {
				return from, err
			}
			continue
		}
		for _, m := range fetched.Records {
			if m.Offset >= until {
				return until, nil
			}
			if err := fn(m); err != nil {
				return m.Offset + 1, err
			}
		}
		from, moved = min(after, until), time.Now()
	}
	return from, nil
}

// fetch asks the leader once. It hardly waits: below the end there is always something to answer with.
func (c *Cluster) fetch(
	ctx context.Context, e *Extent, leader, partition int32, from int64,
) (fetched kgo.FetchPartition, after int64, err error) {
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch = partition, from, readBytes, -1
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.TopicID, topic.Partitions = e.Topic, e.ID, append(topic.Partitions, p)
	request := kmsg.NewPtrFetchRequest()
	request.MaxWaitMillis, request.MinBytes, request.MaxBytes = 100, 1, readBytes
	request.IsolationLevel, request.SessionEpoch = 1, -1 // committed records only; no fetch session
	request.Topics = append(request.Topics, topic)
	// Without the client's own retries: they go to the same broker, and the leader may be another one by then.
	answer, err := c.client.Broker(int(leader)).Request(ctx, request)
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
		Offset: from, IsolationLevel: kgo.ReadCommitted(), Topic: e.Topic, Partition: partition,
	}, &response.Topics[0].Partitions[0], kgo.DefaultDecompressor(), nil)
	return fetched, after, fetched.Err
}

// passing says whether an error may be gone at the next try.
func passing(err error) bool {
	if isTLS(err) || errors.Is(err, kerr.UnknownTopicOrPartition) {
		return false
	}
	return kerr.IsRetriable(err) || kgo.IsRetryableBrokerErr(err) || isNetwork(err)
}
