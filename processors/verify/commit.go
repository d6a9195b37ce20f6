package verify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/brimline/brimline/internal/failpoint"
)

// commitRequest is a prepared batch on its way into a transaction. done gets
// exactly one result.
type commitRequest struct {
	*batch
	session *session
	done    chan error
}

// errNotTaken ends a stage whose records the brokers did not take in time. After
// a broker's restart a producer may try for many minutes what its successor, which fences it, does at once.
var errNotTaken = errors.New("the brokers did not take the records before the transaction timed out")

// errAborted is the result of a transaction of which nothing became visible,
// because one of its partitions had moved to another instance. The others try again.
var errAborted = errors.New("transaction aborted")

// committer owns a lane's producer. It runs one transaction at a time, which is all
// that a producer can, with whatever batches of its lane are ready at that moment: the
// more partitions are busy, the more of them share the cost of one transaction.
// The first batch after a pause does not wait for company. Those that come while
// a transaction runs form the next, which begins Every after it began at the soonest.
type committer struct {
	s            *Stage
	lane         *lane
	transactions *transactions
	requests     chan *commitRequest
	settling     chan struct{} // taken between two transactions
	ended        chan struct{} // no further request is taken
	closed       chan struct{} // and the producer is closed
}

func newCommitter(s *Stage, l *lane, t *transactions) *committer {
	return &committer{
		s: s, lane: l, transactions: t, requests: make(chan *commitRequest), settling: make(chan struct{}),
		ended: make(chan struct{}), closed: make(chan struct{}),
	}
}

// run commits until ctx ends; the running transaction is finished first. A
// failure that is not a matter of one partition ends the stage.
func (c *committer) run(ctx context.Context) {
	defer close(c.closed)
	defer c.transactions.close()
	defer close(c.ended)
	var next time.Time
	for {
		var requests []*commitRequest
		select {
		case r := <-c.requests:
			requests = c.collect(r, next)
			next = time.Now().Add(c.lane.every)
		case <-c.settling:
			continue
		case <-ctx.Done():
			return
		}
		err := c.commit(requests)
		for _, r := range requests {
			if err == nil {
				c.s.Metrics.count(r.items, c.s.Clock())
				c.s.Metrics.waited(r.batch, c.s.Clock())
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
	if failpoint.Without(failpoint.Settled) {
		return nil
	}
	select {
	case c.settling <- struct{}{}:
		return nil
	case <-c.ended:
		return errAborted
	case <-ctx.Done():
		return ctx.Err()
	}
}

// collect adds to the first batch what other partitions have ready by then, and
// leaves out batches whose session has ended: their partitions may belong to another member.
func (c *committer) collect(first *commitRequest, by time.Time) (requests []*commitRequest) {
	timer := time.NewTimer(time.Until(by))
	defer timer.Stop()
	over := false
	for r := first; ; {
		if r.session.ctx.Err() == nil && (len(requests) == 0 || r.session == requests[0].session) {
			requests = append(requests, r)
		} else {
			r.done <- errAborted
		}
		for r = nil; r == nil; {
			select {
			case r = <-c.requests:
				continue
			default:
			}
			if over {
				return requests
			}
			select {
			case r = <-c.requests:
			case <-timer.C:
				over = true
			}
		}
	}
}

// commit commits the batches: all of it or nothing.
func (c *committer) commit(requests []*commitRequest) error {
	if len(requests) == 0 {
		return nil
	}
	start := c.s.Clock()
	var records []*kgo.Record
	for _, r := range requests {
		records = append(records, r.records...)
	}
	var err error
	if len(records) == 0 {
		err = c.commitAlone(requests)
	} else {
		err = c.transact(requests, records)
	}
	if err == nil {
		c.s.Metrics.transactions.Observe(c.s.Clock().Sub(start).Seconds())
	}
	return err
}

// commitAlone commits offsets without records.
func (c *committer) commitAlone(requests []*commitRequest) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), c.transactions.timeout, errNotTaken)
	defer cancel()
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic = c.lane.topic
	for _, r := range requests {
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		metadata := r.after.metadata()
		p.Partition, p.Offset, p.Metadata = r.partition, r.after.committed(), &metadata
		topic.Partitions = append(topic.Partitions, p)
	}
	err := c.s.commitOffsets(ctx, requests[0].session, []kmsg.OffsetCommitRequestTopic{topic})
	switch {
	case err == nil:
		return nil
	case isLostPartition(err):
		return fmt.Errorf("%w: %w", errAborted, err)
	}
	return c.failed("committing offsets", err)
}

// transact commits records and offsets in one transaction.
func (c *committer) transact(requests []*commitRequest, records []*kgo.Record) error {
	t := c.transactions
	if err := t.begin(); err != nil {
		return c.failed("beginning a transaction", err)
	}
	failpoint.Hit(failpoint.TransactionBegun)
	err := t.send(copies(records))
	c.s.pause("sent")
	failpoint.Hit(failpoint.VerifySent)
	if err == nil && failpoint.Without(failpoint.Transaction) {
		if err = t.end(true); err == nil {
			failpoint.Hit(failpoint.VerifyBetween)
			return c.commitAlone(requests)
		}
	}
	if err == nil {
		err = t.addOffsets(requests[0].session, c.offsets(requests))
	}
	c.s.pause("offsets")
	failpoint.Hit(failpoint.VerifyOffsets)
	if err != nil {
		return c.abort(err)
	}
	if err := t.end(true); err != nil {
		c.s.Metrics.aborts.Inc()
		return c.failed("committing a transaction", err)
	}
	failpoint.Hit(failpoint.VerifyCommitted)
	return nil
}

// copies are records that the producer may write into: an aborted batch comes again.
func copies(records []*kgo.Record) []*kgo.Record {
	all := make([]*kgo.Record, len(records))
	for i, r := range records {
		copied := *r
		all[i] = &copied
	}
	return all
}

// offsets are those of the batches, with their watermarks.
func (c *committer) offsets(requests []*commitRequest) []kmsg.TxnOffsetCommitRequestTopic {
	topic := kmsg.NewTxnOffsetCommitRequestTopic()
	topic.Topic = c.lane.topic
	for _, r := range requests {
		p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		metadata := r.after.metadata()
		p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = r.partition, r.after.committed(), -1, &metadata
		topic.Partitions = append(topic.Partitions, p)
	}
	return []kmsg.TxnOffsetCommitRequestTopic{topic}
}

// abort ends a transaction that cannot be committed. The stage goes on if all
// that happened is a rebalance, which is everyday life, and if the brokers know
// that the transaction is over. Else it ends: what is left open is ended by the
// next producer of this id, at the latest.
func (c *committer) abort(cause error) error {
	c.s.Metrics.aborts.Inc()
	if !isLostPartition(cause) {
		return c.failed("a transaction", cause)
	}
	if err := c.transactions.end(false); err != nil {
		return c.failed("aborting a transaction", errors.Join(cause, err))
	}
	return fmt.Errorf("%w: %w", errAborted, cause)
}

// isLostPartition tells a rebalance from failures that a new producer has to mend.
func isLostPartition(err error) bool {
	return errors.Is(err, kerr.IllegalGeneration) || errors.Is(err, kerr.UnknownMemberID) ||
		errors.Is(err, kerr.RebalanceInProgress)
}
