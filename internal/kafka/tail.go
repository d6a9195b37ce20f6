package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
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
// made (see Read). With follow it goes on with what comes, until ctx ends, which
// it returns as ctx's error. An error of fn ends it; ErrStop does so without an error.
func (c *Cluster) Tail(ctx context.Context, topic string, from From, follow bool, fn func(*Message) error) error {
	err := c.tail(ctx, topic, from, follow, fn)
	if errors.Is(err, ErrStop) {
		return nil
	}
	return Explain(err, fmt.Sprintf("reading topic %q", topic))
}

func (c *Cluster) tail(ctx context.Context, topic string, from From, follow bool, fn func(*Message) error) error {
	e, err := c.Extent(ctx, topic)
	if err != nil {
		return err
	}
	next := slices.Clone(e.High)
	if from == Oldest {
		for p := range next {
			if next[p], err = c.Read(ctx, e, int32(p), e.Low[p], e.Stable[p], fn); err != nil {
				return err
			}
		}
	}
	if !follow {
		return nil
	}
	return c.Follow(ctx, topic, next, func(records []*Message) error {
		for _, m := range records {
			if err := fn(m); err != nil {
				return err
			}
		}
		return nil
	})
}

// Follow calls fn with committed records as they come, of each partition from an offset on, until ctx ends, whose error
// it returns, or until fn returns one. It outlasts brokers that are away, and moves with the leaders.
func (c *Cluster) Follow(ctx context.Context, topic string, from []int64, fn func([]*Message) error) error {
	settings, err := c.options.FollowSettings()
	if err != nil {
		return err
	}
	offsets := make(map[int32]kgo.Offset, len(from))
	for p, next := range from {
		offsets[int32(p)] = kgo.NewOffset().At(next)
	}
	client, err := kgo.NewClient(
		append(settings, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets}))...)
	if err != nil {
		return Explain(err, "opening a client of Kafka")
	}
	defer client.Close()
	for {
		fetched := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return err
		}
		if records := fetched.Records(); len(records) > 0 {
			if err := fn(records); err != nil {
				return err
			}
		}
		for _, e := range fetched.Errors() {
			if !passing(e.Err) {
				return Explain(e.Err, fmt.Sprintf("following topic %q, partition %d", topic, e.Partition))
			}
		}
	}
}
