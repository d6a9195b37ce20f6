package verify

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/brimline/brimline"
)

// claim is one partition for as long as a session holds it.
type claim struct {
	member    *member
	session   *session
	partition int32
	position

	mu     sync.Mutex
	queue  []*kgo.Record // read and not yet taken, in order
	paused bool
	more   chan struct{} // the queue is not empty any more
}

// position is where a partition stands: what is below next has been handled, up to the watermark's cause.
type position struct {
	next      int64 // none if below 0
	watermark brimline.Cause
}

// A partition whose claim has so many batches before it is not read until there is only one.
const batchesAhead = 4

// put queues records. It never waits: other partitions' records come behind them.
func (c *claim) put(records []*kgo.Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(c.queue, records...)
	if !c.paused && len(c.queue) > batchesAhead*c.member.s.Batch {
		c.paused = true
		c.member.client.PauseFetchPartitions(c.mine())
	}
	select {
	case c.more <- struct{}{}:
	default:
	}
}

func (c *claim) mine() map[string][]int32 {
	return map[string][]int32{c.member.s.Streams.Candidates: {c.partition}}
}

// take waits for a record and adds what else is there already. It gives
// nothing when the partition is taken away.
func (c *claim) take() []*kgo.Record {
	for {
		if got := c.some(c.member.s.Batch); len(got) > 0 {
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
	n := min(most, len(c.queue))
	got := c.queue[:n:n]
	if c.queue = c.queue[n:]; len(c.queue) == 0 {
		c.queue = nil
	}
	if c.paused && len(c.queue) <= most {
		c.paused = false
		c.member.client.ResumeFetchPartitions(c.mine())
	}
	return got
}

// run handles the partition until it is taken away.
func (c *claim) run() {
	if err := c.consume(); err != nil && c.session.ctx.Err() == nil {
		c.member.s.fail(err)
	}
}

// consume goes batch after batch.
func (c *claim) consume() error {
	for {
		b := &batch{partition: c.partition, watermark: c.watermark, messages: c.take()}
		if len(b.messages) == 0 {
			return nil
		}
		if err := c.member.s.prepare(c.session.ctx, b); err != nil {
			return err
		}
		if err := c.commit(b); err != nil {
			return err
		}
		c.watermark = b.watermark
	}
}

// commit hands a batch over and waits for its transaction. A running
// transaction is waited for even while a rebalance waits for us, within
// bounds: cut short it would be done twice, to no harm but at a cost.
func (c *claim) commit(b *batch) error {
	ctx, committer := c.session.ctx, c.member.c
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
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
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
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
			"partition", r.partition)
		return ctx.Err()
	}
}

// positions reads committed offsets and watermarks, once no open transaction
// can still change them: another instance's last one may be committed and not
// applied yet.
func (s *Stage) positions(ctx context.Context, partitions []int32) (map[int32]position, error) {
	waiting, cancel := context.WithTimeout(ctx, positionTimeout)
	defer cancel()
	found := map[int32]position{}
	err := again(waiting, func() error {
		committed, err := s.fetchOffsets(waiting, partitions)
		if err != nil {
			return err
		}
		for _, p := range committed {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return err
			}
			at := position{next: -1, watermark: beforeAll()}
			if p.Offset >= 0 {
				at.next = p.Offset
				if p.Metadata == nil {
					p.Metadata = new(string)
				}
				if at.watermark, err = parseWatermark(*p.Metadata); err != nil {
					return err
				}
			}
			found[p.Partition] = at
		}
		if len(found) < len(partitions) {
			return kerr.UnknownTopicOrPartition // which may pass
		}
		return nil
	})
	if _, ok := errors.AsType[*brimline.Error](err); ok || err == nil || ctx.Err() != nil {
		return found, err
	}
	return nil, &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: "committed_offset",
		Where:  fmt.Sprintf("reading the committed offsets of group %q, partitions %d", s.Streams.VerifyGroup, partitions),
		Remedy: "check the brokers and the group's access rights; the stage begins anew", Err: err,
	}
}

// positionTimeout is longer than a dead instance's transaction can hold up the position.
const positionTimeout = 2 * time.Minute

func (s *Stage) fetchOffsets(ctx context.Context, partitions []int32) (
	found []kmsg.OffsetFetchResponseGroupTopicPartition, err error,
) {
	topic := kmsg.NewOffsetFetchRequestGroupTopic()
	topic.Topic, topic.Partitions = s.Streams.Candidates, partitions
	group := kmsg.NewOffsetFetchRequestGroup()
	group.Group, group.Topics = s.Streams.VerifyGroup, append(group.Topics, topic)
	r := kmsg.NewPtrOffsetFetchRequest()
	r.RequireStable, r.Groups = true, append(r.Groups, group)
	answer, err := r.RequestWith(ctx, s.client)
	if err != nil {
		return nil, err
	}
	for _, g := range answer.Groups {
		if err := kerr.ErrorForCode(g.ErrorCode); err != nil {
			return nil, err
		}
		for _, t := range g.Topics {
			found = append(found, t.Partitions...)
		}
	}
	return found, kerr.ErrorForCode(answer.ErrorCode)
}
