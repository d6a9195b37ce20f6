package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/IBM/sarama"
)

// From is where reading a topic starts.
type From int

const (
	// Oldest is the first record that is left.
	Oldest From = iota
	// Newest is after the last record: what comes from now on.
	Newest
)

// Tail calls fn for every committed record of topic, one call at a time: the
// records of a partition in order, partition after partition. Without follow it
// returns when it has read to the end as it was at the call, however that end is
// made (see scan). With follow it goes on with what comes, until ctx ends, which
// it returns as ctx's error. An error of fn ends it; ErrStop does so without an error.
func (c *Cluster) Tail(ctx context.Context, topic string, from From, follow bool, fn func(*sarama.ConsumerMessage) error) error {
	err := c.tail(ctx, topic, from, follow, fn)
	if errors.Is(err, ErrStop) {
		return nil
	}
	return Explain(err, fmt.Sprintf("reading topic %q", topic))
}

func (c *Cluster) tail(ctx context.Context, topic string, from From, follow bool, fn func(*sarama.ConsumerMessage) error) error {
	ranges, err := c.ranges(ctx, []string{topic})
	if err != nil {
		return err
	}
	next := make(map[int32]int64, len(ranges))
	for _, r := range ranges {
		switch {
		case from == Newest && follow:
			next[r.partition] = r.high
		case from == Oldest:
			if next[r.partition], err = c.scan(ctx, topic, r.partition, r.low, r.stable, fn); err != nil {
				return err
			}
		}
	}
	if !follow {
		return nil
	}
	return c.follow(ctx, topic, next, fn)
}

// follow hands the job over to sarama's consumer, which waits at the end and moves with the leaders.
func (c *Cluster) follow(ctx context.Context, topic string, next map[int32]int64, fn func(*sarama.ConsumerMessage) error) error {
	consumer, err := sarama.NewConsumerFromClient(c.client)
	if err != nil {
		return err
	}
	defer consumer.Close()
	ctx, cancel := context.WithCancel(ctx)
	messages := make(chan *sarama.ConsumerMessage)
	lost := make(chan error, len(next)) // partitions that ended
	var passers sync.WaitGroup
	defer passers.Wait()
	defer cancel() // before Wait
	for partition, offset := range next {
		pc, err := consumer.ConsumePartition(topic, partition, offset)
		if err != nil {
			return err
		}
		passers.Go(func() {
			defer pc.Close()
			if err := pass(ctx, pc, messages); err != nil {
				lost <- err
			}
		})
	}
	for {
		select {
		case m := <-messages:
			if err := fn(m); err != nil {
				return err
			}
		case err := <-lost:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pass hands on one partition's messages until ctx ends or sarama gives the partition up. It retries everything else.
func pass(ctx context.Context, pc sarama.PartitionConsumer, to chan<- *sarama.ConsumerMessage) error {
	var last error
	errs := pc.Errors()
	for {
		select {
		case m, ok := <-pc.Messages():
			if !ok {
				for e := range pc.Errors() {
					last = e
				}
				return fmt.Errorf("a partition stopped being read: %w", last)
			}
			select {
			case to <- m:
			case <-ctx.Done():
				return nil
			}
		case e, ok := <-errs:
			if !ok {
				errs = nil // Messages is closed, too
				continue
			}
			last = e
		case <-ctx.Done():
			return nil
		}
	}
}

// offsets of one partition.
type offsetRange struct {
	topic     string
	partition int32
	low       int64 // first record that is left
	stable    int64 // end for a read_committed reader: before the first open transaction
	high      int64 // high watermark
}

// ranges asks for the offsets of all partitions of topics, in their order.
func (c *Cluster) ranges(ctx context.Context, topics []string) ([]offsetRange, error) {
	oldest, newest := map[string]map[int32]int64{}, map[string]map[int32]int64{}
	var all []offsetRange
	for _, topic := range topics {
		t, err := c.describe(topic)
		if err != nil {
			return nil, err
		}
		// The leaders' addresses come from the client's own metadata, which may be older than the topic.
		if err := c.client.RefreshMetadata(topic); err != nil {
			return nil, Explain(err, fmt.Sprintf("topic %q", topic))
		}
		oldest[topic], newest[topic] = map[int32]int64{}, map[int32]int64{}
		for _, p := range t.Partitions {
			oldest[topic][p.ID], newest[topic][p.ID] = sarama.OffsetOldest, sarama.OffsetNewest
			all = append(all, offsetRange{topic: topic, partition: p.ID})
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	slices.SortStableFunc(all, func(a, b offsetRange) int {
		if a.topic != b.topic {
			return 0
		}
		return int(a.partition - b.partition)
	})
	for _, q := range []struct {
		at        map[string]map[int32]int64
		isolation sarama.IsolationLevel
		set       func(*offsetRange, int64)
	}{
		{oldest, sarama.ReadUncommitted, func(r *offsetRange, v int64) { r.low = v }},
		{newest, sarama.ReadCommitted, func(r *offsetRange, v int64) { r.stable = v }},
		{newest, sarama.ReadUncommitted, func(r *offsetRange, v int64) { r.high = v }},
	} {
		found, err := c.offsetsAt(ctx, q.at, q.isolation)
		if err != nil {
			return nil, err
		}
		for i := range all {
			r := &all[i]
			q.set(r, found[r.topic][r.partition])
		}
	}
	return all, nil
}

// offsetsAt asks for offsets, and again while leaders change: those of a topic that another instance has just made are
// not known to all brokers.
func (c *Cluster) offsetsAt(
	ctx context.Context, at map[string]map[int32]int64, isolation sarama.IsolationLevel,
) (map[string]map[int32]int64, error) {
	for failures := 0; ; failures++ {
		found, where, err := c.askOffsets(at, isolation)
		if err == nil {
			return found, nil
		}
		if failures == scanRetries || !passing(err) || pause(ctx, scanBackoff) != nil {
			return nil, Explain(err, where)
		}
		_ = c.client.RefreshMetadata(slices.Collect(maps.Keys(at))...)
	}
}

func (c *Cluster) askOffsets(at map[string]map[int32]int64, isolation sarama.IsolationLevel) (
	found map[string]map[int32]int64, where string, err error,
) {
	where = "asking for offsets"
	answer, err := c.admin.ListOffsets(at, &sarama.ListOffsetsOptions{IsolationLevel: isolation})
	if err != nil {
		return nil, where, err
	}
	found = map[string]map[int32]int64{}
	for topic, partitions := range at {
		found[topic] = map[int32]int64{}
		for p := range partitions {
			o := answer[topic][p]
			if o == nil {
				return nil, where, sarama.ErrIncompleteResponse
			}
			if o.Err != nil && !errors.Is(o.Err, sarama.ErrNoError) {
				return nil, fmt.Sprintf("offsets of topic %q, partition %d", topic, p), o.Err
			}
			found[topic][p] = o.Offset
		}
	}
	return found, "", nil
}
