package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/IBM/sarama"
)

// ErrStop, returned by the function that gets a topic's records, ends the reading without an error.
var ErrStop = errors.New("kafka: stop reading")

const (
	scanFetch   = 4 << 20
	scanRetries = 25
	scanBackoff = 200 * time.Millisecond
)

// scan reads one partition's committed records in [from, until) and returns the
// offset to go on from. It ends also when the last offsets hold nothing to be
// read (transaction markers, aborted or compacted records), where a consumer
// that waits for "the record before the end" would wait for ever; sarama's
// consumer does not tell how far it has come, so the fetches are made here.
func (c *Cluster) scan(ctx context.Context, topic string, partition int32, from, until int64, fn func(*sarama.ConsumerMessage) error) (next int64, err error) {
	next = from
	size := int32(scanFetch)
	for failures := 0; next < until; {
		if err := ctx.Err(); err != nil {
			return next, err
		}
		block, err := c.fetch(topic, partition, next, size)
		if err != nil {
			if errors.Is(err, sarama.ErrOffsetOutOfRange) {
				// Retention may have removed what was to be read next; then what is left is read.
				oldest, oldestErr := c.client.GetOffset(topic, partition, sarama.OffsetOldest)
				if oldestErr == nil && oldest > next {
					next = oldest
					continue
				}
			}
			if failures++; failures > scanRetries || !passing(err) {
				return next, err
			}
			if err := pause(ctx, scanBackoff); err != nil {
				return next, err
			}
			_ = c.client.RefreshMetadata(topic)
			continue
		}
		failures = 0
		messages, after, err := visible(block, topic, partition, next)
		if err != nil {
			return next, err
		}
		for _, m := range messages {
			if m.Offset >= until {
				return until, nil
			}
			if err := fn(m); err != nil {
				return m.Offset + 1, err
			}
		}
		switch {
		case after > next:
			next = after
		case block.Partial && size < sarama.MaxResponseSize/2:
			size *= 2 // a broker that cuts batches at the limit
		default:
			next++ // a batch that compaction emptied: sarama shows neither it nor its length
		}
	}
	return next, nil
}

// fetch asks the leader once. It hardly waits: below the end there is always something to answer with.
func (c *Cluster) fetch(topic string, partition int32, offset int64, size int32) (*sarama.FetchResponseBlock, error) {
	leader, err := c.client.Leader(topic, partition)
	if err != nil {
		return nil, err
	}
	request := &sarama.FetchRequest{
		Version: 11, Isolation: sarama.ReadCommitted, SessionEpoch: -1, // -1: no fetch session
		MinBytes: 1, MaxBytes: size, MaxWaitTime: 1,
	}
	request.AddBlock(topic, partition, offset, size, -1)
	response, err := leader.Fetch(request)
	if err != nil {
		_ = leader.Close() // the client opens it again
		return nil, err
	}
	block := response.GetBlock(topic, partition)
	if block == nil {
		return nil, sarama.ErrIncompleteResponse
	}
	if block.Err != sarama.ErrNoError {
		return nil, block.Err
	}
	return block, nil
}

// passing says whether an error may be gone at the next try.
func passing(err error) bool {
	for _, e := range []error{
		sarama.ErrNotLeaderForPartition, sarama.ErrLeaderNotAvailable, sarama.ErrReplicaNotAvailable,
		sarama.ErrFencedLeaderEpoch, sarama.ErrUnknownLeaderEpoch, sarama.ErrOffsetNotAvailable,
		sarama.ErrNotConnected, sarama.ErrKafkaStorageError,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return isNetwork(err)
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

// visible are the records of a block at or after from that a read_committed
// consumer sees, and the offset after everything in the block.
func visible(block *sarama.FetchResponseBlock, topic string, partition int32, from int64) ([]*sarama.ConsumerMessage, int64, error) {
	aborted := slices.Clone(block.AbortedTransactions)
	slices.SortFunc(aborted, func(a, b *sarama.AbortedTransaction) int { return int(a.FirstOffset - b.FirstOffset) })
	aborting := make(map[int64]bool) // producers within an aborted transaction
	var messages []*sarama.ConsumerMessage
	next := from
	for _, set := range block.RecordsSet {
		batch := set.RecordBatch
		if batch == nil {
			return nil, next, fmt.Errorf("offset %d is in a message format older than Kafka 0.11", next)
		}
		if batch.PartialTrailingRecord {
			break
		}
		next = max(next, batch.LastOffset()+1)
		for len(aborted) > 0 && aborted[0].FirstOffset <= batch.LastOffset() {
			aborting[aborted[0].ProducerID] = true
			aborted = aborted[1:]
		}
		if batch.Control {
			if isAbort(batch) {
				delete(aborting, batch.ProducerID)
			}
			continue
		}
		if batch.IsTransactional && aborting[batch.ProducerID] {
			continue
		}
		for _, r := range batch.Records {
			m := &sarama.ConsumerMessage{
				Topic: topic, Partition: partition, Offset: batch.FirstOffset + r.OffsetDelta,
				Timestamp: batch.FirstTimestamp.Add(r.TimestampDelta),
				Key:       r.Key, Value: r.Value, Headers: r.Headers,
			}
			if batch.LogAppendTime {
				m.Timestamp = batch.MaxTimestamp
			}
			if m.Offset >= from {
				messages = append(messages, m)
			}
		}
	}
	return messages, next, nil
}

// isAbort reads a control record's key: version and type, two bytes each; type 0 is an abort.
func isAbort(batch *sarama.RecordBatch) bool {
	return len(batch.Records) == 1 && len(batch.Records[0].Key) >= 4 && binary.BigEndian.Uint16(batch.Records[0].Key[2:]) == 0
}
