package verify

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/brimline/brimline/internal/backoff"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/processors"
)

// claim is one partition for as long as a session holds it.
type claim struct {
	partition
	member  *member
	session *session
	source  *kgo.Client // that its records come from
	bytes   int         // about how many a batch and the queue may have
	folded  time.Time   // what the source topic had then is folded; see takeDue

	standing sync.Mutex // held while a batch is committed
	position
	// What was open when the claim began is read again: up to here, nil once that is done, and from which offset on of
	// which users.
	reading  *place
	left     map[userKey]int64
	kept     keptBack
	tellFull processors.Rarely
	unsent   unsent

	mu     sync.Mutex
	queue  []*kgo.Record // read and not yet taken, in order
	queued int           // its bytes
	paused bool
	more   chan struct{} // the queue is not empty any more
}

// A partition whose claim has so many batches before it, or so many bytes, is not read until there is half of that:
// what is left bridges the time until the brokers are asked for it again.
const batchesAhead = 16

// put queues records. It never waits: other partitions' records come behind them.
func (c *claim) put(records []*kgo.Record) {
	if c.delay > 0 {
		now := c.member.s.Clock()
		for _, r := range records {
			if r.Timestamp.After(now) { // the clock of whoever wrote it is ahead
				r.Timestamp = now
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(c.queue, records...)
	for _, r := range records {
		c.queued += size(r)
	}
	if !c.paused && (len(c.queue) > batchesAhead*c.batch || c.queued >= c.bytes) {
		c.paused = true
		c.source.PauseFetchPartitions(c.mine())
	}
	tell(c.more)
}

func (c *claim) mine() map[string][]int32 {
	return map[string][]int32{c.topic: {c.number}}
}

// size is about how many bytes of memory a record takes before it is decoded.
func size(r *kgo.Record) int { return len(r.Key) + len(r.Value) + 200 }

// take waits for a record and adds what else is there already. It gives
// nothing when the partition is taken away.
func (c *claim) take() []*kgo.Record {
	for {
		if got := c.some(c.batch); len(got) > 0 {
			return got
		}
		select {
		case <-c.more:
		case <-c.session.ctx.Done():
			return nil
		}
	}
}

func (c *claim) some(most int) []*kgo.Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, bytes := 0, 0
	for n < min(most, len(c.queue)) && (n == 0 || bytes+size(c.queue[n]) <= c.bytes) {
		bytes += size(c.queue[n])
		n++
	}
	c.queued -= bytes
	got := c.queue[:n:n]
	if c.queue = c.queue[n:]; len(c.queue) == 0 {
		c.queue = nil
	}
	if c.paused && 2*len(c.queue) <= batchesAhead*c.batch && 2*c.queued <= c.bytes {
		c.paused = false
		c.source.ResumeFetchPartitions(c.mine())
	}
	return got
}

// run handles the partition until it is taken away.
func (c *claim) run() {
	var beside sync.WaitGroup
	beside.Go(func() { c.failWith(c.handleKeptBack()) })
	c.failWith(c.consume())
	beside.Wait()
	_, left, _ := c.kept.state()
	c.member.s.Metrics.kept.Sub(float64(left))
}

func (c *claim) failWith(err error) {
	if err != nil && c.session.ctx.Err() == nil {
		c.member.s.fail(err)
	}
}

// consume goes batch after batch.
func (c *claim) consume() error {
	for {
		take, prepare := c.take, c.member.s.prepare
		if c.delay > 0 {
			take, prepare = c.takeDue, c.member.s.prepareAgain
		}
		messages := take()
		if len(messages) == 0 {
			return nil
		}
		if messages = c.unhandled(messages); len(messages) == 0 {
			if err := c.forgetEnded(); err != nil {
				return err
			}
		}
		for len(messages) > 0 {
			if err := c.forgetEnded(); err != nil {
				return err
			}
			b := c.batchOf(messages)
			if err := prepare(c.session.ctx, b); err != nil {
				return err
			}
			messages = messages[len(b.messages):]
			if err := c.makeRoom(b); err != nil {
				return err
			}
			if err := c.handOver(b); err != nil {
				return err
			}
		}
	}
}

// commit hands a batch over and waits for its transaction. A running
// transaction is waited for even while a rebalance waits for us, within
// bounds: cut short it would be done twice, to no harm but at a cost.
func (c *claim) commit(b *batch) error {
	ctx, committer := c.session.ctx, c.committer
	pauses := backoff.Backoff{First: 10 * time.Millisecond, Most: time.Second}
	for {
		r := &commitRequest{batch: b, session: c.session, done: make(chan error, 1)}
		select {
		case committer.requests <- r:
		case <-committer.ended:
			return errAborted
		case <-ctx.Done():
			return ctx.Err()
		}
		err := c.await(r)
		if err == nil || !errors.Is(err, errAborted) {
			return err
		}
		// Another partition of the transaction was lost, or this one was and the session does not know yet.
		if err := pauses.Pause(ctx); err != nil {
			return err
		}
	}
}

func (c *claim) await(r *commitRequest) error {
	ctx, s := c.session.ctx, c.member.s
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
	}
	timer := time.NewTimer(s.StopTimeout)
	defer timer.Stop()
	select {
	case err := <-r.done:
		return err
	case <-timer.C:
		s.Log.Warn("the running transaction is left behind; whoever takes the partition waits for its end",
			"topic", c.topic, "partition", c.number)
		return ctx.Err()
	}
}

// positions reads committed offsets and watermarks, once no open transaction
// can still change them: another instance's last one may be committed and not
// applied yet.
func (s *Stage) positions(ctx context.Context, of map[string][]int32) (map[partition]position, error) {
	waiting, cancel := context.WithTimeout(ctx, positionTimeout)
	defer cancel()
	found, want := map[partition]position{}, 0
	for _, partitions := range of {
		want += len(partitions)
	}
	err := again(waiting, func() error {
		committed, err := s.fetchOffsets(waiting, of)
		if err != nil {
			return err
		}
		for at, p := range committed {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return err
			}
			stands := position{next: -1, watermark: beforeAll()}
			if p.Offset >= 0 {
				if p.Metadata == nil {
					p.Metadata = new(string)
				}
				if stands, err = parsePosition(p.Offset, *p.Metadata); err != nil {
					return err
				}
			}
			found[at] = stands
		}
		if len(found) < want {
			return kerr.UnknownTopicOrPartition // which may pass
		}
		return nil
	})
	if _, ok := errors.AsType[*brimline.Error](err); ok || err == nil || ctx.Err() != nil {
		return found, err
	}
	return nil, &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: "committed_offset",
		Where:  fmt.Sprintf("reading the committed offsets of group %q, partitions %v", s.Streams.VerifyGroup, of),
		Remedy: "check the brokers and the group's access rights; the stage begins anew", Err: err,
	}
}

// begins is where partitions begin.
func (s *Stage) begins(ctx context.Context, topic string, partitions []int32) (map[int32]int64, error) {
	r := kmsg.NewPtrListOffsetsRequest()
	of := kmsg.NewListOffsetsRequestTopic()
	of.Topic = topic
	for _, number := range partitions {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp = number, -2 // the first offset
		of.Partitions = append(of.Partitions, p)
	}
	r.ReplicaID, r.Topics = -1, append(r.Topics, of)
	found := map[int32]int64{}
	if len(partitions) == 0 {
		return found, nil
	}
	return found, again(ctx, func() error {
		answer, err := r.RequestWith(ctx, s.client)
		if err != nil {
			return err
		}
		for _, t := range answer.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return err
				}
				found[p.Partition] = p.Offset
			}
		}
		if len(found) < len(partitions) {
			return kerr.UnknownTopicOrPartition // which may pass
		}
		return nil
	})
}

// positionTimeout is longer than a dead instance's transaction can hold up the position.
const positionTimeout = 2 * time.Minute

func (s *Stage) fetchOffsets(ctx context.Context, of map[string][]int32) (
	found map[partition]kmsg.OffsetFetchResponseGroupTopicPartition, err error,
) {
	group := kmsg.NewOffsetFetchRequestGroup()
	group.Group = s.Streams.VerifyGroup
	for name, partitions := range of {
		topic := kmsg.NewOffsetFetchRequestGroupTopic()
		topic.Topic, topic.Partitions = name, partitions
		group.Topics = append(group.Topics, topic)
	}
	r := kmsg.NewPtrOffsetFetchRequest()
	r.RequireStable, r.Groups = true, append(r.Groups, group)
	answer, err := r.RequestWith(ctx, s.client)
	if err != nil {
		return nil, err
	}
	found = map[partition]kmsg.OffsetFetchResponseGroupTopicPartition{}
	for _, g := range answer.Groups {
		if err := kerr.ErrorForCode(g.ErrorCode); err != nil {
			return nil, err
		}
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				if l := s.laneOf(t.Topic); l != nil {
					found[partition{l, p.Partition}] = p
				}
			}
		}
	}
	return found, kerr.ErrorForCode(answer.ErrorCode)
}
