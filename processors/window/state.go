package window

import (
	"cmp"
	"slices"
	"sort"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/sliding"
)

// How a user's log is cut. A value of the table is written with every change,
// so it holds few entries; a segment once, and again when more than half of the log is of no use any more.
const (
	inlineMost = 16 // entries of a user who needs no segments
	sealedFrom = 16 // entries since the newest segment that become the next one
)

// State is one user's state while it is folded: the whole of it, and what of
// it the table's newest segment does not hold. It is a pure function of the
// messages folded, and reading it back from the table gives the same, so that two instances that fold the
// same messages cut the same segments.
type State struct {
	user string
	// w is whole but for its rows and versions, which are in rows and versions. w.Older are the segments in the table.
	w        *brimline.Window
	rows     *sliding.History
	versions rowVersions
	// tail has the changes since the newest segment; nil while there are no segments. Its rules are parallel to w's.
	tail    *brimline.Window
	entries int // of the segments
	// changed says that something was done since the last commit, stale that segments hold what the tail cannot take back.
	changed, stale bool
	// bare says that no rule has edges or spans. It is noted at the beginning of each fold, and until then false.
	bare bool
	// shortened says that history was given up since the last commit because it had become too large.
	shortened bool
	// stands is how the change that was folded last stands to what was known of its row.
	stands brimline.Order
}

// NewState is the state of a user with the given whole window (see
// codecs.AssembleWindow, which also counts the entries); value is what the table holds. Nil is a user who is new.
// Both are taken over.
func (f *Folder) NewState(user string, value, whole *brimline.Window, entries int) *State {
	if value == nil {
		whole = &brimline.Window{Floor: brimline.MinTime}
	}
	s := &State{user: user, w: whole, rows: sliding.NewHistory(user, f.plan, whole.Rows),
		versions: newRowVersions(whole.Changed)}
	s.w.Rows, s.w.Changed = nil, nil
	if s.w.Older.Len() > 0 {
		s.tail, s.entries = value, entries-codecs.Entries(value)
	}
	return s
}

// opened has the parts of a state that is of use until the next one of its partition is opened.
type opened struct {
	state  State
	window brimline.Window
	rows   sliding.History
}

// stateOf is NewState of the window in o, which has no segments, and with it.
func (f *Folder) stateOf(o *opened, user string) *State {
	o.rows.Reset(user, f.plan, o.window.Rows)
	o.state = State{user: user, w: &o.window, rows: &o.rows, versions: newRowVersions(o.window.Changed)}
	o.window.Rows, o.window.Changed = nil, nil
	return &o.state
}

// segment is one that is to be written under its number.
type segment struct {
	number uint64
	value  []byte
}

// cut has a change's effects on the segments: sealed ones are written before
// the value, those from first up to next deleted after it.
type cut struct {
	sealed      []segment
	first, next uint64
}

// commit cuts the log after a change. It fails with what codecs.WindowPart.Encode fails with.
func (s *State) commit() (c cut, err error) {
	s.changed, s.shortened, s.w.Rows, s.w.Changed = false, false, nil, nil
	var (
		parts []*brimline.Window
		live  = s.live()
		older = &s.w.Older
	)
	switch {
	case s.tail == nil && live <= inlineMost:
		s.stale = false
		return cut{}, nil
	case s.tail != nil && live <= inlineMost/2:
		c.first, c.next = older.First, older.Next
		s.tail, s.entries, older.First, older.Check, s.stale = nil, 0, older.Next, 0, false
		return c, nil
	case s.tail == nil || s.stale || s.entries+codecs.Entries(s.tail) > 2*(live+sealedFrom):
		c.first, c.next = older.First, older.Next
		// Beyond any that an earlier life of this user, or another instance that has folded less, may have used.
		older.Next = max(older.Next, uint64(s.w.Last))
		s.entries, older.First, older.Check = live, older.Next, 0
		parts = s.segments(s.whole())
	case codecs.Entries(s.tail) >= sealedFrom:
		s.entries += codecs.Entries(s.tail)
		parts = s.segments(s.tail)
	default:
		return cut{}, nil
	}
	for _, part := range parts {
		value, err := codecs.WindowPart{}.Encode(part)
		if err != nil {
			return cut{}, err
		}
		c.sealed = append(c.sealed, segment{older.Next, value})
		older.Next++
		older.Check ^= codecs.SegmentCheck(value)
	}
	s.tail = &brimline.Window{Rules: make([]brimline.RuleState, len(s.w.Rules))}
	s.stale = false
	return c, nil
}

// live is how many entries the state needs.
func (s *State) live() int {
	n := s.rows.Len() + s.versions.len()
	if s.bare {
		return n
	}
	for i := range s.w.Rules {
		n += len(s.w.Rules[i].Edges)
	}
	return n
}

// size is about how many bytes of memory the state takes.
func (s *State) size() int {
	const fixed = 1200 // with tail and list element
	n := fixed + s.rows.Size()
	for i := range s.w.Rules {
		n += 48 * len(s.w.Rules[i].Edges)
	}
	return n + s.versions.memory()
}

// whole is the state as a value that has all of it.
func (s *State) whole() *brimline.Window {
	s.w.Rows, s.w.Changed = s.rows.Rows(), s.versions.all()
	return s.w
}

// value is the table's value under the user's key. It is valid until the next change.
func (s *State) value() *brimline.Window {
	if s.tail == nil {
		return s.whole()
	}
	v := s.tail
	v.Last, v.Floor, v.Scale, v.Older = s.w.Last, s.w.Floor, s.w.Scale, s.w.Older
	v.Asked, v.Apart, v.Stirred, v.Reach = s.w.Asked, s.w.Apart, s.w.Stirred, s.w.Reach
	v.Doubt, v.Above, v.Newest = s.w.Doubt, s.w.Above, s.w.Newest
	for i := range v.Rules {
		r := &s.w.Rules[i]
		v.Rules[i].Rule, v.Rules[i].Quiet, v.Rules[i].Unjudged = r.Rule, r.Quiet, r.Unjudged
	}
	return v
}

func (s *State) insert(row brimline.Row) {
	s.changed = true
	s.rows.Insert(row)
	if s.tail != nil {
		in := s.tail.Rows
		at := sort.Search(len(in), func(n int) bool { return in[n].Compare(&row) >= 0 })
		s.tail.Rows = slices.Insert(in, at, row)
	}
}

func (s *State) remove(row *brimline.Row) {
	s.changed = true
	s.rows.Remove(row)
	if s.tail == nil {
		return
	}
	s.tail.Rows = slices.DeleteFunc(s.tail.Rows, func(r brimline.Row) bool { return r.SameID(row) })
	id := row.ID()
	if at, known := slices.BinarySearch(s.tail.Gone, id); !known {
		s.tail.Gone = slices.Insert(s.tail.Gone, at, id)
	}
}

// forgetBefore drops rows and versions from before horizon, and the oldest beyond maxBytes of either.
func (s *State) forgetBefore(horizon brimline.Time, maxBytes int) {
	floor := s.w.Floor
	if newest, any := s.rows.Evict(horizon, maxBytes); any {
		floor = max(floor, newest)
		s.shortened = s.shortened || newest >= horizon
	}
	for {
		v, any := s.versions.oldest()
		if !any || v.Time > floor && v.Time >= horizon && s.versions.bytes <= maxBytes {
			break
		}
		s.shortened = s.shortened || v.Time > floor && v.Time >= horizon
		floor = max(floor, v.Time)
		s.versions.remove(v)
		s.reachTo(v.From)
		s.changed = true
	}
	if floor == s.w.Floor {
		return
	}
	s.changed, s.w.Floor = true, floor
	s.rows.Evict(floor.Add(time.Microsecond), maxBytes)
	if s.tail != nil {
		s.tail.Changed = slices.DeleteFunc(s.tail.Changed, func(v brimline.RowVersion) bool { return v.Time <= floor })
		s.tail.Rows = slices.DeleteFunc(s.tail.Rows, func(r brimline.Row) bool { return r.Time <= floor })
	}
}

// forgetUpTo drops rows and versions up to floor, and says that nothing up to it is retained.
func (s *State) forgetUpTo(floor brimline.Time) {
	s.forgetBefore(floor.Add(time.Microsecond), mostBytes)
	if floor > s.w.Floor {
		s.changed, s.w.Floor = true, floor
	}
}

// empty drops all rows and versions.
func (s *State) empty() {
	s.changed, s.stale = true, true
	s.rows = s.rows.Empty()
	if s.asked() {
		for _, v := range s.versions.all() {
			s.reachTo(v.From)
		}
	}
	s.w.Floor, s.versions = brimline.MinTime, newRowVersions(nil)
	if s.tail != nil {
		s.tail.Rows, s.tail.Gone, s.tail.Changed = nil, nil, nil
	}
}

// keepOnly drops all rows but some, which are by Compare.
func (s *State) keepOnly(rows []brimline.Row) {
	s.changed, s.stale = true, true
	s.rows = s.rows.Empty()
	for i := range rows {
		s.rows.Insert(rows[i])
	}
	if s.tail != nil {
		s.tail.Rows, s.tail.Gone = nil, nil
	}
}

// reachTo notes how far down a row whose version is forgotten was, while a question may be about that.
func (s *State) reachTo(t brimline.Time) {
	if !s.asked() {
		return
	}
	if t == 0 { // which would stand for none
		t = -1
	}
	if s.w.Reach == 0 || t < s.w.Reach {
		s.w.Reach = t
	}
}

// setSpans says which spans of rule i were not decided.
func (s *State) setSpans(i int, spans []brimline.Span) {
	s.changed, s.bare = true, false
	if len(spans) == 0 {
		spans = nil
	}
	s.w.Rules[i].Unjudged = spans
}

func (s *State) setRowVersion(v brimline.RowVersion) {
	s.changed = true
	s.versions.set(v)
	if s.tail != nil {
		s.tail.Changed = withRowVersion(s.tail.Changed, v)
	}
}

// edge finds the announced edge of rule i at t, or where it would stand.
func (s *State) edge(i int, t brimline.Time) (at int, known bool) {
	return findEdge(s.w.Rules[i].Edges, t)
}

func findEdge(in []brimline.Edge, t brimline.Time) (at int, known bool) {
	return slices.BinarySearchFunc(in, t, func(e brimline.Edge, t brimline.Time) int { return cmp.Compare(e.Time, t) })
}

// setEdge puts in an edge of rule i, or changes it.
func (s *State) setEdge(i int, e brimline.Edge) {
	s.changed, s.bare = true, false
	set := func(in []brimline.Edge) []brimline.Edge {
		at, known := findEdge(in, e.Time)
		if !known {
			return slices.Insert(in, at, e)
		}
		in[at] = e
		return in
	}
	s.w.Rules[i].Edges = set(s.w.Rules[i].Edges)
	if s.tail != nil {
		s.tail.Rules[i].Edges = set(s.tail.Rules[i].Edges)
	}
}

// fewEdges are put in one by one, which moves those behind each.
const fewEdges = 4

// addEdges puts in edges of rule i, by time, or changes those that are there.
func (s *State) addEdges(i int, edges []brimline.Edge) {
	if len(edges) <= fewEdges {
		for _, e := range edges {
			s.setEdge(i, e)
		}
		return
	}
	s.changed, s.bare = true, false
	s.w.Rules[i].Edges = withEdges(s.w.Rules[i].Edges, edges, nil)
	if s.tail != nil {
		s.tail.Rules[i].Edges = withEdges(s.tail.Rules[i].Edges, edges, nil)
	}
}

// eachEdge goes through the edges of rule i from one time to another. f gives what becomes of one, and whether it
// stays. What is behind them is moved once, for a change may take back very many.
func (s *State) eachEdge(i int, from, to brimline.Time, f func(e brimline.Edge) (brimline.Edge, bool)) {
	all := s.w.Rules[i].Edges
	at, _ := findEdge(all, from)
	kept := at
	var (
		set  []brimline.Edge
		gone []brimline.Time
	)
	for ; at < len(all) && all[at].Time <= to; at++ {
		e, stays := f(all[at])
		switch {
		case !stays:
			gone = append(gone, all[at].Time)
			continue
		case e != all[at] && s.tail != nil:
			set = append(set, e)
		}
		s.changed = s.changed || e != all[at]
		all[kept] = e
		kept++
	}
	s.changed = s.changed || len(gone) > 0
	s.w.Rules[i].Edges = slices.Delete(all, kept, at)
	if s.tail == nil || len(set)+len(gone) == 0 {
		return
	}
	rule := &s.tail.Rules[i]
	rule.Edges = withEdges(rule.Edges, set, gone)
	rule.Forgotten = append(rule.Forgotten, gone...)
	slices.Sort(rule.Forgotten)
	rule.Forgotten = slices.Compact(rule.Forgotten)
}

// withEdges is a list with some edges set, and without those at some times. All three are by time.
func withEdges(in, set []brimline.Edge, gone []brimline.Time) []brimline.Edge {
	if len(in) == 0 || len(set) > 0 && len(gone) == 0 && in[len(in)-1].Time < set[0].Time {
		return append(in, set...)
	}
	out := make([]brimline.Edge, 0, len(in)+len(set))
	for len(in) > 0 || len(set) > 0 {
		if len(in) == 0 || len(set) > 0 && set[0].Time <= in[0].Time {
			if len(in) > 0 && in[0].Time == set[0].Time {
				in = in[1:]
			}
			out, set = append(out, set[0]), set[1:]
			continue
		}
		for len(gone) > 0 && gone[0] < in[0].Time {
			gone = gone[1:]
		}
		if len(gone) == 0 || gone[0] != in[0].Time {
			out = append(out, in[0])
		}
		in = in[1:]
	}
	return out
}

// without is a list without the edge at an index. Those that age are at its beginning, and what is behind them is not
// moved.
func without(in []brimline.Edge, at int) []brimline.Edge {
	if at == 0 {
		return in[1:]
	}
	return slices.Delete(in, at, at+1)
}

// forget takes out the edge of rule i that stands at the index.
func (s *State) forget(i, at int) {
	s.changed = true
	t := s.w.Rules[i].Edges[at].Time
	s.w.Rules[i].Edges = without(s.w.Rules[i].Edges, at)
	if s.tail == nil {
		return
	}
	rule := &s.tail.Rules[i]
	if at, known := findEdge(rule.Edges, t); known {
		rule.Edges = without(rule.Edges, at)
	}
	if at, known := slices.BinarySearch(rule.Forgotten, t); !known {
		rule.Forgotten = slices.Insert(rule.Forgotten, at, t)
	}
}

// setRules puts other rules in force.
func (s *State) setRules(rules []brimline.RuleState) {
	s.changed, s.stale, s.bare = true, true, false
	s.w.Rules = rules
	if s.tail != nil {
		s.tail.Rules = make([]brimline.RuleState, len(rules))
	}
}

// brokenState is the state of a user whose segments are not those of the
// value: nothing is retained up to floor, and announced are the edges of what could be read.
func (f *Folder) brokenState(user string, value, rest *brimline.Window, floor brimline.Time) *State {
	rest.Floor = max(floor, value.Floor)
	rest.Rows = slices.DeleteFunc(rest.Rows, func(r brimline.Row) bool { return r.Time <= rest.Floor })
	rest.Changed = slices.DeleteFunc(rest.Changed, func(v brimline.RowVersion) bool { return v.Time <= rest.Floor })
	s := f.NewState(user, value, rest, codecs.Entries(value))
	s.stale = true // the segments go with the next change
	return s
}
