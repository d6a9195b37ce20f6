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

// Fold folds one message into w. It returns the candidates to emit, in the
// order of their causes, and whether w must be written to the table.
func (f *Folder) Fold(w *brimline.Window, in Input) (candidates []brimline.Candidate, write bool) {
	s := &step{Folder: f, w: w, in: in}
	for i := range w.Rows { // the table's key says it, the value does not; rules may ask for it
		w.Rows[i].User = in.Change.User
	}
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
	w   *brimline.Window
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
	s.w.Rows, s.w.Floor, s.w.Changed = nil, brimline.MinTime, nil
	for i := range s.w.Rules {
		disturb(&s.w.Rules[i], brimline.MinTime, brimline.MaxTime)
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
				s.emit(rule, e.Time, e.Cause, sliding.FiguresAt(s.w.Rows, &s.rules[rule], e.Time))
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
	s.w.Rules = make([]brimline.RuleState, len(s.rules))
	for i := range s.rules {
		s.w.Rules[i].Rule = s.rules[i].Fingerprint
		if at := slices.IndexFunc(old, func(r brimline.RuleState) bool { return r.Rule == s.rules[i].Fingerprint }); at >= 0 {
			s.w.Rules[i] = old[at]
			continue
		}
		if s.w.Floor != brimline.MinTime {
			s.w.Rules[i].Quiet = s.judgeable(i) - 1
		}
		for _, e := range sliding.Edges(s.w.Rows, &s.rules[i], s.judgeable(i), brimline.MaxTime) {
			s.w.Rules[i].Edges = append(s.w.Rules[i].Edges, brimline.Edge{Time: e.Time, Cause: brimline.Cause{Offset: -1}})
		}
	}
}

func (s *step) upsert() bool {
	if s.isEcho() {
		return false
	}
	row := s.in.Change.Row
	row.User = s.in.Change.User
	var removed *brimline.Transaction
	if at := find(s.w.Rows, &row); at >= 0 {
		if s.w.Rows[at].SameRow(&row) {
			return false
		}
		old := s.w.Rows[at]
		removed, s.w.Rows = &old, slices.Delete(s.w.Rows, at, at+1)
	}
	s.noteVersion(removed)
	if row.Time > s.w.Floor {
		at, _ := slices.BinarySearchFunc(s.w.Rows, &row, func(a brimline.Transaction, b *brimline.Transaction) int { return a.Compare(b) })
		s.w.Rows = slices.Insert(s.w.Rows, at, row)
	}
	for i := range s.rules {
		s.askLate(i, &row, removed)
	}
	for i := range s.rules {
		if removed != nil {
			s.judge(i, removed.Time, true)
		}
		if weight, _ := s.rules[i].Weigh(&row); weight != 0 || removed != nil {
			s.judge(i, row.Time, removed != nil || s.rules[i].Measure.Shrinks())
		}
	}
	return true
}

func (s *step) delete() bool {
	if s.isEcho() {
		return false
	}
	at := find(s.w.Rows, &s.in.Change.Row)
	if at < 0 {
		// Noted all the same: the row may be inserted again, and then deleted by an echo.
		if s.in.Change.Row.Time <= s.w.Floor {
			return false
		}
		s.noteVersion(&s.in.Change.Row)
		return true
	}
	t := s.w.Rows[at].Time
	s.noteVersion(&s.w.Rows[at])
	gone := s.w.Rows[at]
	s.w.Rows = slices.Delete(s.w.Rows, at, at+1)
	for i := range s.rules {
		s.askLate(i, &gone, nil)
	}
	for i := range s.rules {
		s.judge(i, t, true)
	}
	return true
}

// judge looks for new edges of rule i at the window ends that a row at t
// belongs to. mayFall says that totals there may have become lower, so that
// what PostgreSQL said of announced edges may no longer hold.
func (s *step) judge(i int, t brimline.Time, mayFall bool) {
	rule := &s.rules[i]
	from, to := max(t, s.judgeable(i)), t.Add(rule.Window)
	if mayFall {
		disturb(&s.w.Rules[i], t, to)
	}
	if from > to {
		return
	}
	for _, e := range sliding.Edges(s.w.Rows, rule, from, to) {
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

// disturb marks a rule's announced edges in [from, to]: rows below them were
// removed or lowered, so an edge that PostgreSQL refuted may have come back,
// and one that it is being asked about may be judged on the old rows.
func disturb(state *brimline.RuleState, from, to brimline.Time) {
	state.Edges = slices.DeleteFunc(state.Edges, func(e brimline.Edge) bool {
		return e.Status == brimline.Disproved && from <= e.Time && e.Time <= to
	})
	for at := range state.Edges {
		if e := &state.Edges[at]; e.Status == brimline.Announced && from <= e.Time && e.Time <= to {
			e.Status = brimline.Disturbed
		}
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
		s.announce(i, t, sliding.FiguresAt(s.w.Rows, &s.rules[i], t))
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
	if e := &s.w.Rules[i].Edges[at]; e.Status == brimline.Announced {
		e.Status = brimline.Disproved
		return true
	}
	s.forget(i, at)
	if t < s.judgeable(i) {
		s.ask(i, t, t)
	} else if figures := sliding.FiguresAt(s.w.Rows, &s.rules[i], t); figures.IsEdge(s.rules[i].Limit) {
		s.announce(i, t, figures)
	}
	return true
}

// announce records a new edge and emits its candidate.
func (s *step) announce(i int, t brimline.Time, figures brimline.Figures) {
	cause := brimline.Cause{Offset: s.in.Offset, Index: s.index}
	s.index++
	at, _ := s.edge(i, t)
	s.w.Rules[i].Edges = slices.Insert(s.w.Rules[i].Edges, at, brimline.Edge{Time: t, Cause: cause})
	s.emit(i, t, cause, figures)
}

func (s *step) emit(i int, t brimline.Time, cause brimline.Cause, figures brimline.Figures) {
	rule := &s.rules[i]
	s.out = append(s.out, brimline.Candidate{
		Kind: brimline.EdgeCandidate, User: s.in.Change.User, Scale: s.scale, Rule: rule.Rule, Edge: t,
		Trigger: s.in.Change.Row, Source: s.in.Change.Source, Stream: figures,
		Newest: sliding.Newest(s.w.Rows, rule, t, newestShown), Cause: cause,
	})
}

// edge finds the announced edge of rule i at t, or where it would stand.
func (s *step) edge(i int, t brimline.Time) (at int, known bool) {
	return slices.BinarySearchFunc(s.w.Rules[i].Edges, t, func(e brimline.Edge, t brimline.Time) int {
		switch {
		case e.Time < t:
			return -1
		case e.Time > t:
			return 1
		}
		return 0
	})
}

func (s *step) forget(i, at int) {
	s.w.Rules[i].Edges = slices.Delete(s.w.Rules[i].Edges, at, at+1)
}

func (s *step) ruleOf(fingerprint uint64) int {
	return slices.IndexFunc(s.rules, func(r sliding.Rule) bool { return r.Fingerprint == fingerprint })
}

// evict drops the rows that the retention has passed, and the announcements
// that nobody can ask about again.
func (s *step) evict() {
	newest := brimline.MinTime
	if n := len(s.w.Rows); n > 0 {
		newest = s.w.Rows[n-1].Time
	} else {
		for i := range s.w.Changed {
			newest = max(newest, s.w.Changed[i].Time)
		}
	}
	horizon := newest.Add(-s.retention)
	n := 0
	for n < len(s.w.Rows) && s.w.Rows[n].Time < horizon {
		n++
	}
	if n += excess(s.w.Rows[n:]); n > 0 {
		s.w.Floor = max(s.w.Floor, s.w.Rows[n-1].Time)
		s.w.Rows = slices.Delete(s.w.Rows, 0, n)
	}
	s.w.Changed = slices.DeleteFunc(s.w.Changed, func(v brimline.RowVersion) bool { return v.Time < horizon })
	forgotten := horizon.Add(-s.keep)
	for i := range s.w.Rules {
		edges := s.w.Rules[i].Edges
		for len(edges) > keptEdges && edges[0].Time < forgotten && edges[0].Cause.Offset != s.in.Offset {
			edges = edges[1:]
		}
		s.w.Rules[i].Edges = edges
	}
}

// mostBytes bounds the rows of one value, well below what a Kafka record may
// hold. A user with more loses history early, and PostgreSQL is asked instead.
const mostBytes = 8 << 20

// excess is how many of the oldest rows are too many for one value.
func excess(rows []brimline.Transaction) (n int) {
	total := 0
	for i := range rows {
		total += weight(&rows[i])
	}
	for ; total > mostBytes && n < len(rows)-1; n++ {
		total -= weight(&rows[n])
	}
	return n
}

// weight is about the most bytes that a row takes in a value.
func weight(row *brimline.Transaction) int {
	n := 24 + len(row.ID)
	for i := range row.Columns {
		switch v := row.Columns[i].Value.(type) {
		case string:
			n += 4 + len(v)
		case brimline.Decimal:
			n += 4 + len(v)
		default:
			n += 12
		}
	}
	return n
}

// find gives the index of the row with row's id, or -1.
func find(rows []brimline.Transaction, row *brimline.Transaction) int {
	if at, found := slices.BinarySearchFunc(rows, row, func(a brimline.Transaction, b *brimline.Transaction) int { return a.Compare(b) }); found {
		return at
	}
	return slices.IndexFunc(rows, func(r brimline.Transaction) bool { return r.ID == row.ID })
}
