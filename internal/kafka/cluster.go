package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/IBM/sarama"
	"github.com/brimline/brimline"
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

// Cluster asks and administers one Kafka cluster. It is safe for concurrent use.
// sarama's requests cannot be cancelled: a context is looked at between them.
type Cluster struct {
	client  sarama.Client
	admin   sarama.ClusterAdmin
	brokers []string
	maxSize int
}

// Dial connects. Nobody there, a wrong password or a wrong certificate is
// reported within ten seconds, also when patience is Lasting: at the first
// contact an outage and a typing error look alike.
func Dial(ctx context.Context, o Options, p Patience) (*Cluster, error) {
	quick, err := o.Probe()
	if err != nil {
		return nil, err
	}
	c, err := dial(ctx, o, quick, firstContact)
	if err != nil || p == Quick {
		return c, err
	}
	if err := c.Close(); err != nil {
		return nil, err
	}
	lasting, err := o.Config()
	if err != nil {
		return nil, err
	}
	return dial(ctx, o, lasting, firstContact)
}

func dial(ctx context.Context, o Options, config *sarama.Config, limit time.Duration) (*Cluster, error) {
	where := fmt.Sprintf("connecting to Kafka at %q", o.Brokers)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, sarama.ErrOutOfBrokers)
	defer cancel()
	type result struct {
		c   *Cluster
		err error
	}
	done := make(chan result, 1)
	go func() {
		c, err := connect(o, config)
		done <- result{c, err}
	}()
	select {
	case r := <-done:
		return r.c, Explain(r.err, where)
	case <-ctx.Done():
		go func() { // nobody waits for it any more
			if r := <-done; r.err == nil {
				_ = r.c.Close()
			}
		}()
		if cause := context.Cause(ctx); errors.Is(cause, sarama.ErrOutOfBrokers) {
			return nil, Explain(fmt.Errorf("no answer within %v: %w", limit, cause), where)
		}
		return nil, ctx.Err()
	}
}

func connect(o Options, config *sarama.Config) (*Cluster, error) {
	client, err := sarama.NewClient(o.Brokers, config)
	if err != nil {
		return nil, err
	}
	admin, err := sarama.NewClusterAdminFromClient(client)
	if err != nil {
		_ = client.Close()
		return nil, err
	}
	return &Cluster{client: client, admin: admin, brokers: o.Brokers, maxSize: o.withDefaults().MaxMessageBytes}, nil
}

// Close ends all connections. Safe to call twice.
func (c *Cluster) Close() error {
	if err := c.admin.Close(); err != nil && !errors.Is(err, sarama.ErrClosedClient) {
		return err
	}
	return nil
}

// TopicID is the id that Kafka gave the topic when it was created, "" from a
// broker that knows none. A topic deleted and created anew has another one.
func (c *Cluster) TopicID(topic string) (string, error) {
	t, err := c.describe(topic)
	if err != nil {
		return "", err
	}
	return idOf(t), nil
}

func idOf(t *sarama.TopicMetadata) string {
	if t.Uuid == (sarama.Uuid{}) {
		return ""
	}
	return t.Uuid.String()
}

// NextOffset is the offset that the partition's next record will get.
func (c *Cluster) NextOffset(topic string, partition int32) (int64, error) {
	next, err := c.client.GetOffset(topic, partition, sarama.OffsetNewest)
	return next, Explain(err, fmt.Sprintf("topic %q, partition %d", topic, partition))
}

// Partitions is the number of partitions of topic.
func (c *Cluster) Partitions(topic string) (int, error) {
	t, err := c.describe(topic)
	if err != nil {
		return 0, err
	}
	return len(t.Partitions), nil
}

// Topics are the names of all topics that this user may see, in order.
func (c *Cluster) Topics(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := c.client.RefreshMetadata(); err != nil {
		return nil, Explain(err, "listing topics")
	}
	topics, err := c.client.Topics()
	slices.Sort(topics)
	return topics, Explain(err, "listing topics")
}

func (c *Cluster) describe(topic string) (*sarama.TopicMetadata, error) {
	where := fmt.Sprintf("topic %q", topic)
	found, err := c.admin.DescribeTopics([]string{topic})
	if err != nil {
		return nil, Explain(err, where)
	}
	if len(found) != 1 {
		return nil, Explain(sarama.ErrIncompleteResponse, where)
	}
	if found[0].Err != sarama.ErrNoError {
		return nil, Explain(found[0].Err, where)
	}
	return found[0], nil
}

// environment is an error about the state of the cluster.
func environment(kind, where, remedy, format string, args ...any) error {
	return &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: kind, Where: where, Remedy: remedy, Err: fmt.Errorf(format, args...),
	}
}
