package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"github.com/brimline/brimline/internal/failpoint"
)

// Ordered wraps a consumer group in three promises that goka needs and neither
// it nor sarama makes:
//
//   - A mark never passes a message that is not finished. goka marks message k+1
//     when it is acknowledged, even before k, and sarama keeps the highest
//     mark, so a kill would lose k for ever.
//   - The next generation starts at once; goka sleeps 5 s after each Consume.
//   - A partition does not fall silent. sarama only reports the failure of a claim
//     on Errors and ends the session; Consume then returns nil and the caller
//     joins again, without end if the cause is still there. Here Consume returns an
//     error when a claim's handler failed or a claim ended before its session.
//
// A stop while the group is being joined is not a failure: Consume returns nil.
//
// The configuration is given an interceptor, by which the group knows what was handed out. Of
// callbacks, OnAssigned and OnRevoked are used.
func Ordered(brokers []string, group string, c *sarama.Config, callbacks Group) (sarama.ConsumerGroup, error) {
	g := &ordered{
		group: callbacks,
		errs:  make(chan error, 64),
		noted: make(chan struct{}, 1),
	}
	c.Consumer.Interceptors = append(c.Consumer.Interceptors, handedOut{&g.current})
	var err error
	if g.ConsumerGroup, err = sarama.NewConsumerGroup(brokers, group, c); err != nil {
		return nil, err
	}
	go g.forwardErrors()
	return g, nil
}

type ordered struct {
	sarama.ConsumerGroup
	errs    chan error
	closed  atomic.Bool
	current atomic.Pointer[generation]
	group   Group // for OnAssigned and OnRevoked

	mu      sync.Mutex
	lastErr error
	noted   chan struct{}
}

// Errors are those of the wrapped group; like there, they are dropped without a reader.
func (g *ordered) Errors() <-chan error { return g.errs }

func (g *ordered) Close() error {
	g.closed.Store(true)
	return g.ConsumerGroup.Close()
}

func (g *ordered) forwardErrors() {
	defer close(g.errs)
	for err := range g.ConsumerGroup.Errors() {
		g.note(err)
		select {
		case g.noted <- struct{}{}:
		default:
		}
		select {
		case g.errs <- err:
		default:
		}
	}
}

func (g *ordered) note(err error) {
	g.mu.Lock()
	g.lastErr = err
	g.mu.Unlock()
}

// Consume takes part in the group, generation after generation, until ctx ends or something fails.
func (g *ordered) Consume(ctx context.Context, topics []string, handler sarama.ConsumerGroupHandler) error {
	for {
		g.note(nil)
		select {
		case <-g.noted:
		default:
		}
		gen := &generation{handler: handler, current: &g.current, group: g.group}
		err := g.ConsumerGroup.Consume(ctx, topics, gen)
		if ctx.Err() != nil {
			if err == ctx.Err() { //nolint:errorlint // the bare error: given up while joining
				return nil
			}
			return err
		}
		if failed := gen.failure(); failed != nil {
			return errors.Join(failed, err)
		}
		if err != nil {
			return err
		}
		if gen.claimEnded() && !g.closed.Load() {
			return g.whyClaimEnded(topics)
		}
	}
}

// whyClaimEnded waits for the reason, which sarama sent to Errors before it ended the session.
func (g *ordered) whyClaimEnded(topics []string) error {
	select {
	case <-g.noted:
	case <-time.After(time.Second):
	}
	g.mu.Lock()
	err := g.lastErr
	g.mu.Unlock()
	if err == nil {
		err = errors.New("its handler returned without an error")
	}
	return Explain(fmt.Errorf("a partition stopped being read: %w", err), fmt.Sprintf("reading %q", topics))
}

// handedOut notes every message before the handler can see it: sarama calls it
// in the goroutine that then puts the message into the claim's channel, in the
// order of offsets, some messages twice. Messages that goka takes but drops at a
// rebalance, and those that sarama drains then, stay unfinished, as they should.
type handedOut struct{ current *atomic.Pointer[generation] }

func (h handedOut) OnConsume(m *sarama.ConsumerMessage) {
	h.current.Load().mark(topicPartition{m.Topic, m.Partition}).started(m.Offset)
}

type topicPartition struct {
	topic     string
	partition int32
}

// generation is the handler of one session: it hands the caller's handler a
// session that keeps marks in order. A new one for each session, so that what
// an old one left unfinished is forgotten with it: those messages come again.
type generation struct {
	handler sarama.ConsumerGroupHandler
	current *atomic.Pointer[generation]
	group   Group
	session sarama.ConsumerGroupSession // set by Setup, which precedes everything else

	marks sync.Map // topicPartition to *lowWater
	mu    sync.Mutex
	errs  []error
}

func (g *generation) mark(at topicPartition) *lowWater {
	w, ok := g.marks.Load(at)
	if !ok {
		w, _ = g.marks.LoadOrStore(at, &lowWater{})
	}
	return w.(*lowWater)
}

// Setup makes this generation the one that messages belong to. sarama starts
// to read partitions after it, and has closed and drained those of the session before.
func (g *generation) Setup(s sarama.ConsumerGroupSession) error {
	g.session = s
	g.current.Store(g)
	err := g.handler.Setup(&orderedSession{s, g})
	if err == nil && g.group.OnAssigned != nil {
		g.group.OnAssigned()
	}
	return err
}

func (g *generation) Cleanup(s sarama.ConsumerGroupSession) error {
	if g.group.OnRevoked != nil {
		g.group.OnRevoked()
	}
	return g.handler.Cleanup(&orderedSession{s, g})
}

func (g *generation) ConsumeClaim(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
	err := g.handler.ConsumeClaim(&orderedSession{s, g}, c)
	if err != nil {
		g.mu.Lock()
		g.errs = append(g.errs, Explain(err, fmt.Sprintf("topic %q, partition %d", c.Topic(), c.Partition())))
		g.mu.Unlock()
	}
	return err
}

func (g *generation) failure() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return errors.Join(g.errs...)
}

// claimEnded says whether the session ended because a claim did. In a rebalance
// and in a stop it is the other way round, and sarama keeps the first cause.
func (g *generation) claimEnded() bool {
	return g.session != nil && errors.Is(context.Cause(g.session.Context()), sarama.ErrSessionConsumeClaimExited)
}

// orderedSession replaces a session's marks. Acknowledgements that come late,
// during Cleanup, still count: sarama commits after it.
type orderedSession struct {
	sarama.ConsumerGroupSession
	g *generation
}

func (s *orderedSession) MarkOffset(topic string, partition int32, offset int64, metadata string) {
	failpoint.Hit(failpoint.BeforeMark)
	if failpoint.Without(failpoint.OrderedMarks) {
		s.ConsumerGroupSession.MarkOffset(topic, partition, offset, metadata)
		return
	}
	// Two marks of a partition may overtake each other between the next two lines; sarama keeps the higher.
	if mark, meta, ok := s.g.mark(topicPartition{topic, partition}).finished(offset-1, metadata); ok {
		s.ConsumerGroupSession.MarkOffset(topic, partition, mark, meta)
	}
}

func (s *orderedSession) MarkMessage(m *sarama.ConsumerMessage, metadata string) {
	s.MarkOffset(m.Topic, m.Partition, m.Offset+1, metadata)
}
