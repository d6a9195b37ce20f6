package verify

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/failpoint"
	"github.com/brimline/brimline/internal/sliding"
)

// batch is consecutive messages of one partition, from their reading to their commit.
type batch struct {
	partition int32
	messages  []*kgo.Record
	items     []item         // parallel to messages
	records   []*kgo.Record  // the outputs, in the order of their candidates
	watermark brimline.Cause // after the batch
}

// next is the offset to commit.
func (b *batch) next() int64 { return b.messages[len(b.messages)-1].Offset + 1 }

// prepare decides everything about a batch; what is left is to commit it. The
// only error is the end of ctx.
func (s *Stage) prepare(ctx context.Context, b *batch) error {
	b.items = make([]item, len(b.messages))
	for i, m := range b.messages {
		s.take(&b.items[i], m, &b.watermark)
	}
	if s.Off {
		for i := range b.items {
			if it := &b.items[i]; !it.replay && it.out.dead == nil {
				it.out = withoutDatabase(it.candidate)
			}
		}
	} else if err := s.askPlanned(ctx, plan(b.items)); err != nil {
		return err
	}
	closing := lastQuestions(b.items)
	for i, m := range b.messages {
		it := &b.items[i]
		if it.question != nil {
			if it.question.err != nil {
				it.out = outcome{dead: s.deadLetter(m, it.candidate, it.question.err)}
			} else {
				settle(it)
			}
		}
		it.out.beforeAlertsFrom(s.AlertsFrom)
		b.records = append(b.records, s.records(m, it, closing[i])...)
	}
	return nil
}

// take decodes a message and moves the watermark over it.
func (s *Stage) take(it *item, m *kgo.Record, watermark *brimline.Cause) {
	decoded, err := codecs.Candidate{}.Decode(m.Value)
	if err != nil {
		it.out.dead = s.deadLetter(m, it.candidate, err)
		return
	}
	c, ok := decoded.(*brimline.Candidate)
	if !ok {
		it.out.dead = s.deadLetter(m, it.candidate, fmt.Errorf("a %T in the candidates stream", decoded))
		return
	}
	it.candidate = c
	if c.Cause.Compare(*watermark) <= 0 && !failpoint.Without(failpoint.Watermark) {
		it.replay = true
		return
	}
	*watermark = c.Cause
	if c.Scale != s.Scale {
		it.out.dead = s.deadLetter(m, it.candidate,
			brimline.BadInput("changed_scale", "start a new group for the new scale",
				"the candidate's amounts have %d decimals, the group's %d", c.Scale, s.Scale))
		return
	}
	if it.rule, err = s.rules.of(&c.Rule); err != nil {
		it.out.dead = s.deadLetter(m, it.candidate, err)
	}
}

// askPlanned is askAll, and puts the questions of those who shared one that cannot be answered again, each by itself:
// one bad row is in the way of those alone that need it.
func (s *Stage) askPlanned(ctx context.Context, questions []*question) error {
	if err := s.askAll(ctx, questions); err != nil {
		return err
	}
	var apart []*question
	for _, q := range questions {
		if q.err != nil && len(q.members) > 1 {
			apart = append(apart, q.apart()...)
		}
	}
	return s.askAll(ctx, apart)
}

// askAll answers questions, several at a time. An error of ClassInput stays
// with its question; the only error returned is the end of ctx.
func (s *Stage) askAll(ctx context.Context, questions []*question) error {
	var running sync.WaitGroup
	work := make(chan *question)
	for range min(s.Questions, len(questions)) {
		running.Go(func() {
			for q := range work {
				q.err = s.outage.endure(ctx, func() error { return s.ask(ctx, q) })
			}
		})
	}
	for _, q := range questions {
		work <- q // once ctx has ended, every question ends at once
	}
	close(work)
	running.Wait()
	return ctx.Err()
}

// ask puts one question, once, or as a long one where it turns out to be about too many rows: those have slots of
// their own, so that they are in the way of no short one.
func (s *Stage) ask(ctx context.Context, q *question) error {
	err := s.put(ctx, s.Ledger, s.slots, q)
	if !errors.Is(err, sliding.ErrManyRows) {
		return err
	}
	s.Metrics.long.Inc()
	return s.put(ctx, s.Long, s.long, q)
}

func (s *Stage) put(ctx context.Context, ledger Ledger, slots chan struct{}, q *question) (err error) {
	select { // they are for all partitions together
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	start := s.Clock()
	var lsn uint64
	if q.late {
		q.edges, lsn, err = ledger.Edges(ctx, q.user, q.rule, q.from, q.to, q.after...)
	} else {
		q.figures, lsn, err = ledger.Figures(ctx, q.user, q.rule, q.from, q.after...)
	}
	end := s.Clock()
	s.Metrics.queries.Observe(end.Sub(start).Seconds())
	if err != nil {
		return err
	}
	q.verification = brimline.Verification{At: brimline.TimeOf(end), Duration: end.Sub(start), LSN: lsn}
	if s.AsOfNow && !q.late && q.figures.IsEdge(q.rule.Limit) {
		asOf, err := ledger.AsOf(ctx, q.user, q.rule, brimline.TimeOf(end))
		if err != nil {
			return err
		}
		q.asOf = &asOf
	}
	return nil
}
