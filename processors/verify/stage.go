package verify

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/sliding"
)

// Stage is one life of the stage: it is made, runs once, and is thrown away.
type Stage struct {
	Config
	rules      ruleCache
	outage     outage
	near       *lane // candidates
	apart      *lane // questions
	again      *lane // dismissed edges
	flow       flow
	long       chan struct{} // one for each question that may be with Long
	client     *kgo.Client   // for partitions and committed offsets
	partitions partitionCounts
	failure    chan error // holds the first
	end        context.CancelFunc
	// tellAfter is how long a wait for committed offsets lasts before it is told.
	tellAfter time.Duration
	// pause is called at the named points of a transaction, for tests that stop an instance there.
	pause func(point string)
	// joined is called with the member before it reads, for tests that look into it.
	joined func(*member)
}

// partitionCounts are those of the topics that the stage writes.
type partitionCounts struct{ alerts, shadow, dismissed, changes, deadLetters int }

// New checks the configuration; every problem is reported at once.
func New(c Config) (*Stage, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	c.setDefaults()
	s := &Stage{
		Config: c, long: make(chan struct{}, c.LongQuestions), failure: make(chan error, 1), tellAfter: 10 * time.Second,
		flow: flow{clock: c.Clock, pauses: pause},
		near: &lane{
			topic: c.Streams.Candidates, batch: c.Batch, every: c.Every, slots: make(chan struct{}, c.Questions),
		},
		apart: &lane{
			topic: c.Streams.Questions, apart: true, batch: c.ApartBatch, every: c.ApartEvery,
			slots: make(chan struct{}, c.ApartQuestions),
		},
		again: &lane{
			topic: c.Streams.Again, apart: true, delay: max(c.DistrustAfter/askings, time.Millisecond), batch: c.Batch,
			every: c.ApartEvery, slots: make(chan struct{}, AgainConnections),
		},
		pause: func(string) {}, joined: func(*member) {},
	}
	s.rules = ruleCache{compile: c.Compile, rules: map[uint64]*sliding.Rule{}}
	s.outage.s = s
	return s, nil
}

// Run works until ctx ends, and then returns nil once the running transaction
// is finished, within StopTimeout. Any error means that this Stage is done and
// a new one may begin: what is open is taken up by its producer. Errors of Kafka are as the client reports them.
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
	settings, err := s.Client()
	if err != nil {
		return err
	}
	once := func(key int16) bool { return key == keyOffsetCommit } // see commitOffsets
	settings = append(settings, kgo.MaxVersions(byName()), kgo.RetryTimeoutFn(retrying(once)))
	if s.client, err = kgo.NewClient(settings...); err != nil {
		return err
	}
	defer s.client.Close()
	var version int16
	if err := patiently(ctx, func() (err error) {
		version, err = transactionVersion(ctx, s.client)
		return err
	}); err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	if err := s.countPartitions(ctx); err != nil {
		return err
	}

	// The producer comes before the consumer: making it ends a transaction that
	// an older life of this instance left open, which would hold up the offsets.
	for _, l := range s.lanes() {
		transactions, err := s.openTransactions(ctx, s.transactionalID(l), version >= 2)
		if err != nil {
			return err
		}
		c := newCommitter(s, l, transactions)
		l.committer = c
		committing, stop := context.WithCancel(context.WithoutCancel(ctx)) // it outlives the claims
		go c.run(committing)
		defer func() {
			stop()
			s.close("producer", func() error { <-c.closed; return nil })
		}()
	}

	m, err := s.join(ctx)
	if err != nil {
		return err
	}
	defer s.close("consumer group", m.close)
	s.joined(m)
	if !s.Off {
		probing, end := context.WithCancel(ctx)
		var running sync.WaitGroup
		running.Go(func() { s.outage.probe(probing) })
		defer running.Wait()
		defer end()
	}
	return m.read(ctx)
}

// countPartitions looks at the topics once: where a user's records go must not
// change while the stage runs.
func (s *Stage) countPartitions(ctx context.Context) error {
	var candidates, questions, again int
	counts := map[string]*int{
		s.Streams.Candidates: &candidates, s.Streams.Questions: &questions, s.Streams.Again: &again,
		s.Streams.Changes: &s.partitions.changes, s.Streams.Alerts: &s.partitions.alerts,
		s.Streams.Dismissed: &s.partitions.dismissed, s.Streams.DeadLetters: &s.partitions.deadLetters,
		s.Streams.Shadow: &s.partitions.shadow,
	}
	r := kmsg.NewPtrMetadataRequest()
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr(name)
		r.Topics = append(r.Topics, topic)
	}
	answer, err := r.RequestWith(ctx, s.client)
	if err != nil {
		return fmt.Errorf("looking up topics: %w", err)
	}
	for _, t := range answer.Topics {
		if t.Topic == nil {
			continue
		}
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return &brimline.Error{
				Class: brimline.ClassEnvironment, Kind: "topic", Where: fmt.Sprintf("topic %q", *t.Topic),
				Remedy: "create it, or allow this login to describe it", Err: err,
			}
		}
		if count := counts[*t.Topic]; count != nil {
			*count = len(t.Partitions)
		}
	}
	if err := s.samePartitions(s.near, candidates); err != nil {
		return err
	}
	if err := s.samePartitions(s.apart, questions); err != nil {
		return err
	}
	return s.samePartitions(s.again, again)
}

func (s *Stage) samePartitions(l *lane, have int) error {
	if have == s.partitions.changes {
		return nil
	}
	return &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: "copartitioning",
		Where:  fmt.Sprintf("topics %q and %q", l.topic, s.Streams.Changes),
		Remedy: "start a new --group: the number of partitions of a group's topics cannot change",
		Err:    fmt.Errorf("they have %d and %d partitions, where they must have the same", have, s.partitions.changes),
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
