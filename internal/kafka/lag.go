package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/IBM/sarama"
)

// PartitionLag says how far a group is behind in one partition.
type PartitionLag struct {
	Topic     string
	Partition int32
	Committed int64  // next offset that the group will read; -1 if it has committed none
	Metadata  string // what the group stored with it
	Low, High int64  // first offset that is left, and the one that the next record will get
	// Stable is the end for read_committed consumers, lower than High while a transaction is open.
	Stable int64
	// Lag is the number of offsets from the first unread record to High, 0 if nothing is unread; without a commit
	// from Low. It counts markers of transactions, but markers alone are no lag.
	Lag int64
	// Lost is the number of offsets that were deleted before the group read them.
	Lost int64
}

// Up to here, lag is worth a look at whether there is any record in it: every transaction leaves one marker
// behind that nobody commits.
const lookInto = 128

// Lag reports every partition of topics for group, in the order of topics.
func (c *Cluster) Lag(ctx context.Context, group string, topics []string) ([]PartitionLag, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ranges, err := c.ranges(ctx, topics)
	if err != nil || len(ranges) == 0 {
		return nil, err
	}
	where := fmt.Sprintf("offsets of group %q", group)
	asked := make(map[string][]int32)
	for _, r := range ranges {
		asked[r.topic] = append(asked[r.topic], r.partition)
	}
	offsets, err := c.admin.ListConsumerGroupOffsets(group, asked)
	if errors.Is(err, sarama.ErrGroupIDNotFound) {
		offsets, err = &sarama.OffsetFetchResponse{}, nil // nothing committed yet; Kafka itself says so without an error
	}
	if err != nil {
		return nil, Explain(err, where)
	}
	lags, ids := make([]PartitionLag, 0, len(ranges)), map[string]string{}
	for _, r := range ranges {
		l := PartitionLag{Topic: r.topic, Partition: r.partition, Low: r.low, High: r.high, Stable: r.stable, Committed: -1}
		if b := offsets.GetBlock(r.topic, r.partition); b != nil {
			if b.Err != sarama.ErrNoError {
				return nil, Explain(b.Err, where)
			}
			l.Committed, l.Metadata = b.Offset, b.Metadata
		}
		if strings.HasPrefix(l.Metadata, boundTo) {
			if _, known := ids[r.topic]; !known {
				if ids[r.topic], err = c.TopicID(r.topic); err != nil {
					return nil, err
				}
			}
			if ofAnother(l.Metadata, ids[r.topic]) { // of a topic that is no more: see Binding
				l.Committed = -1
			}
		}
		from := max(l.Committed, l.Low)
		if l.Committed >= 0 {
			l.Lost = from - l.Committed
		}
		l.Lag = max(0, l.High-from)
		if l.Lag > 0 && l.Lag <= lookInto && l.Stable == l.High {
			unread, err := c.scan(ctx, r.topic, r.partition, from, l.High, func(m *sarama.ConsumerMessage) error {
				from = m.Offset
				return ErrStop
			})
			switch {
			case errors.Is(err, ErrStop):
				l.Lag = l.High - from
			case err != nil:
				return nil, Explain(err, where)
			default:
				l.Lag = l.High - unread
			}
		}
		lags = append(lags, l)
	}
	return lags, nil
}

// GroupsThere are those of the consumer groups that the brokers know, in the order given: with members, or with offsets
// of members that have gone.
func (c *Cluster) GroupsThere(ctx context.Context, groups ...string) (there []string, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	known, err := c.admin.ListConsumerGroups()
	if err != nil {
		return nil, Explain(err, "listing consumer groups")
	}
	for _, group := range groups {
		if _, ok := known[group]; ok {
			there = append(there, group)
		}
	}
	return there, nil
}

// Member is one consumer of a group.
type Member struct {
	ID         string // given by the broker
	InstanceID string // static membership; "" without
	ClientID   string
	Host       string
	UserData   []byte             // the fingerprint of its rules, nil without or during a rebalance
	Assigned   map[string][]int32 // topic to partitions, ascending
}

// Members lists who takes part in group, by client id and id. A group that does not exist has none.
func (c *Cluster) Members(ctx context.Context, group string) ([]Member, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	where := fmt.Sprintf("group %q", group)
	found, err := c.admin.DescribeConsumerGroups([]string{group})
	if err != nil {
		return nil, Explain(err, where)
	}
	var members []Member
	for _, g := range found {
		if g.Err == sarama.ErrGroupIDNotFound {
			continue
		}
		if g.Err != sarama.ErrNoError {
			return nil, Explain(g.Err, where)
		}
		for _, d := range g.Members {
			m := Member{ID: d.MemberId, ClientID: d.ClientId, Host: d.ClientHost}
			if d.GroupInstanceId != nil {
				m.InstanceID = *d.GroupInstanceId
			}
			// What another program stored there is not ours to judge: it is left out.
			if meta, err := d.GetMemberMetadata(); err == nil && meta != nil {
				m.UserData = meta.UserData
			}
			if a, err := d.GetMemberAssignment(); err == nil && a != nil {
				m.Assigned = a.Topics
				for _, partitions := range m.Assigned {
					slices.Sort(partitions)
				}
			}
			members = append(members, m)
		}
	}
	slices.SortFunc(members, func(a, b Member) int {
		return strings.Compare(a.ClientID+"\x00"+a.ID, b.ClientID+"\x00"+b.ID)
	})
	return members, nil
}
