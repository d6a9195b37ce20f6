package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/IBM/sarama"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/sliding"
)

// Stage is one life of the stage: it is made, runs once, and is thrown away.
type Stage struct {
	Config
	rules      ruleCache
	outage     outage
	slots      chan struct{} // one for each question that may be with PostgreSQL
	client     sarama.Client // for partitions and committed offsets
	partitions partitionCounts
	failure    chan error // holds the first
	end        context.CancelFunc
	// pause is called at the named points of a transaction, for tests that stop an instance there.
	pause func(point string)
}

// partitionCounts are those of the topics that the stage writes.
type partitionCounts struct{ alerts, dismissed, changes, deadLetters int }

// New checks the configuration; every problem is reported at once.
func New(c Config) (*Stage, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	c.setDefaults()
	s := &Stage{Config: c, slots: make(chan struct{}, c.Questions), failure: make(chan error, 1), pause: func(string) {}}
	s.rules = ruleCache{compile: c.Compile, rules: map[uint64]*sliding.Rule{}}
	s.outage.s = s
	return s, nil
}

// Run works until ctx ends, and then returns nil once the running transaction
// is finished, within StopTimeout. Any error means that this Stage is done and
// a new one may begin: what is open is taken up by its producer.
func (s *Stage) Run(ctx context.Context) error {
	ctx, s.end = context.WithCancel(ctx)
	defer s.end()
	if err := s.run(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	select {
	case err := <-s.failure:
		return err
	default:
		return nil
	}
}

// fail ends Run with err; the first one counts.
func (s *Stage) fail(err error) {
	select {
	case s.failure <- err:
	default:
	}
	s.end()
}

func (s *Stage) run(ctx context.Context) (err error) {
	consumer, err := s.consumer()
	if err != nil {
		return err
	}
	producer, err := s.producer()
	if err != nil {
		return err
	}
	if s.client, err = within(ctx, func() (sarama.Client, error) { return sarama.NewClient(s.Brokers, consumer) }, sarama.Client.Close); err != nil {
		return kafkaError("connecting", err)
	}
	defer s.close("client", s.client.Close)
	if err := s.countPartitions(ctx); err != nil {
		return err
	}

	// The producer comes before the consumer: making it ends a transaction that
	// an older life of this instance left open, which would hold up the offsets.
	transactions, err := within(ctx, func() (sarama.AsyncProducer, error) { return sarama.NewAsyncProducer(s.Brokers, producer) }, sarama.AsyncProducer.Close)
	if err != nil {
		return kafkaError("starting transactions of "+s.transactionalID(), err)
	}
	c := newCommitter(s, transactions, consumer.Consumer.Group.InstanceId)
	c.timeout = producer.Producer.Transaction.Timeout
	committing, stop := context.WithCancel(context.WithoutCancel(ctx)) // it outlives the claims
	go c.run(committing)
	defer func() {
		stop()
		s.close("producer", func() error { <-c.closed; return nil })
	}()

	group, err := within(ctx, func() (sarama.ConsumerGroup, error) {
		return sarama.NewConsumerGroup(s.Brokers, s.Streams.VerifyGroup, consumer)
	}, sarama.ConsumerGroup.Close)
	if err != nil {
		return kafkaError("opening group "+s.Streams.VerifyGroup, err)
	}
	go s.listen(group.Errors())
	defer s.close("consumer group", group.Close)
	for ctx.Err() == nil {
		// Returns at every rebalance; the next round joins the new generation.
		if err := group.Consume(ctx, []string{s.Streams.Candidates}, handler{s, c}); err != nil {
			return kafkaError("consuming in group "+s.Streams.VerifyGroup, err)
		}
	}
	return nil
}

// listen reports what the consumer could not do. An offset that the broker no
// longer has ends the stage: candidates between it and the oldest one are gone.
func (s *Stage) listen(errs <-chan error) {
	for err := range errs {
		if errors.Is(err, sarama.ErrOffsetOutOfRange) {
			s.fail(&brimline.Error{
				Class: brimline.ClassEnvironment, Kind: "offset_out_of_range", Where: fmt.Sprintf("group %q on topic %q", s.Streams.VerifyGroup, s.Streams.Candidates),
				Remedy: "candidates were deleted before they were judged, or the topic was made anew: start a new --group, or reset this one", Err: err,
			})
			continue
		}
		s.Log.Warn("consuming candidates", "error", err)
	}
}

// countPartitions looks at the topics once: where a user's records go must not
// change while the stage runs. It asks the controller, because a client that is
// asked for a topic that is not there repeats the question for minutes.
func (s *Stage) countPartitions(ctx context.Context) error {
	var candidates int
	counts := map[string]*int{
		s.Streams.Candidates: &candidates, s.Streams.Changes: &s.partitions.changes, s.Streams.Alerts: &s.partitions.alerts,
		s.Streams.Dismissed: &s.partitions.dismissed, s.Streams.DeadLetters: &s.partitions.deadLetters,
	}
	topics, err := within(ctx, func() ([]*sarama.TopicMetadata, error) {
		admin, err := sarama.NewClusterAdminFromClient(s.client)
		if err != nil {
			return nil, err
		}
		return admin.DescribeTopics(slices.Sorted(maps.Keys(counts)))
	}, func([]*sarama.TopicMetadata) error { return nil })
	if err != nil {
		return kafkaError("looking up topics", err)
	}
	for _, t := range topics {
		if t.Err != sarama.ErrNoError {
			return &brimline.Error{
				Class: brimline.ClassEnvironment, Kind: "topic", Where: fmt.Sprintf("topic %q", t.Name),
				Remedy: "create it, or allow this login to describe it", Err: t.Err,
			}
		}
		if count := counts[t.Name]; count != nil {
			*count = len(t.Partitions)
		}
	}
	if candidates != s.partitions.changes {
		return &brimline.Error{
			Class: brimline.ClassEnvironment, Kind: "copartitioning", Where: fmt.Sprintf("topics %q and %q", s.Streams.Candidates, s.Streams.Changes),
			Remedy: "start a new --group: the number of partitions of a group's topics cannot change",
			Err:    fmt.Errorf("they have %d and %d partitions, where they must have the same", candidates, s.partitions.changes),
		}
	}
	return nil
}

// within opens something that knows no context. When ctx ends first, what was
// opened is closed as soon as it is there.
func within[T any](ctx context.Context, open func() (T, error), end func(T) error) (opened T, err error) {
	done := make(chan func() (T, error), 1)
	go func() {
		opened, err := open()
		done <- func() (T, error) { return opened, err }
	}()
	select {
	case result := <-done:
		return result()
	case <-ctx.Done():
		go func() {
			if late, err := (<-done)(); err == nil {
				_ = end(late)
			}
		}()
		return opened, ctx.Err()
	}
}

// close ends one part, and leaves it behind where that takes too long: its
// calls retry for minutes while brokers are away.
func (s *Stage) close(what string, end func() error) {
	done := make(chan error, 1)
	go func() { done <- end() }()
	timer := time.NewTimer(s.StopTimeout)
	defer timer.Stop()
	select {
	case err := <-done:
		if err != nil {
			s.Log.Debug("closing", "part", what, "error", err)
		}
	case <-timer.C:
		s.Log.Warn("did not end in time and is left behind", "part", what, "timeout", s.StopTimeout)
	}
}

func kafkaError(doing string, err error) error {
	return &brimline.Error{Class: brimline.ClassEnvironment, Kind: "kafka", Where: doing, Remedy: "check that the brokers run and this login may use them", Err: err}
}
