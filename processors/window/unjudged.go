package window

import (
	"cmp"
	"slices"

	"github.com/brimline/brimline"
)

// A candidate becomes a dead letter where PostgreSQL's rows cannot be read, as a NaN cannot. Its edge is remembered as
// Unjudged, or the span of its question with the rule. Any change to rows whose windows reach there asks
// again by itself, under its own cause; so does one that was folded while the dead answer was on its way (the edge is
// Touched or Disturbed then, or the window Stirred), and `brimline deadletter retry`. While a question about an
// edge or a span is open no second one is put, so rows that come meanwhile make one dead letter more at most.

// maxSpans is how many spans of a rule are remembered apart from each other, maxSpansOfAll of all rules together, one
// of each rule at least: they are in every value of the user.
const (
	maxSpans      = 32
	maxSpansOfAll = 4096
)

// unjudgeable takes the news that a candidate became a dead letter.
func (s *step) unjudgeable() bool {
	c := s.in.Change
	i := s.ruleOf(c.Rule)
	switch {
	case i < 0 || len(c.Edges) == 0:
		return false
	case s.isQuiet(i, c.Edges[len(c.Edges)-1]) &&
		!slices.ContainsFunc(s.w.Rules[i].Unjudged, func(sp brimline.Span) bool { return sp.Asked == c.Cause+1 }):
		return false // no edge up to there is announced, nor does anything wait for the answer
	case len(c.Edges) == 2:
		s.died(i, brimline.Span{From: c.Edges[0], Until: c.Edges[1]})
		return true
	}
	t := c.Edges[0]
	if _, known := s.edge(i, t); !known { // forgotten meanwhile, with the user or by its age
		return s.diedUnknown(i, t)
	}
	i, at := s.answeredEdge()
	if i < 0 {
		return false
	}
	e := s.w.Rules[i].Edges[at]
	if e.Status == brimline.Announced {
		e.Status = brimline.Unjudged
		s.setEdge(i, e)
		return true
	}
	s.forget(i, at) // rows have come since, perhaps those that can be decided
	if t < s.wholeFrom(i) {
		s.askSpan(i, brimline.Span{From: t, Until: t})
	} else if figures := s.rows.FiguresAt(i, t); s.rules[i].IsEdge(figures) {
		s.announce(i, t, figures)
	}
	return true
}

// diedUnknown takes up the dead candidate of an edge that is not known any more.
func (s *step) diedUnknown(i int, t brimline.Time) bool {
	if t < s.wholeFrom(i) {
		s.died(i, brimline.Span{From: t, Until: t})
		return true
	}
	figures := s.rows.FiguresAt(i, t)
	if s.rules[i].IsEdge(figures) {
		s.announce(i, t, figures)
	}
	return len(s.out) > 0
}

// died remembers the span of a question that became a dead letter, and asks again where rows have changed since.
func (s *step) died(i int, span brimline.Span) {
	question := s.in.Change.Cause + 1
	again := s.w.Stirred.Last > question
	if n := slices.IndexFunc(s.w.Rules[i].Unjudged,
		func(sp brimline.Span) bool { return sp.Asked == question }); n >= 0 {
		known := s.w.Rules[i].Unjudged[n]
		again = known.Again
		span.From, span.Until = min(span.From, known.From), max(span.Until, known.Until)
		s.setSpans(i, slices.Delete(slices.Clone(s.w.Rules[i].Unjudged), n, n+1))
	}
	if again {
		s.askSpan(i, span)
	} else {
		s.merge(i, span)
	}
}

// askSpan remembers a span that was not decided and asks about it, now or later.
func (s *step) askSpan(i int, span brimline.Span) { s.askMerged(i, s.merge(i, span)) }

func (s *step) askMerged(i int, span brimline.Span) {
	if span.Asked == 0 && !s.askLater(i, span) {
		s.ask(i, span.From, span.Until, span.Until)
	}
}

// askLater says whether a question about a part of a span is open. Then that is put once more after its answer, and
// the span with it.
func (s *step) askLater(i int, span brimline.Span) (later bool) {
	for n := range s.w.Rules[i].Unjudged {
		if other := &s.w.Rules[i].Unjudged[n]; other.Asked != 0 && other.From <= span.Until &&
			span.From <= other.Until {
			later, s.changed = true, s.changed || !other.Again
			other.Again = true
		}
	}
	return later
}

// retry has what a dead letter was about decided again, unless that has been done since.
func (s *step) retry() bool {
	c := s.in.Change
	i := s.ruleOf(c.Rule)
	if i < 0 || len(c.Edges) == 0 {
		return false
	}
	from, until := c.Edges[0], c.Edges[len(c.Edges)-1]
	changed := s.wakeSpans(i, from, until)
	if at, known := s.edge(i, from); len(c.Edges) == 1 && known && s.w.Rules[i].Edges[at].Status == brimline.Unjudged {
		changed = true
		s.forget(i, at)
		if figures := s.rows.FiguresAt(i, from); from >= s.wholeFrom(i) && s.rules[i].IsEdge(figures) {
			s.announce(i, from, figures)
		} else {
			s.askSpan(i, brimline.Span{From: from, Until: from})
		}
	}
	return changed
}

// answered notes that all questions up to c have their answers, of those that travel apart or of the others.
func (s *step) answered(c brimline.Cause, apart bool) (changed bool) {
	if mark := s.open(apart); *mark != (brimline.Cause{}) && mark.Compare(c) <= 0 {
		if *mark, changed = (brimline.Cause{}), true; !s.asked() {
			s.w.Reach = 0
		}
	}
	for i := range s.w.Rules {
		var left, again []brimline.Span
		for _, span := range s.w.Rules[i].Unjudged {
			open := brimline.Cause{Offset: span.Asked - 1, Index: lateIndex(&s.rules[i])}
			switch {
			case span.Asked == 0 || span.Apart != apart || open.Compare(c) > 0:
				left = append(left, span)
			case span.Again:
				again = append(again, brimline.Span{From: span.From, Until: span.Until})
			}
		}
		if len(left) == len(s.w.Rules[i].Unjudged) {
			continue
		}
		changed = true
		s.setSpans(i, left)
		for _, span := range again {
			s.merge(i, span)
		}
		for _, now := range slices.Clone(s.w.Rules[i].Unjudged) { // each of them is within one by now
			if slices.ContainsFunc(again, func(sp brimline.Span) bool {
				return now.From <= sp.From && sp.Until <= now.Until
			}) {
				s.askMerged(i, now)
			}
		}
	}
	s.changed = s.changed || changed
	return changed
}

// wakeSpans asks again about the spans of rule i that [from, to] touches. It gives whether there are any.
func (s *step) wakeSpans(i int, from, to brimline.Time) (any bool) {
	for n, span := range s.w.Rules[i].Unjudged {
		switch {
		case span.From > to || span.Until < from:
			continue
		case span.Asked != 0:
			s.changed = s.changed || !span.Again
			s.w.Rules[i].Unjudged[n].Again = true
		case !s.askLater(i, span):
			s.ask(i, span.From, span.Until, span.Until)
		}
		any = true
	}
	return any
}

// spanAsked notes a question that is about spans which could not be decided. It is remembered whole, until its answer
// comes.
func (s *step) spanAsked(a ask, apart bool) {
	known := s.w.Rules[a.rule].Unjudged
	others := slices.DeleteFunc(slices.Clone(known),
		func(sp brimline.Span) bool { return sp.Asked == 0 && a.from <= sp.From && sp.Until <= a.until })
	if len(others) < len(known) {
		s.putSpan(a.rule, others,
			brimline.Span{From: a.from, Until: a.until, Asked: s.in.Offset + 1, Apart: apart})
	}
}

// merge puts a span among those of rule i that were not decided, as one with those that it touches, and gives what has
// come of it. Those that are being asked about stay as they are.
func (s *step) merge(i int, span brimline.Span) brimline.Span {
	var others []brimline.Span
	for _, sp := range s.w.Rules[i].Unjudged {
		if sp.Asked != 0 || sp.From > span.Until || sp.Until < span.From {
			others = append(others, sp)
		} else {
			span = joined(span, sp)
		}
	}
	return s.putSpan(i, others, span)
}

// putSpan says that these are the spans of rule i, and gives the last, or what it has become one with: where there
// are too many, the nearest two are taken for one.
func (s *step) putSpan(i int, others []brimline.Span, span brimline.Span) brimline.Span {
	at, _ := slices.BinarySearchFunc(others, span, func(a, b brimline.Span) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.Until, b.Until))
	})
	spans := slices.Insert(others, at, span)
	if len(spans) > max(1, min(maxSpans, maxSpansOfAll/len(s.rules))) {
		nearest := 1
		for n := 2; n < len(spans); n++ {
			if apart(spans[n-1], spans[n]) < apart(spans[nearest-1], spans[nearest]) {
				nearest = n
			}
		}
		both := joined(spans[nearest-1], spans[nearest])
		if nearest == at || nearest-1 == at {
			span = both
		}
		spans = slices.Replace(spans, nearest-1, nearest+1, both)
	}
	s.setSpans(i, spans)
	return span
}

// apart is how far two spans are from each other. Those of open questions are as far as can be.
func apart(a, b brimline.Span) brimline.Time {
	if a.Asked != 0 || b.Asked != 0 {
		return brimline.MaxTime
	}
	return b.From - a.Until
}

// joined is one span for two. Where a question is open about one of them, its answer will not be enough.
func joined(a, b brimline.Span) brimline.Span {
	newer := a
	if b.Asked > a.Asked {
		newer = b
	}
	return brimline.Span{
		From: min(a.From, b.From), Until: max(a.Until, b.Until), Asked: newer.Asked,
		Again: a.Again || b.Again || a.Asked != b.Asked, Apart: newer.Apart,
	}
}
