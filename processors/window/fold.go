package window

import (
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
	scale     int
	retention time.Duration
	keep      time.Duration
}

// NewFolder makes a Folder for a rule set. compiled are the set's rules in its
// order. Announced edges are remembered for keep longer than rows.
func NewFolder(set *brimline.RuleSet, compiled []sliding.Rule, keep time.Duration) *Folder {
	return &Folder{rules: compiled, scale: set.Scale, retention: set.Retention(), keep: keep}
}

// Input is one message of the changes stream.
type Input struct {
	Change *brimline.Change
	Offset int64
	// TruncatedAt is the offset after the partition's latest Truncate, 0 if
	// there was none: rows folded before it are gone.
	TruncatedAt int64
	// SweptBefore is the time up to which users may have been forgotten with
	// all their rows, 0 for none.
	SweptBefore brimline.Time
}

// newestShown is how many contributing transactions a candidate carries.
const newestShown = 5

// keptEdges is how many announced edges per rule are remembered whatever their age.
const keptEdges = 256

// Fold folds one message into a user's state. It returns the candidates to
// emit, in the order of their causes, and whether the state must be written to the table.
func (f *Folder) Fold(state *State, in Input) (candidates []brimline.Candidate, write bool) {
	s := &step{Folder: f, State: state, in: in}
	w := state.w
	if in.Offset < w.Last {
		if failpoint.Without(failpoint.Replay) {
			return nil, false
		}
		s.again()
		return s.ordered(), true
	}
	if w.Last == 0 {
		w.Floor = brimline.MinTime
		if in.SweptBefore != 0 {
			w.Floor = in.SweptBefore
		}
	}
	w.Scale = f.scale
	if w.Last != 0 && w.Last <= in.TruncatedAt {
		s.truncate()
	}
	s.alignRules()
	switch in.Change.Kind {
	case brimline.Upsert:
		write = s.upsert()
	case brimline.Delete:
		write = s.delete()
	case brimline.EdgesFound:
		write = s.edgesFound()
	case brimline.Refuted:
		write = s.refuted()
	}
	if write {
		w.Last = in.Offset + 1
		s.evict()
	}
	return s.ordered(), write
}

// step is the folding of one message.
type step struct {
	*Folder
	*State
	in  Input
	out []brimline.Candidate
	// index numbers the message's edge candidates, from 0. Late candidates have
	// negative numbers made of their rule (lateIndex), so that a replay, which may
	// find more rows late than the first time or meet other rules, numbers
	// everything as before.
	index int
}

// lateIndex numbers the late candidate of a rule among those of one message.
func lateIndex(r *sliding.Rule) int { return -1 - int(r.Fingerprint>>34) }

// ordered are the candidates in the order of their causes.
func (s *step) ordered() []brimline.Candidate {
	slices.SortFunc(s.out, func(a, b brimline.Candidate) int { return a.Cause.Compare(b.Cause) })
	return s.out
}

// truncate empties the window. What was announced is remembered, but what
// PostgreSQL said of it holds no longer.
func (s *step) truncate() {
	s.empty()
	for i := range s.w.Rules {
		s.disturb(i, brimline.MinTime, brimline.MaxTime)
	}
}

// again emits what the message caused when it was folded first.
func (s *step) again() {
	c := s.in.Change
	switch c.Kind {
	case brimline.Upsert, brimline.Delete:
		for i := range s.rules {
			s.askLate(i, &c.Row, nil)
		}
	case brimline.Refuted:
		if i := s.ruleOf(c.Rule); i >= 0 && len(c.Edges) == 1 && c.Edges[0] < s.judgeable(i) {
			s.ask(i, c.Edges[0], c.Edges[0])
		}
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
}

// alignRules makes w.Rules parallel to the rules in force. A rule that the
// user has not met before takes the edges of the retained history as announced:
// they lie before the change of rules.
func (s *step) alignRules() {
	if slices.EqualFunc(s.w.Rules, s.rules, func(a brimline.RuleState, b sliding.Rule) bool { return a.Rule == b.Fingerprint }) {
		return
	}
	old := s.w.Rules
	rules := make([]brimline.RuleState, len(s.rules))
	for i := range s.rules {
		rules[i].Rule = s.rules[i].Fingerprint
		if at := slices.IndexFunc(old, func(r brimline.RuleState) bool { return r.Rule == s.rules[i].Fingerprint }); at >= 0 {
			rules[i] = old[at]
			continue
		}
		if s.w.Floor != brimline.MinTime {
			rules[i].Quiet = s.judgeable(i) - 1
		}
		for _, e := range s.rows.Edges(i, s.judgeable(i), s.judgeable(i), brimline.MaxTime) {
			rules[i].Edges = append(rules[i].Edges, brimline.Edge{Time: e.Time, Cause: brimline.Cause{Offset: -1}})
		}
	}
	s.setRules(rules)
}

func (s *step) upsert() bool {
	if s.isEcho() {
		return false
	}
	row := &s.in.Change.Row
	row.User = s.in.Change.User
	var (
		kept    = brimline.RowOf(row)
		removed *brimline.Transaction
	)
	if found := s.rows.Find(&kept); found != nil {
		if found.SameRow(&kept) {
			return false
		}
		removed = s.take(found)
	}
	s.noteVersion(removed)
	if row.Time > s.w.Floor {
		s.insert(kept)
	}
	for i := range s.rules {
		s.askLate(i, row, removed)
	}
	for i := range s.rules {
		if removed != nil {
			s.judge(i, removed.Time, true)
		}
		if weight, _ := s.rules[i].Weigh(row); weight != 0 || removed != nil {
			s.judge(i, row.Time, removed != nil || s.rules[i].Measure.Shrinks())
		}
	}
	return true
}

func (s *step) delete() bool {
	if s.isEcho() {
		return false
	}
	sought := brimline.RowOf(&s.in.Change.Row)
	found := s.rows.Find(&sought)
	if found == nil {
		// Noted all the same: the row may be inserted again, and then deleted by an echo.
		if s.in.Change.Row.Time <= s.w.Floor {
			return false
		}
		s.noteVersion(&s.in.Change.Row)
		return true
	}
	gone := s.take(found)
	s.noteVersion(gone)
	for i := range s.rules {
		s.askLate(i, gone, nil)
	}
	for i := range s.rules {
		s.judge(i, gone.Time, true)
	}
	return true
}

// take removes a row, and gives what it was.
func (s *step) take(found *brimline.Row) *brimline.Transaction {
	row := *found
	s.remove(&row)
	was := row.Transaction(s.in.Change.User)
	return &was
}

// judge looks for new edges of rule i at the window ends that a row at t
// belongs to. mayFall says that totals there may have become lower, so that
// what PostgreSQL said of announced edges may no longer hold.
func (s *step) judge(i int, t brimline.Time, mayFall bool) {
	rule := &s.rules[i]
	retained := s.judgeable(i)
	from, to := max(t, retained), t.Add(rule.Window)
	if mayFall {
		s.disturb(i, t, to)
	}
	if from > to {
		return
	}
	for _, e := range s.rows.Edges(i, retained, from, to) {
		if _, known := s.edge(i, e.Time); !known {
			s.announce(i, e.Time, e.Figures)
		}
	}
}

// judgeable is the first window end of rule i whose rows are all retained.
func (s *step) judgeable(i int) brimline.Time {
	if s.w.Floor == brimline.MinTime {
		return brimline.MinTime
	}
	return s.w.Floor.Add(s.rules[i].Window).Add(time.Microsecond)
}

// askLate asks PostgreSQL for the edges at those window ends of rule i, among
// the ones that row, or what it was before, belongs to, whose rows are not all retained.
func (s *step) askLate(i int, row, before *brimline.Transaction) {
	first := s.judgeable(i)
	from, last := brimline.MaxTime, brimline.MinTime
	for _, r := range []*brimline.Transaction{row, before} {
		if r == nil || r.Time >= first {
			continue
		}
		if weight, _ := s.rules[i].Weigh(r); weight != 0 || before != nil {
			from, last = min(from, r.Time), max(last, r.Time)
		}
	}
	if from <= last {
		s.ask(i, from, min(last.Add(s.rules[i].Window), first-1))
	}
}

// ask emits the question for all edges of rule i in [from, until].
func (s *step) ask(i int, from, until brimline.Time) {
	s.out = append(s.out, brimline.Candidate{
		Kind: brimline.LateCandidate, User: s.in.Change.User, Scale: s.scale, Rule: s.rules[i].Rule,
		Edge: from, Until: until, Trigger: s.in.Change.Row, Source: s.in.Change.Source,
		Cause: brimline.Cause{Offset: s.in.Offset, Index: lateIndex(&s.rules[i])},
	})
}

// disturb marks rule i's announced edges in [from, to]: rows below them were
// removed or lowered, so an edge that PostgreSQL refuted may have come back,
// and one that it is being asked about may be judged on the old rows.
func (s *step) disturb(i int, from, to brimline.Time) {
	at, _ := s.edge(i, from)
	for at < len(s.w.Rules[i].Edges) && s.w.Rules[i].Edges[at].Time <= to {
		switch e := s.w.Rules[i].Edges[at]; e.Status {
		case brimline.Disproved:
			s.forget(i, at)
			continue
		case brimline.Announced:
			e.Status = brimline.Disturbed
			s.setEdge(i, e)
		}
		at++
	}
}

// edgesFound takes PostgreSQL's answer to a late candidate.
func (s *step) edgesFound() bool {
	i := s.ruleOf(s.in.Change.Rule)
	if i < 0 {
		return false
	}
	for _, t := range s.in.Change.Edges {
		at, known := s.edge(i, t)
		if known && s.w.Rules[i].Edges[at].Status != brimline.Disproved {
			continue
		}
		if known {
			s.forget(i, at)
		}
		if quiet := s.w.Rules[i].Quiet; quiet != 0 && t <= quiet {
			continue
		}
		s.announce(i, t, s.rows.FiguresAt(i, t))
	}
	return len(s.out) > 0
}

// refuted takes PostgreSQL's no to an edge. If rows changed while the question
// was under way, the edge is judged once more on the rows as they are now.
func (s *step) refuted() bool {
	i := s.ruleOf(s.in.Change.Rule)
	if i < 0 || len(s.in.Change.Edges) != 1 {
		return false
	}
	t := s.in.Change.Edges[0]
	at, known := s.edge(i, t)
	if !known || s.w.Rules[i].Edges[at].Cause.Offset != s.in.Change.Cause {
		return false
	}
	if e := s.w.Rules[i].Edges[at]; e.Status == brimline.Announced {
		e.Status = brimline.Disproved
		s.setEdge(i, e)
		return true
	}
	s.forget(i, at)
	if t < s.judgeable(i) {
		s.ask(i, t, t)
	} else if figures := s.rows.FiguresAt(i, t); figures.IsEdge(s.rules[i].Limit) {
		s.announce(i, t, figures)
	}
	return true
}

// announce records a new edge and emits its candidate.
func (s *step) announce(i int, t brimline.Time, figures brimline.Figures) {
	cause := brimline.Cause{Offset: s.in.Offset, Index: s.index}
	s.index++
	s.setEdge(i, brimline.Edge{Time: t, Cause: cause})
	s.emit(i, t, cause, figures)
}

func (s *step) emit(i int, t brimline.Time, cause brimline.Cause, figures brimline.Figures) {
	s.out = append(s.out, brimline.Candidate{
		Kind: brimline.EdgeCandidate, User: s.in.Change.User, Scale: s.scale, Rule: s.rules[i].Rule, Edge: t,
		Trigger: s.in.Change.Row, Source: s.in.Change.Source, Stream: figures,
		Newest: s.rows.NewestAt(i, t, newestShown), Cause: cause,
	})
}

func (s *step) ruleOf(fingerprint uint64) int {
	return slices.IndexFunc(s.rules, func(r sliding.Rule) bool { return r.Fingerprint == fingerprint })
}

// evict drops the rows that the retention has passed, and the announcements
// that nobody can ask about again.
func (s *step) evict() {
	newest := s.rows.Newest()
	if s.rows.Len() == 0 {
		for i := range s.w.Changed {
			newest = max(newest, s.w.Changed[i].Time)
		}
	}
	horizon := newest.Add(-s.retention)
	s.forgetBefore(horizon, mostBytes)
	forgotten := horizon.Add(-s.keep)
	for i := range s.w.Rules {
		for edges := s.w.Rules[i].Edges; len(edges) > keptEdges && edges[0].Time < forgotten && edges[0].Cause.Offset != s.in.Offset; {
			s.forget(i, 0)
			edges = s.w.Rules[i].Edges
		}
	}
}

// mostBytes bounds the rows of a user. One with more loses history early, and PostgreSQL is asked instead.
const mostBytes = 8 << 20
