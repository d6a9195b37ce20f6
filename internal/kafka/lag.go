package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
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

// Up to here, lag is worth a look at whether there is any record in it: every transaction leaves a marker behind, and
// no group commits past one.
const lookInto = 128

// Lag reports every partition of topics for group, in the order of topics.
func (c *Cluster) Lag(ctx context.Context, group string, topics []string) ([]PartitionLag, error) {
	extents, err := c.extents(ctx, topics...)
	if err != nil {
		return nil, err
	}
	where := fmt.Sprintf("offsets of group %q", group)
	var committed kadm.OffsetResponses
	err = c.try(ctx, func() (err error) {
		committed, err = c.admin.FetchOffsets(ctx, group)
		return err
	})
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) { // nothing committed yet: Kafka says so without an error
		return nil, Explain(err, where)
	}
	var lags []PartitionLag
	for _, e := range extents {
		for p := range e.Low {
			l := PartitionLag{
				Topic: e.Topic, Partition: int32(p), Low: e.Low[p], High: e.High[p], Stable: e.Stable[p], Committed: -1,
			}
			if o, ok := committed.Lookup(e.Topic, int32(p)); ok {
				if o.Err != nil {
					return nil, Explain(o.Err, where)
				}
				l.Committed, l.Metadata = o.At, o.Metadata
			}
			if ofAnother(l.Metadata, idOf(e.ID)) { // of a topic that is no more: see Binding
				l.Committed = -1
			}
			if err := c.lag(ctx, e, &l); err != nil {
				return nil, Explain(err, where)
			}
			lags = append(lags, l)
		}
	}
	return lags, nil
}

// lag works out what the offsets of a partition mean.
func (c *Cluster) lag(ctx context.Context, e *Extent, l *PartitionLag) error {
	from := max(l.Committed, l.Low)
	if l.Committed >= 0 {
		l.Lost = from - l.Committed
	}
	l.Lag = max(0, l.High-from)
	if l.Lag == 0 || l.Lag > lookInto || l.Stable != l.High {
		return nil
	}
	unread, err := c.Read(ctx, e, l.Partition, from, l.High, func(m *Message) error {
		from = m.Offset
		return ErrStop
	})
	if errors.Is(err, ErrStop) {
		unread, err = from, nil
	}
	l.Lag = l.High - unread
	return err
}

// GroupsThere are those of the consumer groups that the brokers know, in the order given: with members, or with offsets
// of members that have gone.
func (c *Cluster) GroupsThere(ctx context.Context, groups ...string) (there []string, err error) {
	var known kadm.ListedGroups
	err = c.try(ctx, func() (err error) {
		known, err = c.admin.ListGroups(ctx)
		return err
	})
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
	var described kadm.DescribedGroup
	err := c.try(ctx, func() error {
		answer, err := c.admin.DescribeGroups(ctx, group)
		if err == nil {
			described, err = answer[group], answer[group].Err
		}
		return err
	})
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, Explain(err, fmt.Sprintf("group %q", group))
	}
	var members []Member
	for _, d := range described.Members {
		m := Member{ID: d.MemberID, ClientID: d.ClientID, Host: d.ClientHost}
		if d.InstanceID != nil {
			m.InstanceID = *d.InstanceID
		}
		// What another program stored there is left out.
		if joined, ok := d.Join.AsConsumer(); ok {
			m.UserData = joined.UserData
		}
		if assigned, ok := d.Assigned.AsConsumer(); ok {
			m.Assigned = make(map[string][]int32, len(assigned.Topics))
			for _, t := range assigned.Topics {
				m.Assigned[t.Topic] = slices.Sorted(slices.Values(t.Partitions))
			}
		}
		members = append(members, m)
	}
	slices.SortFunc(members, func(a, b Member) int {
		return cmp.Or(strings.Compare(a.ClientID, b.ClientID), strings.Compare(a.ID, b.ID))
	})
	return members, nil
}
