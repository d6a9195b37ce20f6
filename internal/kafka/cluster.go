package kafka

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/brimline/brimline/internal/backoff"

	"github.com/brimline/brimline"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// firstContact bounds Dial, whatever timeouts add up to below it.
const firstContact = 10 * time.Second

// Patience is how long a Cluster waits for brokers that do not answer.
type Patience int

const (
	// Quick gives up within about ten seconds: for commands and checks that a person waits for.
	Quick Patience = iota
	// Lasting waits out a broker's restart, as processors do: for what runs beside them.
	Lasting
)

const (
	tryAgain = 200 * time.Millisecond
	// leaderless is how long leaders and coordinators may take to be found, whatever the patience: brokers that are
	// there say so while they elect one, and of a topic that another instance has just made.
	leaderless = 5 * time.Second
)

// Cluster asks and administers one Kafka cluster. It is safe for concurrent use. The end of a context ends a request;
// one that takes no context ends with Close.
type Cluster struct {
	options Options
	client  *kgo.Client
	admin   *kadm.Client
	outage  time.Duration // that is waited out
}

// Open makes a Cluster. It asks no broker yet.
func Open(o Options, p Patience) (*Cluster, error) {
	settings, err := o.ClientSettings()
	if err != nil {
		return nil, err
	}
	outage, answer := 2*time.Minute, 30*time.Second
	if p == Quick {
		outage, answer = time.Second, 8*time.Second
		settings = append(settings, kgo.DialTimeout(3*time.Second), kgo.RequestRetries(3))
	}
	// franz-go adds this to what a request itself gives the broker.
	settings = append(settings, kgo.RequestTimeoutOverhead(answer), kgo.RetryTimeout(outage))
	client, err := kgo.NewClient(settings...)
	if err != nil {
		return nil, Explain(err, "opening a client of Kafka")
	}
	c := &Cluster{options: o.withDefaults(), client: client, admin: kadm.NewClient(client), outage: outage}
	c.admin.SetTimeoutMillis(int32(answer.Milliseconds()))
	return c, nil
}

// Dial connects. Brokers that are away, a wrong password or a wrong certificate are reported within ten seconds, also
// when patience is Lasting: at the first contact an outage and a typing error look alike.
func Dial(ctx context.Context, o Options, p Patience) (*Cluster, error) {
	return dial(ctx, o, p, firstContact)
}

func dial(ctx context.Context, o Options, p Patience, limit time.Duration) (*Cluster, error) {
	c, err := Open(o, Quick)
	if err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err = c.try(within, func() error { return c.client.Ping(within) })
	if err == nil && p == Quick {
		return c, nil
	}
	_ = c.Close()
	switch {
	case err == nil:
		return Open(o, p)
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case within.Err() != nil:
		err = fmt.Errorf("no answer within %v: %w", limit, os.ErrDeadlineExceeded)
	}
	return nil, Explain(err, fmt.Sprintf("connecting to Kafka at %q", o.Brokers))
}

// Close ends all connections, and requests under way with errors. Safe to call twice.
func (c *Cluster) Close() error {
	c.client.Close()
	return nil
}

// try asks again while what went wrong may pass. The error is not explained yet.
func (c *Cluster) try(ctx context.Context, ask func() error) error {
	for begun := time.Now(); ; {
		err := ask()
		if err == nil || ctx.Err() == nil && !c.worthwhile(err, begun) {
			return err
		}
		if err := backoff.Pause(ctx, tryAgain); err != nil {
			return err
		}
	}
}

// worthwhile says whether to ask again after an error, of requests that have failed since begun.
func (c *Cluster) worthwhile(err error, begun time.Time) bool {
	limit := c.outage
	if kerr.IsRetriable(err) {
		limit = max(limit, leaderless)
	}
	return passing(err) && time.Since(begun) < limit
}

// TopicID is the id that Kafka gave the topic when it was created, "" from a
// broker that knows none. A topic deleted and created anew has another one.
func (c *Cluster) TopicID(topic string) (string, error) {
	t, err := c.describe(context.Background(), topic)
	return idOf(t.TopicID), err
}

// idOf is an id as Kafka writes it.
func idOf(id kadm.TopicID) string {
	if id == (kadm.TopicID{}) {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// NextOffset is the offset that the partition's next record will get.
func (c *Cluster) NextOffset(topic string, partition int32) (next int64, err error) {
	err = c.try(context.Background(), func() error {
		listed, err := c.admin.ListEndOffsets(context.Background(), topic)
		if err == nil {
			next, err = offsetIn(listed, topic, partition)
		}
		return err
	})
	return next, Explain(err, fmt.Sprintf("topic %q, partition %d", topic, partition))
}

// Partitions is the number of partitions of topic.
func (c *Cluster) Partitions(topic string) (int, error) {
	t, err := c.describe(context.Background(), topic)
	return len(t.Partitions), err
}

// Topics are the names of all topics that this user may see, in order.
func (c *Cluster) Topics(ctx context.Context) ([]string, error) {
	var topics kadm.TopicDetails
	err := c.try(ctx, func() (err error) {
		topics, err = c.admin.ListTopicsWithInternal(ctx)
		return err
	})
	return topics.Names(), Explain(err, "listing topics")
}

// describe asks until an answer comes that is about the topic.
func (c *Cluster) describe(ctx context.Context, topic string) (t kmsg.MetadataResponseTopic, err error) {
	err = c.try(ctx, func() (err error) {
		t, err = c.ask(ctx, topic)
		return err
	})
	return t, Explain(err, fmt.Sprintf("topic %q", topic))
}

// ask asks a broker: the client's memory of a topic may be of one that was deleted. Partitions are in order.
func (c *Cluster) ask(ctx context.Context, topic string) (t kmsg.MetadataResponseTopic, err error) {
	asked := kmsg.NewMetadataRequestTopic()
	asked.Topic = &topic
	request := kmsg.NewPtrMetadataRequest()
	request.Topics = append(request.Topics, asked)
	answer, err := request.RequestWith(ctx, c.client)
	if err != nil {
		return t, err
	}
	if len(answer.Topics) != 1 {
		return t, fmt.Errorf("the broker answers for %d topics where one was asked for", len(answer.Topics))
	}
	t = answer.Topics[0]
	slices.SortFunc(t.Partitions, func(a, b kmsg.MetadataResponseTopicPartition) int {
		return int(a.Partition - b.Partition)
	})
	return t, kerr.ErrorForCode(t.ErrorCode)
}

// environment is an error about the state of the cluster.
func environment(kind, where, remedy, format string, args ...any) error {
	return &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: kind, Where: where, Remedy: remedy, Err: fmt.Errorf(format, args...),
	}
}
