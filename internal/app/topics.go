package app

import (
	"context"
	"errors"
	"log/slog"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/processors"
)

// partitionCounts are, beside that of the source, the numbers of partitions that goka wants equal: those
// of everything keyed by user, and those of what is read together with alerts.
type partitionCounts struct {
	source int // of the source topic, when it was looked at
	users  int
	alerts int
}

// Kept without an end: alerts are few, and what they are all for. What was
// refused is kept for as long as anybody is likely to ask.
const (
	forEver   = "-1"
	thirtyDay = "2592000000"
)

// ensureTopics creates the topics that are missing, and checks the others.
// wanted is the configured number of partitions; 0 keeps what the group began
// with, and for a new group takes that of the source topic.
func ensureTopics(
	ctx context.Context, c *kafka.Cluster, s processors.Streams, wanted, replication int, log *slog.Logger,
) (n partitionCounts, most bounds, err error) {
	source, err := c.Partitions(s.Source)
	if err != nil {
		return n, nil, sourceError(s.Source, err)
	}
	n.source = source
	if n.users, err = countOr(c, s.Changes, wanted, source); err != nil {
		return n, nil, err
	}
	if n.alerts, err = countOr(c, s.Alerts, 0, n.users); err != nil {
		return n, nil, err
	}
	topics := []kafka.Topic{
		{Name: s.Changes, Partitions: n.users},
		{Name: s.WindowTable, Partitions: n.users, Kind: kafka.Table},
		{Name: s.Candidates, Partitions: n.users},
		{Name: s.Questions, Partitions: n.users},
		{Name: s.Again, Partitions: n.users},
		{Name: s.Alerts, Partitions: n.alerts, Config: map[string]string{"retention.ms": forEver}},
		{Name: s.IndexLoop, Partitions: n.alerts},
		{Name: s.IndexTable, Partitions: n.alerts, Kind: kafka.Table},
		{Name: s.Rules, Partitions: 1, Kind: kafka.Table},
		{Name: s.Reports, Partitions: 1, Kind: kafka.Table},
	}
	// Nothing is joined with these: an existing one may have any number.
	for _, name := range []string{s.DeadLetters, s.Dismissed, s.Shadow} {
		count, err := countOr(c, name, 0, n.users)
		if err != nil {
			return n, nil, err
		}
		topics = append(topics, kafka.Topic{Name: name, Partitions: count,
			Config: map[string]string{"retention.ms": thirtyDay}})
	}
	reports, err := c.Ensure(ctx, topics, kafka.Durability{Replication: replication})
	most = bounds{}
	for _, r := range reports {
		most[r.Name] = r.MaxBytes
		if r.Created {
			log.Info("topic created", "topic", r.Name, "partitions", r.Partitions, "replication", r.Replication)
		}
		for _, w := range r.Warnings {
			log.Warn("topic", "topic", r.Name, "warning", w)
		}
	}
	return n, most, err
}

// countOr is wanted, else the number of partitions that the topic has, else the fallback.
func countOr(c *kafka.Cluster, topic string, wanted, fallback int) (int, error) {
	if wanted > 0 {
		return wanted, nil
	}
	have, err := c.Partitions(topic)
	if IsMissing(err) {
		return fallback, nil
	}
	return have, err
}

// IsMissing reports whether a topic is not there.
func IsMissing(err error) bool {
	e, ok := errors.AsType[*brimline.Error](err)
	return ok && e.Kind == kafka.KindTopicMissing
}

func sourceError(topic string, err error) error {
	if !IsMissing(err) {
		return err
	}
	e, _ := errors.AsType[*brimline.Error](err)
	return &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: "source_missing", Where: e.Where, Err: e.Err,
		Remedy: "name the topic of the change stream with --source; Debezium or `brimline " +
			"capture` creates it with its first record",
	}
}
