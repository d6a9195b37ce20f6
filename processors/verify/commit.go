package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/failpoint"
)

// commitRequest is a prepared batch on its way into a transaction. done gets
// exactly one result.
type commitRequest struct {
	*batch
	session sarama.ConsumerGroupSession
	done    chan error
}

// errNotTaken ends a stage whose records the brokers did not take in time. After
// a broker's restart a producer may try for many minutes what its successor, which fences it, does at once.
var errNotTaken = errors.New("the brokers did not take the records before the transaction timed out")

// errAborted is the result of a transaction of which nothing became visible,
// because one of its partitions had moved to another instance. The others try again.
var errAborted = errors.New("transaction aborted")

// committer owns the producer. It runs one transaction at a time, which is all
// that a producer can, with whatever batches are ready at that moment: the
// more partitions are busy, the more of them share the cost of one transaction.
// Nobody waits for company: batches that come while a transaction runs form the next.
type committer struct {
	s        *Stage
	producer sarama.AsyncProducer
	instance *string // the consumer's static membership, if any
	// timeout is that of a transaction: what is not with the brokers by then can no longer be committed.
	timeout  time.Duration
	requests chan *commitRequest
	settling chan struct{} // taken between two transactions
	acks     chan error    // the fate of each record sent
	ended    chan struct{} // no further request is taken
	closed   chan struct{} // and the producer is closed
}

func newCommitter(s *Stage, producer sarama.AsyncProducer, instance string) *committer {
	c := &committer{s: s, producer: producer, requests: make(chan *commitRequest), settling: make(chan struct{}), acks: make(chan error), ended: make(chan struct{}), closed: make(chan struct{})}
	if instance != "" {
		c.instance = &instance
	}
	return c
}

// run commits until ctx ends; the running transaction is finished first. A
// failure that is not a matter of one partition ends the stage. It closes the
// producer itself: one that is closed in the middle of a call panics.
func (c *committer) run(ctx context.Context) {
	defer close(c.closed)
	defer func() {
		if c.fenced() {
			go c.producer.Close() // waits for records that sarama goes on trying in vain
			return
		}
		c.producer.Close()
	}()
	defer close(c.ended)
	go func() {
		for range c.producer.Successes() {
			c.ack(nil)
		}
	}()
	go func() {
		for e := range c.producer.Errors() {
			c.ack(e.Err)
		}
	}()
	for {
		var requests []*commitRequest
		select {
		case r := <-c.requests:
			requests = c.collect(r)
		case <-c.settling:
			continue
		case <-ctx.Done():
			return
		}
		err := c.transact(requests)
		for _, r := range requests {
			if err == nil {
				c.s.Metrics.count(r.items)
			}
			r.done <- err
		}
		if err != nil && !errors.Is(err, errAborted) {
			c.s.fail(err)
			return
		}
	}
}

// settle waits until no transaction runs. A session that lost its connection
// leaves its transaction behind, and a member that joins again before the group
// has rebalanced gets the same generation once more: then the transaction can
// still commit. Whoever reads a committed offset must wait for it, or what it
// holds is done twice.
func (c *committer) settle(ctx context.Context) error {
	select {
	case c.settling <- struct{}{}:
		return nil
	case <-c.ended:
		return errAborted
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ack passes on the fate of a record; after the end of run nobody waits for it.
func (c *committer) ack(err error) {
	select {
	case c.acks <- err:
	case <-c.ended:
	}
}

// collect adds to the first batch what other partitions have ready, and leaves
// out batches whose session has ended: their partitions may be somebody else's.
func (c *committer) collect(first *commitRequest) (requests []*commitRequest) {
	r := first
	for {
		if r.session.Context().Err() == nil {
			requests = append(requests, r)
		} else {
			r.done <- errAborted
		}
		select {
		case r = <-c.requests:
		default:
			return requests
		}
	}
}

// transact commits the batches in one transaction: all of it or nothing.
func (c *committer) transact(requests []*commitRequest) error {
	if len(requests) == 0 {
		return nil
	}
	start := c.s.Clock()
	if err := c.producer.BeginTxn(); err != nil {
		return c.failed("beginning a transaction", err)
	}
	failpoint.Hit(failpoint.TransactionBegun)
	err := c.send(requests)
	c.s.pause("sent")
	failpoint.Hit(failpoint.VerifySent)
	if err == nil && failpoint.Without(failpoint.Transaction) {
		if err = c.producer.CommitTxn(); err == nil {
			failpoint.Hit(failpoint.VerifyBetween)
			err = c.producer.BeginTxn()
		}
	}
	if err == nil {
		err = c.addOffsets(requests)
	}
	failpoint.Hit(failpoint.VerifyOffsets)
	if err == nil {
		err = c.producer.CommitTxn()
	}
	failpoint.Hit(failpoint.VerifyCommitted)
	if errors.Is(err, errNotTaken) {
		c.s.Metrics.aborts.Inc()
		return c.failed("a transaction", err) // aborting would wait for the same records
	}
	if err != nil {
		c.s.Metrics.aborts.Inc()
		if c.fenced() { // there is nothing to abort, and it would wait for the records
			return c.failed("a transaction", err)
		}
		lost := isLostPartition(err)
		// What is left open ends with the next producer of this id at the latest.
		if aborted := c.producer.AbortTxn(); aborted != nil {
			return c.failed("aborting a transaction", errors.Join(err, aborted))
		}
		if lost {
			return fmt.Errorf("%w: %w", errAborted, err)
		}
		return c.failed("a transaction", err)
	}
	c.s.Metrics.transactions.Observe(c.s.Clock().Sub(start).Seconds())
	return nil
}

// fenceEvery is how often a producer that owes acknowledgements is asked
// whether it can still get any.
const fenceEvery = 200 * time.Millisecond

// send hands all records to the producer and waits until the brokers have them.
// sarama tries the records of a producer that was fenced again and again, for as
// long as it waits for brokers, and each time in vain; nobody waits for that here.
func (c *committer) send(requests []*commitRequest) (failed error) {
	var records []*sarama.ProducerMessage
	for _, r := range requests {
		for _, m := range r.records {
			copied := *m // the producer writes into what it is given, and an aborted batch comes again
			records = append(records, &copied)
		}
	}
	look := time.NewTicker(fenceEvery)
	defer look.Stop()
	timer := time.NewTimer(c.timeout)
	defer timer.Stop()
	for sent, acked := 0, 0; acked < len(records); {
		var input chan<- *sarama.ProducerMessage
		var record *sarama.ProducerMessage
		if sent < len(records) {
			input, record = c.producer.Input(), records[sent]
		}
		select {
		case input <- record:
			sent++
		case err := <-c.acks:
			acked++
			if err != nil && failed == nil {
				failed = err
			}
		case <-look.C:
			if c.fenced() {
				return cmp.Or(failed, error(sarama.ErrProducerFenced))
			}
		case <-timer.C:
			return errors.Join(errNotTaken, failed)
		}
	}
	return failed
}

// fenced reports whether the producer can never again do anything.
func (c *committer) fenced() bool {
	return c.producer.TxnStatus()&sarama.ProducerTxnFlagFatalError != 0
}

// addOffsets adds the offsets with their watermarks, under the generation in
// which they were read: the group's coordinator refuses an older one.
func (c *committer) addOffsets(requests []*commitRequest) error {
	for _, r := range requests {
		member := sarama.NewConsumerGroupMetadata(c.s.Streams.VerifyGroup)
		if !failpoint.Without(failpoint.Generation) {
			member.MemberID, member.GenerationID, member.GroupInstanceID = r.session.MemberID(), r.session.GenerationID(), c.instance
		}
		watermark := formatWatermark(r.watermark)
		offset := &sarama.PartitionOffsetMetadata{Partition: r.partition, Offset: r.next(), LeaderEpoch: -1, Metadata: &watermark}
		offsets := map[string][]*sarama.PartitionOffsetMetadata{c.s.Streams.Candidates: {offset}}
		if err := c.producer.AddOffsetsToTxnWithGroupMetadata(offsets, member); err != nil {
			return err
		}
	}
	return nil
}

// isLostPartition tells a rebalance, which is everyday life, from failures
// that a new producer has to mend.
func isLostPartition(err error) bool {
	return errors.Is(err, sarama.ErrIllegalGeneration) || errors.Is(err, sarama.ErrUnknownMemberId) || errors.Is(err, sarama.ErrRebalanceInProgress)
}

func (c *committer) failed(doing string, err error) error {
	e := &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: "transaction", Where: fmt.Sprintf("%s of %q", doing, c.s.transactionalID()),
		Remedy: "check the brokers; the stage begins anew, and nothing is lost or written twice", Err: err,
	}
	switch {
	case errors.Is(err, sarama.ErrProducerFenced), errors.Is(err, sarama.ErrInvalidProducerEpoch), errors.Is(err, sarama.ErrFencedInstancedId):
		e.Kind = "fenced"
		e.Err = fmt.Errorf("another producer took over, or the brokers gave this one up: %w", err)
		e.Remedy = "if it happens again and again, another process runs under this instance name: give each its own"
	case errors.Is(err, sarama.ErrMessageSizeTooLarge):
		e.Remedy = "raise max.message.bytes of the topics alerts, dismissed, changes and deadletter"
	case errors.Is(err, sarama.ErrTransactionalIDAuthorizationFailed), errors.Is(err, sarama.ErrTopicAuthorizationFailed), errors.Is(err, sarama.ErrGroupAuthorizationFailed):
		e.Remedy = "allow this login WRITE on the transactional id and the topics, and READ on the group"
	}
	return e
}
