package window

import (
	"math"
	"slices"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/failpoint"
	"github.com/brimline/brimline/internal/sliding"
)

// Folder folds changes into windows. It has no clock, does no I/O, and is safe
// for concurrent use.
type Folder struct {
	rules     []sliding.Rule
	plan      *sliding.Plan // of rules
	prints    []uint64      // the fingerprints of rules
	longest   time.Duration // window of rules
	scale     int
	retention time.Duration
	lateness  time.Duration
	keep      time.Duration
	// noAbove: PostgreSQL is not asked about users above a limit, so nothing is noted for that.
	noAbove bool
}

// NewFolder makes a Folder for a rule set. compiled are the set's rules in its
// order. Announced edges are remembered for keep longer than rows.
func NewFolder(set *brimline.RuleSet, compiled []sliding.Rule, keep time.Duration) *Folder {
	f := &Folder{rules: compiled, plan: sliding.NewPlan(compiled), scale: set.Scale, retention: set.Retention(),
		lateness: set.Retention() - set.Furthest(), keep: keep}
	for i := range compiled {
		f.prints = append(f.prints, compiled[i].Fingerprint)
		f.longest = max(f.longest, compiled[i].Window)
	}
	return f
}

// Input is one message of the changes stream.
type Input struct {
	Change *brimline.Change
	Offset int64
	// At is when the message was written, 0 where that is not known: the only clock of a fold, which a replay shows
	// again.
	At brimline.Time
	// TruncatedAt is the offset after the partition's latest Truncate, 0 if
	// there was none: rows folded before it are gone.
	TruncatedAt int64
	// Truncation is where that one stands in the source, nil where that is not known. What is older is ignored.
	Truncation *brimline.Truncation
	// SweptBefore is the time up to which users may have been forgotten with all their rows, 0 for none: those whose
	// Last is at most SweptIdle. They are new, whether a sweep has deleted them yet or not.
	SweptBefore brimline.Time
	SweptIdle   int64
}

// newestShown is how many contributing transactions a candidate carries.
const newestShown = 5

// keptEdges is how many announced edges per rule are remembered whatever their age.
const keptEdges = 256

// replayReach is how many messages of a partition a crash may bring again, with much to spare: what goka has in hand
// and what it has not committed yet are some thousands. An edge is remembered for so long, whatever its age.
const replayReach = 1 << 16

// Fold folds one message into a user's state. It returns the candidates to
// emit, in the order of their causes, and whether the state must be written to the table.
func (f *Folder) Fold(state *State, in Input) (candidates []brimline.Candidate, write bool) {
	s := &step{Folder: f, State: state, in: in}
	state.stands = brimline.Newer
	w := state.w
	if in.Offset < w.Last {
		if failpoint.Without(failpoint.Replay) {
			return nil, false
		}
		s.again()
		return s.ordered(), true
	}
	if w.Last != 0 && isForgotten(w, in.SweptIdle, in.SweptBefore) {
		whole := *w
		if whole.Rows, whole.Changed = state.rows.Rows(), state.versions.all(); isForgotten(
			&whole,
			in.SweptIdle,
			in.SweptBefore,
		) {
			*state = *f.NewState(state.user, nil, nil, 0)
			state.changed, w = true, state.w
		}
	}
	if w.Last == 0 {
		switch in.Change.Kind {
		case brimline.Upsert, brimline.Delete, brimline.Unjudgeable, brimline.Distrust:
		default: // no question is open with a user who is not in the table: no sweep deletes one who waits for an answer
			return nil, false
		}
		w.Floor = brimline.MinTime
		if in.SweptBefore != 0 {
			w.Floor = in.SweptBefore
		}
	}
	w.Scale = f.scale
	mixed := w.Last != 0 && w.Last <= in.TruncatedAt && s.truncated()
	s.alignRules()
	if mixed { // what was taken away has hidden edges of what is left
		for i := range s.rules {
			s.revise(i, brimline.MinTime, brimline.MaxTime, true, true)
		}
	}
	switch in.Change.Kind {
	case brimline.Upsert:
		write = s.upsert()
	case brimline.Delete:
		write = s.delete()
	case brimline.EdgesFound:
		write = s.edgesFound()
	case brimline.Dismissal:
		write = s.dismissed()
	case brimline.Unjudgeable:
		write = s.unjudgeable()
	case brimline.Retry:
		write = s.retry()
	case brimline.Distrust:
		write = s.distrust(s.in.Change.Row.Time)
	case brimline.AskAgain:
		write = s.askOnceMore()
	case brimline.Forget:
		write = s.forgetUser()
	case brimline.Restored, brimline.StillDismissed:
		write = s.putOnceMore()
	case brimline.Disbelieved:
		write = s.disbelieved()
	case brimline.AskAbove:
		write = s.lookAbove()
	}
	s.putQuestions()
	if write = write || mixed; write {
		w.Last = in.Offset + 1
		s.noteNewest()
		s.evict()
	}
	return s.ordered(), write
}

// step is the folding of one message.
type step struct {
	*Folder
	*State
	in   Input
	out  []brimline.Candidate
	asks []ask
	// index numbers the message's edge candidates, from 0. Late candidates have
	// negative numbers made of their rule (lateIndex), so that a replay, which may
	// find more rows late than the first time or meet other rules, numbers
	// everything as before.
	index int
}

// lateIndex numbers the late candidate of a rule among those of one message. No two rules in force have the same:
// rules.Parse refuses them.
func lateIndex(r *sliding.Rule) int { return -1 - int(r.Fingerprint>>1) }

// An int has room for that, or this does not compile.
const _ = -1 - int(math.MaxInt64)

// ordered are the candidates in the order of their causes.
func (s *step) ordered() []brimline.Candidate {
	slices.SortFunc(s.out, func(a, b brimline.Candidate) int { return a.Cause.Compare(b.Cause) })
	return s.out
}

// truncated takes away what the latest TRUNCATE has. It says whether it has taken rows and left others: those are
// newer, and have come before it from another partition of the source.
func (s *step) truncated() (mixed bool) {
	t := s.in.Truncation
	if t == nil {
		s.truncate()
		return false
	}
	changed := s.versions.all()
	spared := slices.ContainsFunc(changed, func(v brimline.RowVersion) bool { return t.SparesChange(&v) })
	var left []brimline.Row
	for row := range s.rows.All() {
		if t.Spares(row, changed) {
			left = append(left, *row)
		}
	}
	if !spared && len(left) == 0 {
		floor := s.w.Floor
		s.truncate()
		if !t.Whole { // newer rows may have come that lie below the floor
			s.w.Floor = floor
		}
		return false
	}
	if len(left) == s.rows.Len() {
		return false
	}
	s.keepOnly(left)
	s.doubtEdges()
	return true
}

// truncate empties the window. What was announced is remembered, but what
// PostgreSQL said of it holds no longer, and what it could not say is not asked again: the rows are gone.
func (s *step) truncate() {
	s.empty()
	s.doubtEdges()
	for i := range s.w.Rules {
		unasked := func(sp brimline.Span) bool { return sp.Asked == 0 }
		s.setSpans(i, slices.DeleteFunc(slices.Clone(s.w.Rules[i].Unjudged), unasked))
	}
}

// doubtEdges says of all edges that what PostgreSQL said of them holds no longer.
func (s *step) doubtEdges() {
	for i := range s.w.Rules {
		s.eachEdge(i, brimline.MinTime, brimline.MaxTime, func(e brimline.Edge) (_ brimline.Edge, stays bool) {
			switch e.Status {
			case brimline.EdgeDismissed, brimline.Unjudged:
				return e, false
			case brimline.Announced, brimline.Touched:
				e.Status = brimline.Disturbed
			}
			return e, true
		})
	}
}

// again emits what the message caused when it was folded first. A question may have grown. Where none is open any
// more, the message's have their answers, if it had any: one that is put now would be answered after the user may be
// forgotten.
func (s *step) again() {
	if s.asked() {
		s.askAgain()
	}
	for i := range s.w.Rules {
		rule := s.ruleOf(s.w.Rules[i].Rule)
		if rule < 0 {
			continue
		}
		for _, e := range s.w.Rules[i].Edges {
			if e.Cause.Offset == s.in.Offset {
				s.emit(rule, e.Time, e.Cause, s.rows.FiguresAt(rule, e.Time))
			}
		}
	}
	s.repeatQuestions()
}

// alignRules makes w.Rules parallel to the rules in force. A rule that the
// user has not met before takes the edges of the retained history as announced:
// they lie before the change of rules.
func (s *step) alignRules() {
	if s.inForce() {
		return
	}
	old := s.w.Rules
	rules := old
	if len(old) > 0 || cap(old) < len(s.rules) {
		rules = make([]brimline.RuleState, len(s.rules))
	}
	rules = rules[:len(s.rules)]
	clear(rules)
	for i := range s.rules {
		rules[i].Rule = s.rules[i].Fingerprint
		if at := slices.IndexFunc(old, func(r brimline.RuleState) bool { return r.Rule == s.rules[i].Fingerprint }); at >= 0 {
			rules[i] = old[at]
			continue
		}
		rules[i].Quiet = s.quiet(i)
		known, _ := s.rows.Edges(i, s.wholeFrom(i), s.wholeFrom(i), brimline.MaxTime)
		for _, e := range known {
			rules[i].Edges = append(rules[i].Edges, brimline.Edge{Time: e.Time, Cause: brimline.Cause{Offset: -1}})
		}
	}
	s.setRules(rules)
}

// inForce says whether w.Rules are those in force, in their order, and notes whether they are bare.
func (s *step) inForce() bool {
	rules := s.w.Rules
	s.bare = false
	if len(rules) != len(s.prints) {
		return false
	}
	known := 0
	for i := range rules {
		if rules[i].Rule != s.prints[i] {
			return false
		}
		known |= len(rules[i].Edges) | len(rules[i].Unjudged)
	}
	s.bare = known == 0
	return true
}

// quiet is the time up to which edges of rule i, which the user meets only now, lie before it and below the history
// that it starts from; 0 for a user who is new. Whose rows were forgotten is as good as new: what comes of them comes
// after the rule.
//
// It is never in the future, where edges of rows to come would be taken for old. A floor that is (of a row that was
// dated there) says nothing about when the rows below it came; those of the message at hand have come after the rule.
func (s *step) quiet(i int) brimline.Time {
	if s.w.Last == 0 || s.w.Floor == brimline.MinTime {
		return 0
	}
	c := s.in.Change
	ofRow := c.Kind == brimline.Upsert || c.Kind == brimline.Delete && c.Row.Time != brimline.MinTime
	now := s.in.At
	switch {
	case now != 0:
	case ofRow:
		now = c.Row.Time
	default:
		now = brimline.MaxTime
	}
	quiet := s.w.Floor
	if quiet > now {
		quiet = now
		if ofRow {
			quiet = min(now, c.Row.Time-1)
		}
	}
	quiet = min(max(quiet, s.rows.NewestUntil(now)), s.wholeFrom(i)-1)
	if quiet == 0 {
		quiet = -1
	}
	return quiet
}

func (s *step) upsert() bool {
	row := &s.in.Change.Row
	row.User = s.in.Change.User
	var (
		kept    = brimline.RowOf(row)
		removed *brimline.Transaction
		was     brimline.Stamp
		found   = s.rows.Find(&kept)
	)
	if s.stands = s.order(found); s.stands == brimline.Older {
		return false
	}
	kept.Stamp = brimline.StampOf(&s.in.Change.Source)
	if found != nil {
		if found.SameRow(&kept) {
			return s.seenAgain(found)
		}
		was = found.Stamp
		removed = s.take(found)
	}
	// What the row was before is not known where it could not be taken in.
	unseen := s.in.Change.Update && removed == nil && row.Time > s.w.Floor
	first, last, doubted := brimline.MaxTime, brimline.MinTime, false
	if removed == nil {
		first, last, doubted = s.forgotten()
	}
	switch {
	case removed != nil:
		s.noteRowVersion(removed.Time, removed.Time, was)
	case unseen:
		s.noteRowVersion(row.Time, row.Time, was)
	default:
		s.noteRowVersion(brimline.MaxTime, brimline.MinTime, was)
	}
	if row.Time > s.w.Floor {
		s.insert(kept)
	}
	s.stirIfAsked()
	from := min(row.Time, first)
	if removed != nil {
		from = min(from, removed.Time)
	}
	if doubted || from < s.wholeOfAll() {
		for i := range s.rules {
			s.askLate(i, row, removed, unseen)
			s.askBelow(i, first, last)
		}
	}
	below := s.rows.AllBelow()
	if below && s.bare {
		return true
	}
	for i := range s.rules {
		if !s.touches(i, from, below) {
			continue
		}
		switch {
		case removed != nil:
			s.reviseRow(i, removed.Time, true, true)
		case doubted:
			s.revise(i, first, last.Add(s.rules[i].Reach()), true, true)
		}
		counts := removed != nil || unseen || s.rows.Moves(i, &kept)
		s.reviseRow(i, row.Time, counts, removed != nil || unseen || counts && s.rules[i].Unsteady())
	}
	return true
}

func (s *step) delete() bool {
	sought := brimline.RowOf(&s.in.Change.Row)
	found := s.rows.Find(&sought)
	if s.stands = s.order(found); s.stands == brimline.Older {
		return false
	}
	if found == nil {
		return s.deleteUnknown()
	}
	was := found.Stamp
	gone := s.take(found)
	s.noteRowVersion(gone.Time, gone.Time, was)
	s.stirIfAsked()
	if gone.Time < s.wholeOfAll() {
		for i := range s.rules {
			s.askLate(i, gone, nil, false)
		}
	}
	below := s.rows.AllBelow()
	if below && s.bare {
		return true
	}
	for i := range s.rules {
		if s.touches(i, gone.Time, below) {
			s.reviseRow(i, gone.Time, true, true)
		}
	}
	return true
}

// touches says whether a change to rows from a time on may change what is known of rule i, or make an edge of it:
// revise does nothing else. below is History.AllBelow.
func (s *step) touches(i int, from brimline.Time, below bool) bool {
	rule := &s.w.Rules[i]
	n := len(rule.Edges)
	return !below && !s.rows.Below(i) || n > 0 && rule.Edges[n-1].Time >= from || len(rule.Unjudged) > 0
}

// deleteUnknown takes the deletion of a row that is not held: of one below the floor, or of one that could not be
// taken in, which PostgreSQL has counted. Where the deletion does not say when the row was, it may have been at any
// time above the floor.
func (s *step) deleteUnknown() bool {
	t := s.in.Change.Row.Time
	first, last := t, t
	if t == brimline.MinTime {
		first, last = s.anyTime()
	}
	from, to, doubted := s.forgotten()
	above := last > s.w.Floor
	first, last = min(first, from), max(last, to)
	if above { // noted all the same: the row may be inserted again, and then deleted by an echo
		s.noteRowVersion(first, last, brimline.Stamp{})
	}
	write := s.stirIfAsked() || above || doubted
	for i := range s.rules {
		if doubted || above && s.rows.Len() > 0 { // edges are at the times of rows
			s.askBelow(i, first, last)
		}
		write = s.reviseRow(i, t, above || doubted, above || doubted) || write
	}
	return write
}

// anyTime are the first and the last time of what is retained, above the floor. Where nothing is, both are now.
func (s *step) anyTime() (first, last brimline.Time) {
	if s.rows.Len() > 0 {
		return s.rows.Oldest(), s.rows.Newest()
	}
	now := max(s.in.At, s.in.Change.Source.Commit)
	if s.w.Floor != brimline.MinTime {
		now = max(now, s.w.Floor+1)
	}
	return now, now
}

// take removes a row, and gives what it was.
func (s *step) take(found *brimline.Row) *brimline.Transaction {
	row := *found
	s.remove(&row)
	was := row.Transaction(s.in.Change.User)
	return &was
}

// reviseRow is revise for the window ends about which a row at t decides, and for all where t is MinTime, not known.
func (s *step) reviseRow(i int, t brimline.Time, counts, mayFall bool) (changed bool) {
	to := t.Add(s.rules[i].Reach())
	if t == brimline.MinTime {
		to = brimline.MaxTime
	}
	return s.revise(i, t, to, counts, mayFall)
}

// revise takes a change to rows that decide about the window ends of rule i in [first, to] to these. Where the change
// counts for the rule, or concerns an edge that could not be decided, it looks for new edges. mayFall says that totals
// may have become lower, or that edges which were silent may be so no more, so that what PostgreSQL said of announced
// edges may no longer hold.
// It gives whether it has changed what is known of an edge or a span.
func (s *step) revise(i int, first, to brimline.Time, counts, mayFall bool) (changed bool) {
	changed, woken := s.reach(i, first, to, mayFall)
	if !counts && !woken {
		return changed
	}
	retained := s.wholeFrom(i)
	from := max(first, retained)
	if from > to {
		return changed
	}
	var found []brimline.Edge
	edges, above := s.rows.Edges(i, retained, from, to)
	if above != brimline.MaxTime && !s.noAbove {
		s.noteAbove(above)
	}
	for _, e := range edges {
		if _, known := s.edge(i, e.Time); !known {
			found = append(found, s.announcement(i, e.Time, e.Figures))
		}
	}
	s.addEdges(i, found)
	return changed
}

// wholeFrom is the first window end of rule i whose rows are all retained.
func (s *step) wholeFrom(i int) brimline.Time {
	if s.w.Floor == brimline.MinTime {
		return brimline.MinTime
	}
	return s.w.Floor.Add(s.rules[i].Window).Add(time.Microsecond)
}

// wholeOfAll is from when on wholeFrom is past for every rule.
func (s *step) wholeOfAll() brimline.Time {
	if s.w.Floor == brimline.MinTime {
		return brimline.MinTime
	}
	return s.w.Floor.Add(s.longest).Add(time.Microsecond)
}

// edgesFound takes a part of PostgreSQL's answer to late candidates.
func (s *step) edgesFound() bool {
	c := s.in.Change
	if i := s.ruleOf(c.Rule); i >= 0 {
		for _, t := range c.Edges {
			at, known := s.edge(i, t)
			switch {
			case known && s.w.Rules[i].Edges[at].Status != brimline.EdgeDismissed &&
				s.w.Rules[i].Edges[at].Status != brimline.Unjudged:
				continue
			case known:
				s.forget(i, at)
			case s.isQuiet(i, t):
				continue
			}
			s.announce(i, t, s.rows.FiguresAt(i, t))
		}
	}
	announced := len(s.out) > 0
	return c.Index < 0 && s.answered(brimline.Cause{Offset: c.Cause, Index: c.Index}, c.Apart) || announced
}

// isQuiet says whether edges of rule i at t lie before the rule was there, or before the user was forgotten.
func (s *step) isQuiet(i int, t brimline.Time) bool {
	quiet := s.w.Rules[i].Quiet
	return quiet != 0 && t <= quiet
}

// dismissed takes PostgreSQL's no to an edge. If rows changed while the question
// was under way, the edge is decided once more on the rows as they are now.
func (s *step) dismissed() bool {
	i, at := s.answeredEdge()
	if i < 0 {
		return false
	}
	if e := s.w.Rules[i].Edges[at]; e.Status == brimline.Announced || e.Status == brimline.Touched {
		e.Status = brimline.EdgeDismissed
		s.setEdge(i, e)
		return true
	}
	s.forget(i, at)
	t := s.in.Change.Edges[0]
	if t < s.wholeFrom(i) {
		s.ask(i, t, t, t)
	} else if figures := s.rows.FiguresAt(i, t); s.rules[i].IsEdge(figures) {
		s.announce(i, t, figures)
	}
	return true
}

// answeredEdge is the edge whose candidate the message answers, if it waits for that; else rule -1.
func (s *step) answeredEdge() (rule, at int) {
	c := s.in.Change
	i := s.ruleOf(c.Rule)
	if i < 0 || len(c.Edges) != 1 {
		return -1, 0
	}
	at, known := s.edge(i, c.Edges[0])
	if !known || s.w.Rules[i].Edges[at].Cause.Offset != c.Cause {
		return -1, 0
	}
	switch s.w.Rules[i].Edges[at].Status {
	case brimline.Announced, brimline.Disturbed, brimline.Touched:
		return i, at
	}
	return -1, 0
}

// announce records a new edge and emits its candidate.
func (s *step) announce(i int, t brimline.Time, figures brimline.Figures) {
	s.setEdge(i, s.announcement(i, t, figures))
}

// announcement emits the candidate of a new edge, and gives what is to be recorded.
func (s *step) announcement(i int, t brimline.Time, figures brimline.Figures) brimline.Edge {
	cause := brimline.Cause{Offset: s.in.Offset, Index: s.index}
	s.index++
	s.emit(i, t, cause, figures)
	return brimline.Edge{Time: t, Cause: cause}
}

func (s *step) emit(i int, t brimline.Time, cause brimline.Cause, figures brimline.Figures) {
	var clears brimline.Time
	if t >= s.wholeFrom(i) {
		clears, _ = s.rows.ClearsAt(i, t)
	}
	s.out = append(s.out, brimline.Candidate{
		Kind: brimline.EdgeCandidate, User: s.in.Change.User, Scale: s.scale, Rule: s.rules[i].Rule, Edge: t,
		Trigger: s.in.Change.Row, Source: s.in.Change.Source, After: s.after(), Stream: figures,
		Newest: s.rows.NewestAt(i, t, newestShown), Cause: cause,
		Doubted: s.in.Change.Kind == brimline.StillDismissed, Later: s.later(i, t, cause),
		ClearsAt: clears,
	})
}

// mostLater is how many later edges a candidate names. Those that are dismissed or were never asked about are passed
// over, as long as they are few.
const (
	mostLater  = 32
	mostPassed = 256
)

// later are the nearest edges of rule i after t whose candidates came before a cause: those that may have been sent,
// and may be edges no more if t is one. How far away they lie does not matter: rows that the window has not seen yet
// may keep the total above the limit from t on for any number of windows.
func (s *step) later(i int, t brimline.Time, cause brimline.Cause) (edges []brimline.Time) {
	n := slices.IndexFunc(s.w.Rules, func(r brimline.RuleState) bool { return r.Rule == s.rules[i].Fingerprint })
	if n < 0 {
		return nil
	}
	all := s.w.Rules[n].Edges
	at, _ := findEdge(all, t+1)
	for _, e := range all[at:min(len(all), at+mostPassed)] {
		switch {
		case len(edges) == mostLater:
			return edges
		case e.Cause.Offset < 0 || e.Cause.Compare(cause) >= 0:
		case e.Status == brimline.EdgeDismissed || e.Status == brimline.Unjudged:
		default:
			edges = append(edges, e.Time)
		}
	}
	return edges
}

func (s *step) ruleOf(fingerprint uint64) int {
	return slices.IndexFunc(s.rules, func(r sliding.Rule) bool { return r.Fingerprint == fingerprint })
}

// evict drops the rows that the retention has passed, and the announcements
// that no message can ask about again.
func (s *step) evict() {
	newest := s.rows.Newest()
	if s.rows.Len() == 0 {
		newest = max(newest, s.versions.newest)
	}
	if s.in.At != 0 { // what is dated in the future ages nothing
		newest = min(newest, s.in.At)
	}
	horizon := newest.Add(-s.retention)
	s.forgetBefore(horizon, mostBytes)
	s.forgetDoubt(horizon)
	s.forgetAbove()
	if s.w.Stirred.Last != 0 && s.w.Above.Last == 0 && !s.asked() && s.in.Offset-s.w.Stirred.Last > replayReach {
		s.w.Stirred, s.changed = brimline.Stir{}, true
	}
	if s.asked() || s.bare {
		return // an answer on its way may name an edge that was announced
	}
	forgotten := horizon.Add(-s.keep)
	for i := range s.w.Rules {
		for at := 0; len(s.w.Rules[i].Edges) > keptEdges && at < len(s.w.Rules[i].Edges); {
			e := s.w.Rules[i].Edges[at]
			if e.Time >= forgotten || s.in.Offset-e.Cause.Offset < replayReach {
				break
			}
			if e.Status == brimline.Unjudged {
				at++
				continue
			}
			s.forget(i, at)
		}
	}
}

// mostBytes bounds the rows of a user, and the versions. One with more loses history early, and PostgreSQL is asked
// instead.
const mostBytes = 8 << 20
