package verify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"github.com/brimline/brimline"
)

// handler is the consumer group's view of the stage.
type handler struct {
	s *Stage
	c *committer
}

func (handler) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (handler) Cleanup(sarama.ConsumerGroupSession) error { return nil }

// ConsumeClaim handles one partition, batch after batch, until it is taken away.
func (h handler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	if err := h.consume(session, claim); err != nil && session.Context().Err() == nil {
		h.s.fail(err)
	}
	return nil
}

func (h handler) consume(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	ctx := session.Context()
	if err := h.c.settle(ctx); err != nil {
		return err
	}
	next, watermark, err := h.s.position(ctx, claim.Partition())
	if err != nil {
		return err
	}
	h.s.Log.Debug("partition taken", "partition", claim.Partition(), "offset", next, "watermark", formatWatermark(watermark))
	for {
		b := &batch{partition: claim.Partition(), watermark: watermark, messages: collect(ctx, claim.Messages(), next, h.s.Batch)}
		if len(b.messages) == 0 {
			return nil
		}
		if err := h.s.prepare(ctx, b); err != nil {
			return err
		}
		if err := h.commit(session, b); err != nil {
			return err
		}
		next, watermark = b.next(), b.watermark
	}
}

// collect waits for a message and adds what else is there already. It gives
// nothing when the partition is taken away. The consumer may start below the
// position that the claim read after it; what is there has been handled.
func collect(ctx context.Context, messages <-chan *sarama.ConsumerMessage, from int64, most int) (got []*sarama.ConsumerMessage) {
	for len(got) < most {
		var m *sarama.ConsumerMessage
		if len(got) == 0 {
			select {
			case m = <-messages:
			case <-ctx.Done():
				return nil
			}
		} else {
			select {
			case m = <-messages:
			default:
			}
		}
		if m == nil { // the channel is closed, or there is no more for now
			return got
		}
		if m.Offset >= from {
			got = append(got, m)
		}
	}
	return got
}

// commit hands a batch over and waits for its transaction. A running
// transaction is waited for even while a rebalance waits for us, within
// bounds: cut short it would be done twice, to no harm but at a cost.
func (h handler) commit(session sarama.ConsumerGroupSession, b *batch) error {
	ctx := session.Context()
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		r := &commitRequest{batch: b, session: session, done: make(chan error, 1)}
		select {
		case h.c.requests <- r:
		case <-h.c.ended:
			return errAborted
		case <-ctx.Done():
			return ctx.Err()
		}
		err := h.await(ctx, r)
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

func (h handler) await(ctx context.Context, r *commitRequest) error {
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
	}
	timer := time.NewTimer(h.s.StopTimeout)
	defer timer.Stop()
	select {
	case err := <-r.done:
		return err
	case <-timer.C:
		h.s.Log.Warn("the running transaction is left behind; whoever takes the partition waits for its end", "partition", r.partition)
		return ctx.Err()
	}
}

// position reads a partition's committed offset and watermark, once no open
// transaction can still change them: another instance's last one may be
// committed and not applied yet.
func (s *Stage) position(ctx context.Context, partition int32) (next int64, watermark brimline.Cause, err error) {
	deadline := time.Now().Add(positionTimeout)
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		block, err := s.fetchOffset(partition)
		if err == nil {
			if block.Offset < 0 {
				return 0, beforeAll(), nil
			}
			watermark, err := parseWatermark(block.Metadata)
			return block.Offset, watermark, err
		}
		if time.Now().After(deadline) {
			return 0, watermark, &brimline.Error{
				Class: brimline.ClassEnvironment, Kind: "committed_offset",
				Where:  fmt.Sprintf("reading the committed offset of group %q, partition %d", s.Streams.VerifyGroup, partition),
				Remedy: "check the brokers and the group's access rights; the stage begins anew", Err: err,
			}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return 0, watermark, ctx.Err()
		}
	}
}

// positionTimeout is longer than a dead instance's transaction can hold up the position.
const positionTimeout = 2 * time.Minute

func (s *Stage) fetchOffset(partition int32) (*sarama.OffsetFetchResponseBlock, error) {
	group, topic := s.Streams.VerifyGroup, s.Streams.Candidates
	coordinator, err := s.client.Coordinator(group)
	if err != nil {
		return nil, err
	}
	request := sarama.NewOffsetFetchRequest(s.client.Config().Version, group, map[string][]int32{topic: {partition}})
	request.RequireStable = true
	response, err := coordinator.FetchOffset(request)
	if err != nil {
		_ = coordinator.Close()
		return nil, errors.Join(err, s.client.RefreshCoordinator(group))
	}
	block := response.GetBlock(topic, partition)
	switch {
	case block == nil && response.Err != sarama.ErrNoError:
		err = response.Err
	case block == nil:
		err = sarama.ErrIncompleteResponse
	case block.Err != sarama.ErrNoError:
		err = block.Err
	}
	if errors.Is(err, sarama.ErrNotCoordinatorForConsumer) || errors.Is(err, sarama.ErrConsumerCoordinatorNotAvailable) {
		return nil, errors.Join(err, s.client.RefreshCoordinator(group))
	}
	return block, err
}
