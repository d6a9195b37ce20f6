package verify

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/prometheus/client_golang/prometheus"
)

// deaf is a producer that takes records and never says what became of them,
// as sarama's can after a restart of the only broker.
type deaf struct {
	sarama.AsyncProducer
	input chan *sarama.ProducerMessage
}

func (d deaf) Input() chan<- *sarama.ProducerMessage   { return d.input }
func (d deaf) TxnStatus() sarama.ProducerTxnStatusFlag { return sarama.ProducerTxnFlagInTransaction }

func TestTransactionsAreNotWaitedForBeyondTheirTimeout(t *testing.T) {
	c := newCommitter(&Stage{}, deaf{input: make(chan *sarama.ProducerMessage, 1)}, "")
	c.timeout = 10 * time.Millisecond
	ended := make(chan error, 1)
	go func() {
		ended <- c.send([]*commitRequest{{batch: &batch{records: []*sarama.ProducerMessage{{Topic: "alerts"}}}}})
	}()
	select {
	case err := <-ended:
		if !errors.Is(err, errNotTaken) {
			t.Errorf("%v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it waits for ever")
	}
}

// held is a producer whose commit waits for release.
type held struct {
	sarama.AsyncProducer
	begun, release chan struct{}
}

func (h held) BeginTxn() error                           { return nil }
func (h held) CommitTxn() error                          { close(h.begun); <-h.release; return nil }
func (h held) TxnStatus() sarama.ProducerTxnStatusFlag   { return sarama.ProducerTxnFlagReady }
func (h held) Successes() <-chan *sarama.ProducerMessage { return nil }
func (h held) Errors() <-chan *sarama.ProducerError      { return nil }
func (h held) Close() error                              { return nil }
func (h held) AddOffsetsToTxnWithGroupMetadata(map[string][]*sarama.PartitionOffsetMetadata, *sarama.ConsumerGroupMetadata) error {
	return nil
}

// session is one of a group, at a generation that it may share with the one before it.
type session struct {
	sarama.ConsumerGroupSession
	ctx context.Context
}

func (s session) Context() context.Context { return s.ctx }
func (s session) MemberID() string         { return "m" }
func (s session) GenerationID() int32      { return 1 }

// A transaction that a session left behind may still commit under the
// generation that the next session has as well. The next one must not read its
// position before.
func TestAPositionIsReadBetweenTransactionsOnly(t *testing.T) {
	p := held{begun: make(chan struct{}), release: make(chan struct{})}
	c := newCommitter(&Stage{
		Config: Config{Clock: time.Now, Metrics: NewMetrics(prometheus.NewRegistry())}, pause: func(string) {},
	}, p, "")
	c.timeout = time.Minute
	ctx, stop := context.WithCancel(t.Context())
	go c.run(ctx)
	lost, end := context.WithCancel(t.Context())
	r := &commitRequest{
		batch:   &batch{messages: []*sarama.ConsumerMessage{{}}},
		session: session{ctx: lost}, done: make(chan error, 1),
	}
	c.requests <- r
	<-p.begun
	end() // the connection is lost, and the session with it

	brief, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.settle(brief); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a new session went on during the transaction: %v", err)
	}
	close(p.release)
	if err := <-r.done; err != nil {
		t.Errorf("the transaction: %v", err)
	}
	if err := c.settle(t.Context()); err != nil {
		t.Errorf("after the transaction: %v", err)
	}
	stop()
	<-c.closed
}
