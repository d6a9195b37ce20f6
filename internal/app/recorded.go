package app

import (
	"context"

	"github.com/brimline/brimline/internal/feed"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/processors"
)

// Recorded calls visit for the records that a filter takes of a topic whose records lie where their users do, newest
// first, until visit returns false. It reads as the HTTP API does.
func Recorded(
	ctx context.Context, o kafka.Options, topic string, f *feed.Filter, visit func(*feed.Record) bool,
) (feed.Seen, error) {
	reader, err := feed.Open(o)
	if err != nil {
		return feed.Seen{}, err
	}
	defer reader.Close()
	return feed.Look(ctx, reader, topic, ownPartition(f), f, 0, visit)
}

// ownPartition is where records of the user are that a filter names; nil where it names none.
func ownPartition(f *feed.Filter) func(int) int32 {
	user, ok := f.Equal["user"]
	if !ok {
		return nil
	}
	return func(n int) int32 { return processors.Partition(user, n) }
}
