package kafka

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Extent is a topic as it was at a moment. Slices are by partition.
type Extent struct {
	Topic  string
	ID     [16]byte
	Low    []int64 // the first record that is left
	Stable []int64 // the end for a read_committed reader: before the first open transaction
	High   []int64 // after the last record, markers of transactions included

	leaders []int32
}

// Extent asks the brokers for a topic.
func (c *Cluster) Extent(ctx context.Context, topic string) (*Extent, error) {
	all, err := c.extents(ctx, topic)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// extents are those of topics, in their order.
func (c *Cluster) extents(ctx context.Context, topics ...string) ([]*Extent, error) {
	var all []*Extent
	for _, topic := range topics {
		t, err := c.describe(ctx, topic)
		if err != nil {
			return nil, err
		}
		e := &Extent{Topic: topic, ID: t.TopicID}
		for _, p := range t.Partitions {
			e.leaders = append(e.leaders, p.Leader)
		}
		all = append(all, e)
	}
	for _, of := range []struct {
		list func(context.Context, ...string) (kadm.ListedOffsets, error)
		to   func(*Extent) *[]int64
	}{
		{c.admin.ListStartOffsets, func(e *Extent) *[]int64 { return &e.Low }},
		{c.admin.ListCommittedOffsets, func(e *Extent) *[]int64 { return &e.Stable }},
		{c.admin.ListEndOffsets, func(e *Extent) *[]int64 { return &e.High }},
	} {
		if err := c.offsets(ctx, all, of.list, of.to); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Since gives the offsets before which all records are older than t.
func (c *Cluster) Since(ctx context.Context, e *Extent, t time.Time) (offsets []int64, err error) {
	list := func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error) {
		return c.admin.ListOffsetsAfterMilli(ctx, t.UnixMilli(), topics...)
	}
	err = c.offsets(ctx, []*Extent{e}, list, func(*Extent) *[]int64 { return &offsets })
	return offsets, err
}

// offsets asks for some offset of every partition.
func (c *Cluster) offsets(
	ctx context.Context, all []*Extent, list func(context.Context, ...string) (kadm.ListedOffsets, error),
	to func(*Extent) *[]int64,
) error {
	if len(all) == 0 {
		return nil // kadm would list those of every topic
	}
	topics := make([]string, len(all))
	for i, e := range all {
		topics[i] = e.Topic
	}
	err := c.try(ctx, func() error {
		listed, err := list(ctx, topics...)
		if err != nil {
			return err
		}
		for _, e := range all {
			offsets := make([]int64, len(e.leaders))
			for p := range offsets {
				if offsets[p], err = offsetIn(listed, e.Topic, int32(p)); err != nil {
					return fmt.Errorf("topic %q, partition %d: %w", e.Topic, p, err)
				}
			}
			*to(e) = offsets
		}
		return nil
	})
	return Explain(err, "asking for offsets")
}

// offsetIn is a partition's offset in an answer.
func offsetIn(listed kadm.ListedOffsets, topic string, partition int32) (int64, error) {
	o, ok := listed.Lookup(topic, partition)
	if !ok {
		return 0, kerr.LeaderNotAvailable // the client does not know the partition yet
	}
	return o.Offset, o.Err
}
