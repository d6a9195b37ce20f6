package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/IBM/sarama"
)

// Facts are what the brokers say about a topic as it is.
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
	if err := ctx.Err(); err != nil {
		return Facts{}, err
	}
	t, err := c.describe(topic)
	if err != nil {
		return Facts{}, err
	}
	f := Facts{Topic: topic, Partitions: len(t.Partitions)}
	for i, p := range t.Partitions {
		if i == 0 || len(p.Replicas) < f.Replication {
			f.Replication = len(p.Replicas)
		}
		if p.Leader < 0 || errors.Is(p.Err, sarama.ErrLeaderNotAvailable) {
			f.Offline++
		} else if len(p.Isr) < len(p.Replicas) {
			f.UnderReplicated++
		}
	}
	if settings, err := c.settingsOf(topic); err == nil {
		f.Settings = settings
	}
	if f.Offline > 0 {
		return f, nil // offsets cannot be had
	}
	ranges, err := c.ranges(ctx, []string{topic})
	if err != nil {
		return f, err
	}
	for _, r := range ranges {
		f.Removed += r.low
		f.Records += r.high - r.low
	}
	return f, nil
}

// BrokerCount is the number of brokers that are up.
func (c *Cluster) BrokerCount(ctx context.Context) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	brokers, _, err := c.admin.DescribeCluster()
	return len(brokers), Explain(err, "counting brokers")
}

// Last gives committed records from the end of topic, at most n of each
// partition, in the order of offsets; fewer where offsets hold no records.
func (c *Cluster) Last(ctx context.Context, topic string, n int64) ([]*sarama.ConsumerMessage, error) {
	ranges, err := c.ranges(ctx, []string{topic})
	if err != nil {
		return nil, err
	}
	var last []*sarama.ConsumerMessage
	for _, r := range ranges {
		_, err := c.scan(ctx, topic, r.partition, max(r.low, r.stable-n), r.stable, func(m *sarama.ConsumerMessage) error {
			last = append(last, m)
			return nil
		})
		if err != nil {
			return last, Explain(err, fmt.Sprintf("reading the end of topic %q", topic))
		}
	}
	return last, nil
}
