package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Facts describe a topic as the brokers see it.
type Facts struct {
	Topic           string
	Partitions      int
	Replication     int // the least of its partitions
	Offline         int // partitions without a leader
	UnderReplicated int // partitions with a copy that lags behind
	// Settings by Kafka's names; nil where this user may not read them.
	Settings map[string]string
	// Removed is the number of offsets at the start of its partitions that are
	// gone, by retention or deletion; Records an upper bound of those that are left.
	Removed, Records int64
}

// Facts looks at a topic and changes nothing. A topic that is not there is an
// error of KindTopicMissing.
func (c *Cluster) Facts(ctx context.Context, topic string) (Facts, error) {
	t, err := c.describe(ctx, topic)
	if err != nil {
		return Facts{}, err
	}
	f := Facts{Topic: topic, Partitions: len(t.Partitions)}
	for i, p := range t.Partitions {
		if i == 0 || len(p.Replicas) < f.Replication {
			f.Replication = len(p.Replicas)
		}
		if p.Leader < 0 || p.ErrorCode == kerr.LeaderNotAvailable.Code {
			f.Offline++
		} else if len(p.ISR) < len(p.Replicas) {
			f.UnderReplicated++
		}
	}
	if settings, err := c.settingsOf(ctx, topic); err == nil {
		f.Settings = settings
	}
	if f.Offline > 0 {
		return f, nil // offsets cannot be had
	}
	e, err := c.Extent(ctx, topic)
	if err != nil {
		return f, err
	}
	for p, low := range e.Low {
		f.Removed += low
		f.Records += e.High[p] - low
	}
	return f, nil
}

// BrokerCount is the number of brokers that are up.
func (c *Cluster) BrokerCount(ctx context.Context) (int, error) {
	var brokers kadm.BrokerDetails
	err := c.try(ctx, func() (err error) {
		brokers, err = c.admin.ListBrokers(ctx)
		return err
	})
	return len(brokers), Explain(err, "counting brokers")
}

// Last gives committed records from the end of topic, at most n of each
// partition, in the order of offsets; fewer where offsets hold no records.
func (c *Cluster) Last(ctx context.Context, topic string, n int64) ([]*Message, error) {
	e, err := c.Extent(ctx, topic)
	if err != nil {
		return nil, err
	}
	var last []*Message
	for p, end := range e.Stable {
		_, err := c.Read(ctx, e, int32(p), max(e.Low[p], end-n), end, func(m *Message) error {
			last = append(last, m)
			return nil
		})
		if err != nil {
			return last, Explain(err, fmt.Sprintf("reading the end of topic %q", topic))
		}
	}
	return last, nil
}
