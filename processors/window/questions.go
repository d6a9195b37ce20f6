package window

import "github.com/brimline/brimline"

// A question goes to PostgreSQL as a late candidate, one for a message and rule, and its answer comes back as a
// message. What is asked about a row near the user's newest travels with the edges; what is asked about an older one
// travels apart, so that no live alert waits behind a backfill. Until its answer is there, a question is open:
// Window.Asked is the cause of the newest one that travels with the edges, Window.Apart of the newest that does not.
// Of each of the two, answers come in the order of their questions, so an answer to the newest closes all.

// ask is a question that the message at hand puts: for all edges of a rule in [from, until].
type ask struct {
	rule        int
	from, until brimline.Time
	newest      brimline.Time // the highest time of a row that it is about
}

// ask puts a question about rows of which the newest is at a time. Several about one rule become one, as wide as it
// takes.
func (s *step) ask(i int, from, until, newest brimline.Time) {
	for n := range s.asks {
		if a := &s.asks[n]; a.rule == i {
			a.from, a.until, a.newest = min(a.from, from), max(a.until, until), max(a.newest, newest)
			return
		}
	}
	s.asks = append(s.asks, ask{i, from, until, newest})
}

// travelsApart says whether a question is about rows that are all older than the user's newest by more than the
// lateness. A row that is dated in the future is not the newest: else all that comes would travel apart for as long.
func (s *step) travelsApart(a ask) bool {
	now := s.in.At
	if now == 0 {
		now = brimline.MaxTime
	}
	newest := s.w.Floor
	if newest > now {
		newest = now
	}
	newest = max(newest, s.rows.NewestUntil(now))
	return a.newest < newest.Add(-s.lateness)
}

// putQuestions emits the message's questions, and notes that they are open.
func (s *step) putQuestions() {
	for _, a := range s.asks {
		apart := s.travelsApart(a)
		s.spanAsked(a, apart)
		if mark, cause := s.open(apart), s.causeOf(a); *mark == (brimline.Cause{}) || mark.Compare(cause) < 0 {
			*mark, s.changed = cause, true
		}
		s.emitQuestion(a, apart)
	}
}

// repeatQuestions emits the questions of a message that is replayed. Which way one went is not known any more, since
// the user's newest row has become another: it goes each way on which it may be open, and its answer comes before that
// to the newest, whichever way it went at first.
func (s *step) repeatQuestions() {
	for _, a := range s.asks {
		for _, apart := range []bool{false, true} {
			if mark := *s.open(apart); mark != (brimline.Cause{}) && s.causeOf(a).Compare(mark) <= 0 {
				s.emitQuestion(a, apart)
			}
		}
	}
}

func (s *step) emitQuestion(a ask, apart bool) {
	s.out = append(s.out, brimline.Candidate{
		Kind: brimline.LateCandidate, User: s.in.Change.User, Scale: s.scale, Rule: s.rules[a.rule].Rule,
		Edge: a.from, Until: a.until, Trigger: s.in.Change.Row, Source: s.in.Change.Source, After: s.after(),
		Cause: s.causeOf(a), Apart: apart,
	})
}

func (s *step) causeOf(a ask) brimline.Cause {
	return brimline.Cause{Offset: s.in.Offset, Index: lateIndex(&s.rules[a.rule])}
}

// open is the mark of the newest open question of those that travel apart, or of the others.
func (s *State) open(apart bool) *brimline.Cause {
	if apart {
		return &s.w.Apart
	}
	return &s.w.Asked
}

// asked says whether a question is open.
func (s *State) asked() bool { return s.w.Asked != brimline.Cause{} || s.w.Apart != brimline.Cause{} }

// after is the change that PostgreSQL must show beside the message: the newest to the user's rows. An edge may be
// made by a row that is folded and not yet to be seen, because its commit waits for a standby, and one that was
// written before it and comes later, from another partition of the source.
func (s *step) after() brimline.Seen {
	if n := s.w.Newest; n.After(brimline.SeenOf(&s.in.Change.Source)) {
		return n
	}
	return brimline.Seen{}
}

// noteNewest notes the message at hand, if it is a change to rows and the newest one.
func (s *step) noteNewest() {
	c := s.in.Change
	if c.Kind != brimline.Upsert && c.Kind != brimline.Delete || c.Source.LSN == 0 {
		return
	}
	if seen := brimline.SeenOf(&c.Source); seen.Replaces(s.w.Newest) {
		s.w.Newest = seen
	}
}

// stir notes the change at hand as the newest to reach what was announced or is asked.
func (s *step) stir() {
	from := &s.in.Change.Source
	now := brimline.Stir{Last: s.in.Offset + 1, LSN: s.w.Stirred.LSN, TxID: s.w.Stirred.TxID}
	if from.LSN > now.LSN {
		now.LSN, now.TxID = from.LSN, from.TxID
	}
	s.w.Stirred, s.changed = now, true
}

// stirIfAsked is stir while a question is open, and says whether one is.
func (s *step) stirIfAsked() bool {
	if !s.asked() {
		return false
	}
	s.stir()
	return true
}

// askLate asks PostgreSQL for the edges at those window ends of rule i, among the ones that row, or what it was
// before, belongs to, whose rows are not all retained. Before is nil where there is none, unseen says that it is not
// known.
func (s *step) askLate(i int, row, before *brimline.Transaction, unseen bool) {
	first := s.wholeFrom(i)
	from, last := brimline.MaxTime, brimline.MinTime
	for _, r := range []*brimline.Transaction{row, before} {
		if r == nil || r.Time >= first {
			continue
		}
		if s.rules[i].Moves(r) || before != nil || unseen {
			from, last = min(from, r.Time), max(last, r.Time)
		}
	}
	s.askBelow(i, from, last)
}

// askBelow asks for the edges at those window ends of rule i, among the ones about which rows from one time to another
// decide, whose rows are not all retained.
func (s *step) askBelow(i int, from, last brimline.Time) {
	if first := s.wholeFrom(i); from < first && from <= last {
		s.ask(i, from, min(last.Add(s.rules[i].Reach()), first-1), last)
	}
}

// askAgain puts the questions of a message that is replayed.
func (s *step) askAgain() {
	c := s.in.Change
	for i := range s.rules {
		switch c.Kind {
		case brimline.Upsert, brimline.Delete:
			s.askLateAgain(i)
		case brimline.Dismissal:
			if s.rules[i].Fingerprint == c.Rule && len(c.Edges) == 1 && c.Edges[0] < s.wholeFrom(i) {
				s.ask(i, c.Edges[0], c.Edges[0], c.Edges[0])
			}
		case brimline.Distrust, brimline.AskAgain:
			if s.w.Doubt.Offset != 0 {
				s.askDoubt(i)
			}
		case brimline.AskAbove:
			if s.w.Above.Asked > s.in.Offset { // of this message, or of a later one, whose span is as wide
				s.askAbove(i)
			}
		case brimline.Disbelieved:
			if s.w.Doubt.Offset > s.in.Offset { // of this message, or of a later one, whose span is as wide
				s.askDoubt(i)
			}
		}
	}
	for i := range s.w.Rules {
		rule := s.ruleOf(s.w.Rules[i].Rule)
		for _, span := range s.w.Rules[i].Unjudged {
			if rule >= 0 && span.Asked == s.in.Offset+1 {
				s.ask(rule, span.From, span.Until, span.Until)
			}
		}
	}
}

// askLateAgain is askLate for a message that is replayed. What the row was before is gone by now; its version
// tells between which times it was, and where that is forgotten, how far down any such row was.
func (s *step) askLateAgain(i int) {
	row := &s.in.Change.Row
	from, last, _ := s.forgotten()
	if v, changed := s.rowVersion(); changed {
		from, last = min(from, v.From), max(last, v.Time)
	}
	if s.w.Reach != 0 {
		from, last = min(from, s.w.Reach), max(last, s.w.Floor)
	}
	if from > last {
		if s.in.Change.Kind == brimline.Upsert { // a delete was of a row below the floor
			s.askLate(i, row, nil, false)
		}
		return
	}
	if row.Time != brimline.MinTime {
		from, last = min(from, row.Time), max(last, row.Time)
	}
	s.askBelow(i, from, last)
}

// reach goes through what is known of rule i's edges in [from, to], whose windows a change to rows belongs to. Rows
// were removed or lowered if mayFall: an edge that PostgreSQL dismissed may have come back, and one that it is being
// asked about may be decided on the old rows. woken says that an edge is forgotten, so that it is found if it is
// there.
//
// What PostgreSQL could not decide is decided again whatever the change is: the rows that stood in the way are in the
// window only once they are repaired, as rows that were not held before.
func (s *step) reach(i int, from, to brimline.Time, mayFall bool) (changed, woken bool) {
	rule := &s.w.Rules[i]
	if n := len(rule.Edges); n > 0 && rule.Edges[n-1].Time >= from { // most rows are the newest
		s.eachEdge(i, from, to, func(e brimline.Edge) (_ brimline.Edge, stays bool) {
			switch {
			case e.Cause.Offset == s.in.Offset: // found by this message, on the rows as they are now
			case e.Status == brimline.EdgeDismissed && mayFall || e.Status == brimline.Unjudged:
				if e.Status == brimline.Unjudged && e.Time < s.wholeFrom(i) {
					s.merge(i, brimline.Span{From: e.Time, Until: e.Time})
				}
				changed, woken = true, true
				return e, false
			case mayFall && (e.Status == brimline.Announced || e.Status == brimline.Touched):
				e.Status = brimline.Disturbed
			case e.Status == brimline.Announced:
				e.Status = brimline.Touched
			}
			changed = changed || e.Status == brimline.Disturbed || e.Status == brimline.Touched
			return e, true
		})
	}
	if changed {
		s.stir()
	}
	return s.wakeSpans(i, from, to) || changed, woken
}
