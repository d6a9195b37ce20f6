package verify

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/processors"
)

// An edge that PostgreSQL dismissed although the window has more than it is asked about again. Either PostgreSQL did
// not show yet what the stream already had, or the stream had not brought yet what PostgreSQL already showed, or the
// window is wrong. They cannot be told apart at that moment, and need not be: time tells. When it has not, the window
// stage, which alone knows whether anything has come of the edge since, puts the edge once more if it still stands.
// That one is dismissed and asked about again as well, and then the user is distrusted.
//
// The dismissal's transaction writes the edge to a topic of its own, and so does every asking that brings the same
// again, each after the same delay: the topic is in the order in which its edges are due. Nothing else writes there,
// so each record is there once, and is done with in the transaction that commits its offset. What PostgreSQL finally
// says goes to the window stage, which alone knows what has become of the edge since.

// askings is how often an edge is asked about until its user is distrusted.
const askings = 6

// longestDoubt is for how many times DistrustAfter answers that differ from each other put off the end.
const longestDoubt = 10

// What became of an asking.
const (
	reaskEdge       = "edge"       // PostgreSQL has the edge now
	reaskSettled    = "settled"    // no edge, and no more in the window than in PostgreSQL: the stream goes on as usual
	reaskWaits      = "waits"      // as before, and to be asked again
	reaskWindow     = "window"     // it has been so for long enough: the window says whether the edge still stands
	reaskDistrust   = "distrust"   // it does, and PostgreSQL has dismissed it once more
	reaskNoBudget   = "no_budget"  // it has, and too many users are distrusted already
	reaskUnjudged   = "unjudged"   // PostgreSQL's rows cannot be added up: whatever mends them decides again
	reaskOutOfForce = "other_rule" // the rule or the scale is none that can be decided here, or verification is off
)

var reaskings = []string{reaskEdge, reaskSettled, reaskWaits, reaskWindow, reaskDistrust, reaskNoBudget, reaskUnjudged,
	reaskOutOfForce}

// doubt gives an answered candidate a place in the topic of what is asked again, if that may bring something.
func (s *Stage) doubt(it *item) {
	d := it.out.dismissed
	if s.DistrustAfter <= 0 || d == nil || d.Reason != brimline.ReasonNotAbove || d.Database == nil ||
		!it.candidate.Stream.HaveMore(*d.Database, it.rule.Measure) {
		return
	}
	at := d.Verification.At
	a := &brimline.Again{Candidate: *it.candidate, Database: *d.Database, First: at, Since: at}
	a.Candidate.Newest, a.Candidate.Later = nil, nil
	it.out.again = a
	if it.candidate.Doubted { // it was dismissed before
		it.out.dismissed = nil
	}
}

// prepareAgain is prepare for what is asked again.
func (s *Stage) prepareAgain(ctx context.Context, b *batch) error {
	b.items = make([]item, len(b.messages))
	again := make([]*brimline.Again, len(b.messages))
	var questions []*question
	for i, m := range b.messages {
		it := &b.items[i]
		it.message = m
		decoded, err := codecs.Again{}.Decode(m.Value)
		if err != nil {
			it.out.dead = s.deadLetter(m, nil, err)
			continue
		}
		a := decoded.(*brimline.Again)
		again[i], it.candidate = a, &a.Candidate
		if it.rule, err = s.rules.of(&a.Candidate.Rule); err != nil || a.Candidate.Scale != s.Scale || s.Off ||
			s.DistrustAfter <= 0 {
			it.reask = reaskOutOfForce
			continue
		}
		if a.Candidate.Doubted && !s.Budget.left(a.Candidate.User, s.Clock()) {
			it.reask, it.out.again = reaskNoBudget, a // PostgreSQL is spared: its answer could not be followed
			continue
		}
		it.question = &question{user: a.Candidate.User, rule: it.rule, from: a.Candidate.Edge, to: a.Candidate.Edge}
		it.question.after.of(&a.Candidate)
		questions = append(questions, it.question)
	}
	if err := s.askAll(ctx, b, alone(questions)); err != nil {
		return err
	}
	for i := range b.items {
		it := &b.items[i]
		switch {
		case it.question == nil:
		case it.question.err != nil:
			it.reask = reaskUnjudged
		default:
			s.conclude(it, again[i])
		}
		b.records = append(b.records, s.records(it, false)...)
	}
	return nil
}

// conclude decides about an edge that was asked about again.
func (s *Stage) conclude(it *item, a *brimline.Again) {
	c, figures, now := it.candidate, it.question.figures, it.question.verification.At
	answer := &brimline.Change{
		User: c.User, Source: c.Source, Rule: it.rule.Fingerprint, Edges: []brimline.Time{c.Edge}, Cause: c.Cause.Offset,
	}
	if figures != a.Database {
		a.Database, a.Since = figures, now
	}
	switch {
	case it.rule.IsEdge(figures):
		answer.Kind, answer.Row = brimline.Restored, c.Trigger
		it.reask, it.out.answers = reaskEdge, []*brimline.Change{answer}
	case it.rule.WasAbove(figures) || !c.Stream.HaveMore(figures, it.rule.Measure):
		it.reask = reaskSettled
	case !c.Doubted && !s.over(a, now.Std()):
		it.reask, it.out.again = reaskWaits, a
	case !c.Doubted:
		answer.Kind, answer.Row = brimline.StillDismissed, c.Trigger
		it.reask, it.out.answers = reaskWindow, []*brimline.Change{answer}
	case !s.Budget.take(c.User, now.Std()):
		it.reask, it.out.again = reaskNoBudget, a
	default:
		answer.Kind, answer.Reason = brimline.Disbelieved, brimline.ByDismissals
		answer.Row = brimline.Transaction{User: c.User, Time: now}
		it.reask, it.out.answers = reaskDistrust, []*brimline.Change{answer}
		s.tellDistrust(it)
	}
}

// over says whether an edge has been asked about for long enough, if PostgreSQL says the same once more.
func (s *Stage) over(a *brimline.Again, now time.Time) bool {
	at := brimline.TimeOf(now)
	return at >= a.Since.Add(s.DistrustAfter) || at >= a.First.Add(longestDoubt*s.DistrustAfter)
}

// takeDue waits for records that are due and takes them. A clock that is behind the brokers' keeps none for longer than
// the delay. It gives nothing when the partition is taken away.
func (c *claim) takeDue() []*kgo.Record {
	ctx, s := c.session.ctx, c.member.s
	for {
		first, any := c.first()
		if !any {
			select {
			case <-c.more:
				continue
			case <-ctx.Done():
				return nil
			}
		}
		s.flow.pauses(ctx, min(first.Add(c.delay).Sub(s.Clock()), c.delay))
		if ctx.Err() != nil || !c.awaitFolded(first) {
			return nil
		}
		return c.some(c.dueBy(first, s.Clock()))
	}
}

// first is when the next record was written.
func (c *claim) first() (at time.Time, any bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 {
		return at, false
	}
	return c.queue[0].Timestamp, true
}

// dueBy counts the records, at most a batch, that are due, and that were written no later than the first, or than what
// is folded.
func (c *claim) dueBy(first, now time.Time) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	until := now.Add(-c.delay)
	if c.folded.Before(until) {
		until = c.folded
	}
	for n < min(c.batch, len(c.queue)) && (n == 0 || !c.queue[n].Timestamp.After(until) ||
		!c.queue[n].Timestamp.After(first)) {
		n++
	}
	return n
}

// awaitFolded waits until the window stage has folded what the source topic had at a time: until then the stream may
// yet bring what PostgreSQL showed. So a group that is catching up asks nothing again, and distrusts no user. It gives
// false when the partition is taken away.
func (c *claim) awaitFolded(at time.Time) bool {
	ctx, s := c.session.ctx, c.member.s
	if s.Folded == nil {
		c.folded = at
	}
	for c.folded.Before(at) && ctx.Err() == nil {
		folded, err := c.askFolded()
		switch {
		case ctx.Err() != nil:
		case err != nil:
			s.Log.Debug("how far the stream is folded is not known", "error", err)
		case c.folded.Before(folded):
			c.folded = folded
		}
		if c.folded.Before(at) {
			s.flow.pauses(ctx, min(c.delay, time.Second))
		}
	}
	return ctx.Err() == nil
}

// askFolded asks how far the stream is folded, and does not wait for the answer when the partition is taken away.
func (c *claim) askFolded() (time.Time, error) {
	type answer struct {
		at  time.Time
		err error
	}
	ctx, answers := c.session.ctx, make(chan answer, 1)
	go func() {
		at, err := c.member.s.Folded(ctx)
		answers <- answer{at, err}
	}()
	select {
	case a := <-answers:
		return a.at, a.err
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	}
}

// Budget bounds how many users are distrusted by themselves. A stream in which more are wrong has one cause, which is
// to be mended; until then PostgreSQL is not to answer for all users at once. Nothing is lost without a token: the edge
// stays in its topic, and is asked about when there is one.
type Budget struct {
	mu      sync.Mutex
	most    int
	every   time.Duration // in which a token comes
	tokens  int
	since   time.Time // when the last one came
	users   map[string]time.Time
	starved time.Time // when there was none; zero for never
	told    processors.Rarely
}

// tokenLasts is for how long a user who has had a token needs no other: whatever edges tell of it, that is one loss.
const tokenLasts = 10 * time.Minute

// NewBudget has so many tokens at first and at most, and gets one more in every so long.
func NewBudget(most int, every time.Duration) *Budget {
	return &Budget{most: most, every: every, tokens: most, users: map[string]time.Time{}}
}

// left says whether the user can be distrusted at a time.
func (b *Budget) left(user string, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lately(user, now) || b.some(now)
}

// take uses a token for the user, unless one was used lately, and says whether there was one.
func (b *Budget) take(user string, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lately(user, now) {
		return true
	}
	if !b.some(now) {
		return false
	}
	b.tokens--
	maps.DeleteFunc(b.users, func(_ string, at time.Time) bool { return now.Sub(at) >= tokenLasts })
	b.users[user] = now
	return true
}

func (b *Budget) lately(user string, now time.Time) bool {
	at, any := b.users[user]
	return any && now.Sub(at) < tokenLasts
}

func (b *Budget) some(now time.Time) bool {
	if b.since.IsZero() {
		b.since = now
	}
	if more := int(now.Sub(b.since) / b.every); more > 0 {
		b.tokens, b.since = min(b.most, b.tokens+more), b.since.Add(time.Duration(more)*b.every)
	}
	if b.tokens == 0 {
		b.starved = now
	}
	return b.tokens > 0
}

// Starved is when an edge last had to wait because there was no token; zero for never.
func (b *Budget) Starved() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.starved
}

// due says whether an example is to be told now.
func (b *Budget) due(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.told.Due(now)
}

// againRecord is the record of an edge that is to be asked about again.
func (s *Stage) againRecord(a *brimline.Again) (*kgo.Record, error) {
	value, err := codecs.Again{}.Encode(a)
	if err == nil && len(value) > s.MaxAlertBytes {
		a.Candidate.Trigger.Columns = nil
		value, err = codecs.Again{}.Encode(a)
	}
	user := a.Candidate.User
	return record(s.Streams.Again, processors.Partition(user, s.partitions.changes), []byte(user), value), err
}

// tellDistrust says now and then of one edge what the figures are.
func (s *Stage) tellDistrust(it *item) {
	if !s.Budget.due(s.Clock()) {
		return
	}
	c, f := it.candidate, it.question.figures
	scale := it.rule.Measure.Scale(s.Scale)
	s.Log.Warn("PostgreSQL goes on dismissing an edge, for it has less than the stream: the user is distrusted, and "+
		"PostgreSQL answers until the window has filled again", "rule", it.rule.ID, "edge", c.Edge,
		"stream", c.Stream.Total.Format(scale), "postgresql", f.Total.Format(scale), "rows_stream", c.Stream.Count,
		"rows_postgresql", f.Count, "remedy", "topic "+s.Streams.Dismissed+" has the user and the rows; `brimline doctor` "+
			"looks for what loses changes")
}
