package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/brimline/brimline/internal/backoff"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Kind says what a topic is for, and so which settings it must have.
type Kind int

const (
	// Stream passes records on; they are deleted when they are old.
	Stream Kind = iota
	// Table keeps the last value of each key; goka reads it as a table.
	Table
)

func (k Kind) String() string { return [...]string{"stream", "table"}[k] }

// Topic is a topic as brimline needs it.
type Topic struct {
	Name       string
	Partitions int
	Kind       Kind
	// Config overrides the settings of Kind, by Kafka's names: retention.ms of a stream, say.
	Config map[string]string
}

// Durability is how often records are kept.
type Durability struct {
	// Replication is the number of copies. Default: one per broker, at most three.
	Replication int
	// MinISR is how many copies must be written before a record counts. Default: all but one, at least one;
	// so that one of three brokers may be away and an acknowledged record still survives the loss of another.
	MinISR int
}

// TopicReport says what Ensure found or made of a topic.
type TopicReport struct {
	Name        string
	ID          string
	Created     bool
	Partitions  int
	Replication int
	MaxBytes    int      // the largest record, with its key, that the topic takes; 0 where that could not be read
	Warnings    []string // what is allowed but worth knowing
}

// LeastMaxBytes is the least max.message.bytes of a topic that brimline writes: the largest row, with what is said of
// it, must fit.
const LeastMaxBytes = 512 << 10

const (
	retention = 7 * 24 * time.Hour
	// A value that a frozen and thawed instance wrote over a newer one can be told from it only while both are
	// there (see processors.KeepNewer); compaction must leave them for longer than an instance stays frozen.
	compactionLag = time.Hour
	// Brokers else compact when they choose, which may be never: what `brimline forget` deletes has to go in the end.
	compactWithin = 7 * 24 * time.Hour
)

// settings are the topic's settings by Kafka's names.
func (t Topic) settings(minISR, maxMessage int) map[string]string {
	s := map[string]string{
		"min.insync.replicas": strconv.Itoa(minISR),
		// What a producer may write uncompressed fits even if it does not compress, with room for the batch around it.
		"max.message.bytes": strconv.Itoa(maxMessage + 64<<10),
		// Retention and compaction go by the broker's clock. By the writer's, an instance whose clock is ahead is refused
		// (message.timestamp.after.max.ms is an hour), and what one writes whose clock is behind is deleted unread.
		"message.timestamp.type": "LogAppendTime",
	}
	switch t.Kind {
	case Stream:
		s["cleanup.policy"] = "delete"
		s["retention.ms"] = strconv.FormatInt(retention.Milliseconds(), 10)
	case Table:
		s["cleanup.policy"] = "compact"
		s["min.compaction.lag.ms"] = strconv.FormatInt(compactionLag.Milliseconds(), 10)
		s["max.compaction.lag.ms"] = strconv.FormatInt(compactWithin.Milliseconds(), 10)
	}
	maps.Copy(s, t.Config)
	return s
}

// Ensure creates the topics that are missing and checks those that exist.
// Another instance doing the same at the same time does no harm. Every problem
// is reported, not only the first; topics without one are ready when it returns.
func (c *Cluster) Ensure(ctx context.Context, topics []Topic, d Durability) ([]TopicReport, error) {
	brokers, err := c.BrokerCount(ctx)
	if err != nil {
		return nil, err
	}
	d.Replication = orElse(d.Replication, min(3, max(1, brokers)))
	d.MinISR = orElse(d.MinISR, max(1, d.Replication-1))
	var (
		reports  []TopicReport
		problems []error
	)
	for _, t := range topics {
		r, err := c.ensure(ctx, t, d)
		if err != nil {
			if ctx.Err() != nil {
				return reports, ctx.Err()
			}
			problems = append(problems, err)
			continue
		}
		if r.Replication < min(3, brokers) {
			r.Warnings = append(r.Warnings, fmt.Sprintf("%d of %d brokers hold a copy", r.Replication, brokers))
		}
		reports = append(reports, r)
	}
	return reports, errors.Join(problems...)
}

func (c *Cluster) ensure(ctx context.Context, t Topic, d Durability) (TopicReport, error) {
	found, err := c.describe(ctx, t.Name)
	if err == nil {
		return c.check(ctx, t, &found)
	}
	if !errors.Is(err, kerr.UnknownTopicOrPartition) {
		return TopicReport{}, err
	}
	settings := make(map[string]*string)
	for name, value := range t.settings(d.MinISR, c.options.MaxMessageBytes) {
		settings[name] = &value
	}
	err = c.try(ctx, func() error {
		answer, err := c.admin.CreateTopic(ctx, int32(t.Partitions), int16(d.Replication), settings, t.Name)
		return said(err, answer.ErrMessage)
	})
	created := err == nil
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) { // another instance was faster
		return TopicReport{}, Explain(err, fmt.Sprintf("creating topic %q", t.Name))
	}
	if found, err = c.awaitLeaders(ctx, t.Name); err != nil {
		return TopicReport{}, err
	}
	r, err := c.check(ctx, t, &found)
	r.Created = created
	return r, err
}

// said adds what a broker says about its error.
func said(err error, message string) error {
	if err == nil || message == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, message)
}

// awaitLeaders waits until a new topic can be used: goka fails on one that its broker does not know yet.
func (c *Cluster) awaitLeaders(ctx context.Context, topic string) (kmsg.MetadataResponseTopic, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		found, err := c.describe(ctx, topic)
		if err == nil && len(found.Partitions) > 0 &&
			!slices.ContainsFunc(found.Partitions, func(p kmsg.MetadataResponseTopicPartition) bool {
				return p.ErrorCode != 0 || p.Leader < 0
			}) {
			return found, nil
		}
		if backoff.Pause(ctx, 50*time.Millisecond) != nil {
			if err == nil {
				err = Explain(kerr.LeaderNotAvailable, fmt.Sprintf("topic %q", topic))
			}
			return found, err
		}
	}
}

// check compares an existing topic with what is needed.
func (c *Cluster) check(ctx context.Context, t Topic, found *kmsg.MetadataResponseTopic) (TopicReport, error) {
	where := fmt.Sprintf("topic %q", t.Name)
	r := TopicReport{Name: t.Name, ID: idOf(found.TopicID), Partitions: len(found.Partitions)}
	if len(found.Partitions) > 0 {
		r.Replication = len(found.Partitions[0].Replicas)
	}
	var problems []error
	if r.Partitions != t.Partitions {
		problems = append(problems, environment(KindTopicDiffers, where,
			"keep the number of partitions that the group began with, or start a new --group",
			"it has %d partitions, %d are wanted", r.Partitions, t.Partitions))
	}
	have, err := c.settingsOf(ctx, t.Name)
	if err != nil {
		r.Warnings = append(r.Warnings, "its settings could not be read: "+err.Error())
		return r, errors.Join(problems...)
	}
	want := t.settings(1, c.options.MaxMessageBytes)
	if h, w := have["cleanup.policy"], want["cleanup.policy"]; h != w {
		problems = append(problems, environment(
			KindTopicDiffers,
			where,
			fmt.Sprintf(
				"set cleanup.policy=%s on it (kafka-configs.sh --alter --entity-type topics), or delete it if nothing else uses it",
				w,
			),
			"a %s with cleanup.policy %q, %q is wanted",
			t.Kind,
			h,
			w,
		))
	}
	if most, err := strconv.Atoi(have["max.message.bytes"]); err == nil && most > 0 {
		r.MaxBytes = most - batchOverhead
		if most < LeastMaxBytes {
			problems = append(problems, environment(KindTopicDiffers, where,
				fmt.Sprintf("set max.message.bytes=%s on it (kafka-configs.sh --alter --entity-type topics); %d is the least",
					want["max.message.bytes"], LeastMaxBytes),
				"it takes records of at most %d bytes", most))
		}
	}
	for _, name := range []string{"max.message.bytes", "min.compaction.lag.ms", "retention.ms"} {
		if h, w := have[name], want[name]; w != "" && less(h, w) {
			r.Warnings = append(r.Warnings, fmt.Sprintf("%s is %s, less than the %s that brimline would set", name, h, w))
		}
	}
	return r, errors.Join(problems...)
}

// less compares two of Kafka's numbers, of which -1 means unlimited.
func less(have, want string) bool {
	h, err1 := strconv.ParseInt(have, 10, 64)
	w, err2 := strconv.ParseInt(want, 10, 64)
	if err1 != nil || err2 != nil || h == -1 {
		return false
	}
	return w == -1 || h < w
}

// Keeping is for how long a topic keeps a record. Times are -1 where they are without bound or not known.
type Keeping struct {
	Compacted bool
	// Age is how old records become that are not compacted. They are deleted by whole segments, so that one may be
	// there for as much longer as a segment is written to.
	Age, Segment time.Duration
	// Compaction is how long a value may be there after its key has a newer one, before the brokers have to compact.
	Compaction time.Duration
}

// Keeps says for how long a topic keeps a record.
func (c *Cluster) Keeps(topic string) (k Keeping, err error) {
	s, err := c.Settings(context.Background(), topic)
	if err != nil {
		return k, err
	}
	span := func(name string) time.Duration {
		ms, err := strconv.ParseInt(s[name], 10, 64)
		if err != nil || ms < 0 || ms > int64(math.MaxInt64/time.Millisecond) {
			return -1
		}
		return time.Duration(ms) * time.Millisecond
	}
	if s["retention.ms"] == "" {
		return k, fmt.Errorf("topic %q does not tell its retention.ms", topic)
	}
	return Keeping{
		Compacted: strings.Contains(s["cleanup.policy"], "compact"), Age: span("retention.ms"),
		Segment: span("segment.ms"), Compaction: span("max.compaction.lag.ms"),
	}, nil
}

// Settings are those of a topic, by Kafka's names.
func (c *Cluster) Settings(ctx context.Context, topic string) (map[string]string, error) {
	settings, err := c.settingsOf(ctx, topic)
	return settings, Explain(err, fmt.Sprintf("reading the settings of topic %q", topic))
}

func (c *Cluster) settingsOf(ctx context.Context, topic string) (map[string]string, error) {
	settings := make(map[string]string)
	err := c.try(ctx, func() error {
		resources, err := c.admin.DescribeTopicConfigs(ctx, topic)
		for _, r := range resources {
			err = errors.Join(err, said(r.Err, r.ErrMessage))
			for _, s := range r.Configs {
				settings[s.Key] = s.MaybeValue()
			}
		}
		return err
	})
	return settings, err
}

// Delete deletes topics and waits until they are gone; one that is not there is no error.
func (c *Cluster) Delete(ctx context.Context, topics ...string) error {
	var problems []error
	for _, topic := range topics {
		err := c.try(ctx, func() error {
			answer, err := c.admin.DeleteTopic(ctx, topic)
			return said(err, answer.ErrMessage)
		})
		if err == nil {
			err = c.awaitGone(ctx, topic)
		}
		if err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
			problems = append(problems, Explain(err, fmt.Sprintf("deleting topic %q", topic)))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(problems...)
}

func (c *Cluster) awaitGone(ctx context.Context, topic string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		if _, err := c.describe(ctx, topic); errors.Is(err, kerr.UnknownTopicOrPartition) {
			return nil
		}
		if err := backoff.Pause(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("waiting for topic %q to be gone: %w", topic, err)
		}
	}
}

// DeleteGroups forgets the offsets of groups; one that is not there is no error, one with members is.
func (c *Cluster) DeleteGroups(ctx context.Context, groups ...string) error {
	var problems []error
	for _, group := range groups {
		err := c.try(ctx, func() error {
			_, err := c.admin.DeleteGroup(ctx, group)
			return err
		})
		if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
			problems = append(problems, Explain(err, fmt.Sprintf("deleting group %q", group)))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(problems...)
}
