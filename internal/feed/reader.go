package feed

import (
	"context"
	"time"

	"github.com/brimline/brimline/internal/kafka"
)

// Reader reads ranges of topics. Its methods are safe for concurrent use.
type Reader struct {
	cluster *kafka.Cluster
	turns   chan struct{} // one for each scan under way
}

const scansAtOnce = 4

// Open makes a reader. It asks no broker yet, and later does not wait for brokers that are away: a person asks.
func Open(o kafka.Options) (*Reader, error) {
	cluster, err := kafka.Open(o, kafka.Quick)
	return &Reader{cluster: cluster, turns: make(chan struct{}, scansAtOnce)}, err
}

// Close ends requests under way, with errors.
func (r *Reader) Close() { _ = r.cluster.Close() }

// Extent is a topic as it was at a moment. Slices are by partition.
type Extent struct {
	*kafka.Extent
	End []int64 // after the last committed record
	// Steady says that the broker gives records their times, so that they do not go back within a partition.
	Steady bool
}

// Position is the place that has next to come from each partition.
func (e *Extent) Position(next []int64) Position { return Position{e.ID, next} }

// Extent asks the brokers for a topic.
func (r *Reader) Extent(ctx context.Context, topic string) (*Extent, error) {
	found, err := r.cluster.Extent(ctx, topic)
	if err != nil {
		return nil, err
	}
	settings, _ := r.cluster.Settings(ctx, topic) // one whose settings may not be read is taken for one that is not steady
	steady := settings["message.timestamp.type"] == "LogAppendTime"
	return &Extent{Extent: found, End: found.Stable, Steady: steady}, nil
}

// From gives the offsets before which all records are older than t, in each partition.
func (r *Reader) From(ctx context.Context, e *Extent, t time.Time) ([]int64, error) {
	return r.cluster.Since(ctx, e.Extent, t)
}

// Read calls fn for the records of one partition with offsets in [from, until), in order, and returns the offset to go
// on from: until, unless fn ended it or failed. What is not there any more is left out.
func (r *Reader) Read(
	ctx context.Context, e *Extent, partition int32, from, until int64, fn func(Record) error,
) (next int64, err error) {
	return r.cluster.Read(ctx, e.Extent, partition, from, until, func(m *kafka.Message) error { return fn(recordOf(m)) })
}

func recordOf(m *kafka.Message) Record {
	return Record{m.Partition, m.Offset, m.Timestamp, m.Key, m.Value}
}
