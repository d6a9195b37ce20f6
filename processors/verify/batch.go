package verify

import (
	"context"
	"errors"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/failpoint"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/brimline/brimline/processors"
)

// batch is messages of one partition, from their reading to their commit: consecutive ones, or such as were kept back.
type batch struct {
	lane      *lane
	partition int32
	messages  []*kgo.Record
	items     []item         // the candidates of the messages, in their order
	records   []*kgo.Record  // the outputs, in the order of their candidates
	watermark brimline.Cause // after the batch
	// isKeptBack says of which users earlier candidates are kept back; keptBack gets those that will be, too.
	isKeptBack func(user string) bool
	keptBack   []*kept
	// long: this is of what was kept back, shares, and nothing waits for its questions. messages are the first of each.
	long   bool
	shares []*share
	most   int      // about how many bytes the candidates may weigh, but for those of one message; 0 is any number
	after  position // where the partition stands with the batch
	// unsent are edges of the partition of which no alert was sent.
	unsent *unsent
}

// opens is how many times its messages' bytes the candidates of a batch may weigh.
const opens = 4

// weight is about how many bytes a candidate takes, decoded and then in what is written of it. Those of a message share
// one row; what is written holds it for each.
func weight(c *brimline.Candidate) int {
	const fixed, column = 1 << 10, 64
	return fixed + column*len(c.Trigger.Columns) + 2*processors.ColumnBytes(c.Trigger.Columns)
}

// prepare decides everything about a batch; what is left is to commit it. It leaves out the last of the messages where
// the candidates of those before weigh enough. The only error is the end of ctx.
func (s *Stage) prepare(ctx context.Context, b *batch) error {
	if !b.lane.apart && !b.long {
		s.flow.begin()
		defer s.flow.end()
	}
	kept := map[string]bool{}
	if b.long {
		s.takeKept(b)
	} else {
		s.takeMessages(b)
		for i := range b.items {
			if user := string(b.items[i].message.Key); !kept[user] && b.isKeptBack != nil && b.isKeptBack(user) {
				kept[user] = true
			}
		}
	}
	b.keepBack(kept)
	if s.Off {
		for i := range b.items {
			if it := &b.items[i]; !it.replay && !it.kept && it.out.dead == nil {
				it.out = withoutDatabase(it.candidate)
			}
		}
	} else if err := s.askPlanned(ctx, b, plan(b.items)); err != nil {
		return err
	} else if err := s.askSuperseded(ctx, b); err != nil {
		return err
	}
	for i := range b.items {
		if q := b.items[i].question; q != nil && q.many {
			kept[string(b.items[i].message.Key)] = true
		}
	}
	b.keepBack(kept)
	closing := lastQuestions(b.items)
	for i := range b.items {
		it := &b.items[i]
		if it.kept {
			b.keptBack = append(b.keptBack, it.keep())
			continue
		}
		if it.question != nil {
			if it.question.err != nil {
				it.out = outcome{dead: s.deadLetter(it.message, it.candidate, it.question.err)}
			} else {
				settle(it)
				s.doubt(it)
			}
		}
		it.out.beforeAlertsFrom(s.AlertsFrom)
		if it.out.alert != nil {
			it.out.alert.Supersedes = it.supersedes
		}
		b.records = append(b.records, s.records(it, closing[i])...)
		if it.edge() {
			b.unsent.note(keyOf(it, it.candidate.Edge), it.candidate.Source, it.out.alert != nil)
		}
	}
	return nil
}

// keepBack marks what is kept back of a batch: all of these users, so that each one's are handled in their order.
func (b *batch) keepBack(users map[string]bool) {
	for i := range b.items {
		if it := &b.items[i]; users[string(it.message.Key)] && it.candidate != nil && !it.replay {
			it.kept = true
		}
	}
}

// takeMessages takes the batch's messages, up to the one with which they weigh enough, and leaves out those behind it.
func (s *Stage) takeMessages(b *batch) {
	b.items = make([]item, 0, len(b.messages))
	weighs := 0
	for n, m := range b.messages {
		if b.most > 0 && weighs >= b.most {
			b.messages = b.messages[:n]
			return
		}
		weighs += s.take(m, b)
	}
}

// takeKept takes what was kept back.
func (s *Stage) takeKept(b *batch) {
	for _, share := range b.shares {
		for _, k := range share.all() {
			c := *k.candidate
			it := item{message: k.message, candidate: &c, joined: k.joined}
			if c.Kind == brimline.LateCandidate {
				it.after = share.after.all
			}
			s.takeCandidate(&it, b)
			b.items = append(b.items, it)
		}
	}
}

// take decodes a message into the batch's items, and gives their weight.
func (s *Stage) take(m *kgo.Record, b *batch) (weighs int) {
	decoded, err := codecs.Candidates{}.Decode(m.Value)
	if err != nil {
		b.items = append(b.items, item{message: m, out: outcome{dead: s.deadLetter(m, nil, err)}})
		return 2 * size(m)
	}
	candidates := decoded.([]brimline.Candidate)
	from := place{m.Offset, b.watermark}
	for i := range candidates {
		it := item{message: m, candidate: &candidates[i], joined: 1, from: from}
		s.takeCandidate(&it, b)
		b.items = append(b.items, it)
		weighs += weight(it.candidate)
	}
	return weighs
}

// takeCandidate moves the batch's watermark over a candidate.
func (s *Stage) takeCandidate(it *item, b *batch) {
	c, m := it.candidate, it.message
	c.Apart = b.lane.apart
	if !b.long { // those were found to be new when they were kept back
		if c.Cause.Compare(b.watermark) <= 0 && !failpoint.Without(failpoint.Watermark) {
			it.replay = true
			return
		}
		b.watermark = c.Cause
	}
	if c.Scale != s.Scale {
		it.out.dead = s.deadLetter(m, it.candidate,
			brimline.BadInput("changed_scale", "start a new group for the new scale",
				"the candidate's amounts have %d decimals, the group's %d", c.Scale, s.Scale))
		return
	}
	var err error
	if it.rule, err = s.rules.of(&c.Rule); err != nil {
		it.out.dead = s.deadLetter(m, it.candidate, err)
	}
}

// askPlanned puts the questions of a batch. Where one cannot be answered, the candidates that share it are put again,
// each by itself: a bad row is in the way of those alone that need it.
func (s *Stage) askPlanned(ctx context.Context, b *batch, questions []*question) error {
	if err := s.askTogether(ctx, b, questions); err != nil {
		return err
	}
	var apart []*question
	for _, q := range questions {
		if q.err != nil && len(q.members) > 1 {
			apart = append(apart, q.apart()...)
		}
	}
	return s.askAll(ctx, b, alone(apart))
}

// askTogether puts questions, all that are about spans of a user at once. Where one cannot be answered, those that were
// put with it are put again, each by itself.
func (s *Stage) askTogether(ctx context.Context, b *batch, questions []*question) error {
	together := together(questions)
	if err := s.askAll(ctx, b, together); err != nil {
		return err
	}
	var again []*question
	for _, i := range together {
		if i.questions[0].err != nil && len(i.questions) > 1 {
			again = append(again, i.questions...)
		}
	}
	return s.askAll(ctx, b, alone(again))
}

// askAll gets inquiries answered, several at a time. An error of ClassInput stays
// with their questions; the only error returned is the end of ctx.
func (s *Stage) askAll(ctx context.Context, b *batch, inquiries []*inquiry) error {
	var running sync.WaitGroup
	work := make(chan *inquiry)
	for range min(cap(b.lane.slots), len(inquiries)) {
		running.Go(func() {
			for i := range work {
				i.fail(s.outage.endure(ctx, func() error { return s.ask(ctx, b, i) }))
			}
		})
	}
	for _, i := range inquiries {
		work <- i // once ctx has ended, every inquiry ends at once
	}
	close(work)
	running.Wait()
	return ctx.Err()
}

// ask puts an inquiry, once. What turns out to be about too many rows is asked again question by question, and each
// that still is, as a long one: those have slots of their own, so that they are in the way of no short one, and are put
// for what was kept back only, so that no other candidate waits for them, and for what is asked again, which may wait.
func (s *Stage) ask(ctx context.Context, b *batch, i *inquiry) error {
	err := s.put(ctx, b, s.Ledger, b.lane.slots, i)
	if !errors.Is(err, sliding.ErrManyRows) {
		return err
	}
	if len(i.questions) > 1 {
		for _, one := range alone(i.questions) {
			if err := s.ask(ctx, b, one); err != nil {
				return err
			}
		}
		return nil
	}
	if !b.long && b.lane.delay == 0 {
		i.questions[0].many = true
		return nil
	}
	s.Metrics.long.Inc()
	return s.put(ctx, b, s.Long, s.long, i)
}

func (s *Stage) put(ctx context.Context, b *batch, database Database, slots chan struct{}, i *inquiry) (err error) {
	select { // they are for all partitions together
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	start := s.Clock()
	var lsn uint64
	switch q := i.questions[0]; {
	case !q.late && q.rule.Silences():
		q.figures, q.silent, lsn, err = database.Crossing(ctx, q.user, q.rule, q.from, q.after.all...)
	case !q.late:
		q.figures, lsn, err = database.Figures(ctx, q.user, q.rule, q.from, q.after.all...)
	case len(i.questions) == 1:
		q.edges, lsn, err = database.Edges(ctx, q.user, q.rule, q.from, q.to, q.after.all...)
	default:
		var edges [][]brimline.Time
		edges, lsn, err = s.Ledger.EdgesOf(ctx, q.user, i.spans(), i.after()...)
		for n := range edges {
			i.questions[n].edges = edges[n]
		}
	}
	end := s.Clock()
	took := end.Sub(start)
	s.Metrics.queries.Observe(took.Seconds())
	if b.lane.apart {
		s.flow.pauses(ctx, s.flow.rest(took, end.Sub(b.messages[0].Timestamp)))
	}
	if err != nil {
		return err
	}
	for _, q := range i.questions {
		q.verification = brimline.Verification{At: brimline.TimeOf(end), Duration: took, LSN: lsn}
	}
	if q := i.questions[0]; s.AsOfNow && !q.late && q.confirms() {
		asOf, err := database.AsOf(ctx, q.user, q.rule, brimline.TimeOf(end))
		if err != nil {
			return err
		}
		q.asOf = &asOf
	}
	return nil
}
