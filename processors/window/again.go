package window

import "github.com/brimline/brimline"

// An edge that PostgreSQL dismissed because it has less than the window is asked about again by verify, for a while.
// What comes of that is about the edge as it was dismissed: where anything that can matter has come since, the edge has
// been forgotten, or has another cause, and it is too late.

// putOnceMore puts an edge that PostgreSQL has now, for it showed the edge's rows later than the stream did. One that
// it goes on dismissing is put, too, as long as the window is whole there: so verify hears that no change on its way
// has explained the dismissal.
func (s *step) putOnceMore() bool {
	i, at := s.dismissedEdge()
	if i < 0 {
		return false
	}
	t := s.in.Change.Edges[0]
	if s.in.Change.Kind == brimline.StillDismissed && t < s.wholeFrom(i) {
		return false
	}
	s.forget(i, at)
	s.announce(i, t, s.rows.FiguresAt(i, t))
	return true
}

// disbelieved distrusts the user of an edge that PostgreSQL goes on dismissing. The window is whole there, and has been
// above the limit since the edge was found, for whatever lowers rows has a dismissed edge forgotten: some of its rows
// are wrong. Those are at the edge or before it, and others may be up to the newest row. What is dated in the future
// stays, or PostgreSQL would be asked about every row until then, unless the edge itself lies there: then nothing else
// would take its rows away, and the edge would come back for ever.
func (s *step) disbelieved() bool {
	i, _ := s.dismissedEdge()
	if i < 0 {
		return false
	}
	t := s.in.Change.Edges[0]
	if t < s.wholeFrom(i) {
		return false
	}
	return s.distrust(max(t, min(s.rows.Newest(), s.in.Change.Row.Time)))
}

// dismissedEdge is the edge that the message is about, if it is the dismissed one of that candidate; else rule -1.
func (s *step) dismissedEdge() (rule, at int) {
	c := s.in.Change
	i := s.ruleOf(c.Rule)
	if i < 0 || len(c.Edges) != 1 {
		return -1, 0
	}
	at, known := s.edge(i, c.Edges[0])
	if !known || s.w.Rules[i].Edges[at].Cause.Offset != c.Cause ||
		s.w.Rules[i].Edges[at].Status != brimline.EdgeDismissed {
		return -1, 0
	}
	return i, at
}
