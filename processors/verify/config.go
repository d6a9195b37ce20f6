package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/IBM/sarama"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/failpoint"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/brimline/brimline/processors"
)

// Ledger answers from the database. An error of brimline.ClassInput says that
// this question will never be answered; any other, that it may be later.
type Ledger interface {
	// Figures are the rule's figures for user at a time. after are the changes
	// that a replica must have seen; lsn is the log position after the answer.
	Figures(ctx context.Context, user string, rule *sliding.Rule, at brimline.Time, after ...brimline.Source) (f brimline.Figures, lsn uint64, err error)
	// Edges are the times of all edges in [from, to], in order.
	Edges(ctx context.Context, user string, rule *sliding.Rule, from, to brimline.Time, after ...brimline.Source) (edges []brimline.Time, lsn uint64, err error)
	// AsOf is the total and count of the window that ends at a time.
	AsOf(ctx context.Context, user string, rule *sliding.Rule, at brimline.Time) (brimline.AsOf, error)
}

// Config is what the stage needs. Fields without a stated default are required.
type Config struct {
	// Brokers are bootstrap addresses.
	Brokers []string
	// ConsumerConfig and ProducerConfig give a fresh sarama configuration at each
	// call. The stage adds what its promise rests on: reading committed records
	// from the oldest on, no commits outside transactions, the transactional id,
	// its own partitioner. Member user data and the strategy (an eager one) are the caller's.
	ConsumerConfig, ProducerConfig func() (*sarama.Config, error)
	Streams                        processors.Streams
	// Instance distinguishes the processes of a group; two that run at once must
	// differ, else they end each other in turn. A process that comes back under
	// its name ends what it left open at once instead of after the transaction timeout.
	Instance string
	// Scale is the number of decimals of amounts. A candidate of another scale is a dead letter.
	Scale int
	// Ledger is not needed with Off.
	Ledger Ledger
	// Compile turns a where expression into a function that is pure, total and
	// safe for concurrent use. It is called once per rule.
	Compile func(where string) (func(*brimline.Transaction) bool, error)
	// Off lets edges pass as unverified alerts, and dismisses late candidates, which only a database can answer.
	Off bool
	// AlertsFrom is the time from which alerts are written; what is confirmed of an edge before it goes to dismissed.
	// 0: all are.
	AlertsFrom brimline.Time
	// AsOfNow adds the total of the last window up to the moment of asking.
	AsOfNow bool
	// Metrics of this process, which outlive the stage.
	Metrics *Metrics
	// Log; nil discards.
	Log *slog.Logger
	// Clock; nil is time.Now.
	Clock func() time.Time

	// Batch is the most candidates of one partition in one transaction; 0 is 500.
	Batch int
	// Questions is how many questions may be with PostgreSQL at once; 0 is 8.
	// More than the ledger's connections wait there.
	Questions int
	// MaxAlertBytes is the largest record written to alerts and dismissed; 0 is
	// 900,000, which fits Kafka's default of max.message.bytes. Larger ones leave
	// out the contributing transactions, then the trigger's further columns.
	MaxAlertBytes int
	// Patience is the longest pause between two tries while PostgreSQL is away; 0 is 2 s.
	Patience time.Duration
	// StopTimeout bounds how long a stop or a rebalance waits for the running transaction; 0 is 10 s.
	StopTimeout time.Duration
}

func (c *Config) setDefaults() {
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	if c.Clock == nil {
		c.Clock = time.Now
	}
	c.Batch = cmp.Or(c.Batch, 500)
	c.Questions = cmp.Or(c.Questions, 8)
	c.MaxAlertBytes = cmp.Or(c.MaxAlertBytes, 900_000)
	c.Patience = cmp.Or(c.Patience, 2*time.Second)
	c.StopTimeout = cmp.Or(c.StopTimeout, 10*time.Second)
}

func (c *Config) check() error {
	var missing []error
	need := func(there bool, what string) {
		if !there {
			missing = append(missing, errors.New("verify: "+what+" is missing"))
		}
	}
	need(len(c.Brokers) > 0, "Brokers")
	need(c.ConsumerConfig != nil, "ConsumerConfig")
	need(c.ProducerConfig != nil, "ProducerConfig")
	need(c.Streams.VerifyGroup != "", "Streams")
	need(c.Instance != "", "Instance")
	need(c.Ledger != nil || c.Off, "Ledger")
	need(c.Compile != nil, "Compile")
	need(c.Metrics != nil, "Metrics")
	return errors.Join(missing...)
}

// transactionalID is the same for every life of an instance: the newer fences the older.
func (c *Config) transactionalID() string {
	id := c.Streams.VerifyGroup + "-" + c.Instance
	if failpoint.Without(failpoint.ProducerID) {
		id += fmt.Sprint("-", time.Now().UnixNano())
	}
	return id
}

func (c *Config) consumer() (*sarama.Config, error) {
	s, err := c.ConsumerConfig()
	if err != nil {
		return nil, err
	}
	s.Consumer.IsolationLevel = sarama.ReadCommitted
	s.Consumer.Offsets.Initial = sarama.OffsetOldest
	s.Consumer.Offsets.AutoCommit.Enable = false
	s.Consumer.Return.Errors = true
	// An offset that the broker no longer has must end the stage: with a reset,
	// records below the committed offset would pass for handled ones.
	s.Consumer.Group.ResetInvalidOffsets = false
	s.ChannelBufferSize = max(s.ChannelBufferSize, c.Batch)
	return s, nil
}

func (c *Config) producer() (*sarama.Config, error) {
	s, err := c.ProducerConfig()
	if err != nil {
		return nil, err
	}
	s.Producer.Idempotent = true
	s.Producer.RequiredAcks = sarama.WaitForAll
	s.Net.MaxOpenRequests = 1
	s.Producer.Transaction.ID = c.transactionalID()
	s.Producer.Partitioner = sarama.NewManualPartitioner
	s.Producer.Return.Successes = true
	s.Producer.Return.Errors = true
	// The end of the batch is known: waiting for more would only add to every alert's delay.
	s.Producer.Flush.Frequency, s.Producer.Flush.Messages, s.Producer.Flush.Bytes = 0, 0, 0
	// The brokers finish a transaction after they have answered its end, and refuse the next one until
	// then, for a few milliseconds: ask again soon, and as slowly as the caller says only when it lasts.
	longest := s.Producer.Transaction.Retry.Backoff
	s.Producer.Transaction.Retry.BackoffFunc = func(retries, _ int) time.Duration {
		return min(time.Millisecond<<min(retries, 20), longest)
	}
	return s, nil
}
