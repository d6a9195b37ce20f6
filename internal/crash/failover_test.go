package crash

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/testkit"
	"github.com/brimline/brimline/processors"
)

// failOver kills that of two instances which has the heavy user, keeps it down, and takes two times: until the brokers,
// which wait for the session timeout, have given its partitions to the other one, and from then until that has gone on
// with all of them. It has had them for a moment at the start at most: without hot standby it has everything to
// recover.
func failOver(r *round) {
	ctx, cancel := r.bounded()
	defer cancel()
	c, err := kafka.Dial(ctx, kafka.Options{Brokers: r.g.Brokers}, kafka.Lasting)
	r.must(err)
	defer c.Close()
	r.awaitHandled(int64(len(r.events) / 2)) // there must be something to recover
	partitions, err := c.Partitions(r.names.Changes)
	r.must(err)
	heavy := processors.Partition("1", partitions)
	i, other := r.fleet[0], r.fleet[1]
	lost := r.held(ctx, c, i)
	if !slices.Contains(lost, heavy) {
		i, other = other, i
		lost = r.held(ctx, c, i)
	}
	if len(lost) == 0 || len(lost) == partitions {
		r.Fatalf("%s has %d of %d partitions", i.name, len(lost), partitions)
	}
	i.down()
	killed := time.Now()
	waiting := r.changesAt(ctx, c, func(l kafka.PartitionLag) int64 { return l.Committed })
	maps.DeleteFunc(waiting, func(p int32, _ int64) bool { return !slices.Contains(lost, p) })

	r.must(testkit.EventuallyEvery(ctx, 50*time.Millisecond, func() (bool, error) {
		have := r.held(ctx, c, other)
		return !slices.ContainsFunc(lost, func(p int32) bool { return !slices.Contains(have, p) }), nil
	}))
	given := time.Now()
	r.must(testkit.EventuallyEvery(ctx, 50*time.Millisecond, func() (bool, error) {
		now := r.changesAt(ctx, c, func(l kafka.PartitionLag) int64 { return l.Committed })
		maps.DeleteFunc(waiting, func(p int32, before int64) bool { return now[p] > before })
		return len(waiting) == 0, nil
	}))
	r.do("kill -9 of one of two instances: its partitions are given away after %v, and all go on %v later",
		given.Sub(killed).Round(100*time.Millisecond), time.Since(given).Round(100*time.Millisecond))
	i.start()
}

// held are the partitions of the changes stream that an instance has.
func (r *round) held(ctx context.Context, c *kafka.Cluster, i *instance) []int32 {
	r.Helper()
	members, err := c.Members(ctx, r.names.WindowGroup)
	r.must(err)
	at := slices.IndexFunc(members, func(m kafka.Member) bool { return m.ClientID == i.name })
	if at < 0 {
		return nil
	}
	return members[at].Assigned[r.names.Changes]
}
