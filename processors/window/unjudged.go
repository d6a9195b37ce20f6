package window

import (
	"slices"

	"github.com/brimline/brimline"
)

// A candidate becomes a dead letter where PostgreSQL's rows cannot be read, as a NaN cannot. Its edge is remembered as
// Unjudged, or the span of its question with the rule. Any change to rows whose windows reach there asks
// again by itself, under its own cause; so does one that was folded while the dead answer was on its way (the edge is
// Touched or Disturbed then, or the window Stirred), and `brimline deadletter retry`. While a question about an
// edge or a span is open no second one is put, so rows that come meanwhile make one dead letter more at most.

// maxSpans is how many spans of a rule are remembered apart from each other.
const maxSpans = 32

// unjudgeable takes the news that a candidate became a dead letter.
func (s *step) unjudgeable() bool {
	c := s.in.Change
	if len(c.Edges) == 2 {
		i := s.ruleOf(c.Rule)
		if i >= 0 {
			s.died(i, brimline.Span{From: c.Edges[0], Until: c.Edges[1]})
		}
		return i >= 0
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
	s.forget(i, at) // rows have come since, perhaps those that can be judged
	if e.Time < s.judgeable(i) {
		s.merge(i, brimline.Span{From: e.Time, Until: e.Time})
		s.ask(i, e.Time, e.Time)
	} else if figures := s.rows.FiguresAt(i, e.Time); figures.IsEdge(s.rules[i].Limit) {
		s.announce(i, e.Time, figures)
	}
	return true
}

// died remembers the span of a question that became a dead letter, and asks again where rows have changed since.
func (s *step) died(i int, span brimline.Span) {
	question := s.in.Change.Cause + 1
	again := s.w.Stirred.Last > question
	if n := slices.IndexFunc(s.w.Rules[i].Unjudged, func(sp brimline.Span) bool { return sp.Asked == question }); n >= 0 {
		known := s.w.Rules[i].Unjudged[n]
		again = known.Again
		span.From, span.Until = min(span.From, known.From), max(span.Until, known.Until)
		s.setSpans(i, slices.Delete(s.w.Rules[i].Unjudged, n, n+1))
	}
	if span = s.merge(i, span); again && span.Asked == 0 {
		s.ask(i, span.From, span.Until)
	}
}

// retry has what a dead letter was about judged again, unless that has been done since.
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
		if figures := s.rows.FiguresAt(i, from); from >= s.judgeable(i) && figures.IsEdge(s.rules[i].Limit) {
			s.announce(i, from, figures)
		} else {
			s.merge(i, brimline.Span{From: from, Until: from})
			s.ask(i, from, from)
		}
	}
	return changed
}

// answered notes that all questions up to c have their answers.
func (s *step) answered(c brimline.Cause) (changed bool) {
	if s.asked() && s.w.Asked.Compare(c) <= 0 {
		s.w.Asked, s.w.Reach, changed = brimline.Cause{}, 0, true
	}
	for i := range s.w.Rules {
		var left []brimline.Span
		for _, span := range s.w.Rules[i].Unjudged {
			open := brimline.Cause{Offset: span.Asked - 1, Index: lateIndex(&s.rules[i])}
			switch {
			case span.Asked == 0 || open.Compare(c) > 0:
			case !span.Again:
				changed = true
				continue
			default:
				changed = true
				s.ask(i, span.From, span.Until)
				span.Asked, span.Again = 0, false
			}
			left = append(left, span)
		}
		if changed {
			s.setSpans(i, left)
		}
	}
	s.changed = s.changed || changed
	return changed
}

// wakeSpans asks again about the spans of rule i that [from, to] touches. Those that are being asked about are asked about
// once more when the answer is there.
func (s *step) wakeSpans(i int, from, to brimline.Time) (changed bool) {
	for n, span := range s.w.Rules[i].Unjudged {
		switch {
		case span.From > to || span.Until < from:
		case span.Asked == 0:
			s.ask(i, span.From, span.Until)
			changed = true
		case !span.Again:
			s.w.Rules[i].Unjudged[n].Again = true
			changed = true
		}
	}
	s.changed = s.changed || changed
	return changed
}

// spanAsked notes a question that is about spans which could not be judged. It is remembered whole until its answer comes.
func (s *step) spanAsked(a ask) {
	if slices.ContainsFunc(s.w.Rules[a.rule].Unjudged, func(sp brimline.Span) bool { return sp.Asked == 0 && a.from <= sp.From && sp.Until <= a.until }) {
		s.merge(a.rule, brimline.Span{From: a.from, Until: a.until, Asked: s.in.Offset + 1})
	}
}

// merge puts a span among those of rule i that were not judged, as one with those that it touches, and gives what has come of it.
func (s *step) merge(i int, span brimline.Span) brimline.Span {
	var others []brimline.Span
	for _, sp := range s.w.Rules[i].Unjudged {
		if sp.From > span.Until || sp.Until < span.From {
			others = append(others, sp)
		} else {
			span = joined(span, sp)
		}
	}
	at := 0
	for at < len(others) && others[at].From < span.From {
		at++
	}
	spans := slices.Insert(others, at, span)
	if len(spans) > maxSpans {
		nearest := 1
		for n := range spans[1:] {
			if spans[n+1].From-spans[n].Until < spans[nearest].From-spans[nearest-1].Until {
				nearest = n + 1
			}
		}
		both := joined(spans[nearest], spans[nearest-1])
		spans = slices.Replace(spans, nearest-1, nearest+1, both)
		if both.From <= span.From && span.Until <= both.Until {
			span = both
		}
	}
	s.setSpans(i, spans)
	return span
}

// joined is one span for two. What only one of two open questions is about, or none, must be asked again when the newer is answered.
func joined(span, with brimline.Span) brimline.Span {
	covered := with.Asked == 0 && span.From <= with.From && with.Until <= span.Until // span may be the question about it
	one := brimline.Span{
		From: min(span.From, with.From), Until: max(span.Until, with.Until), Asked: max(span.Asked, with.Asked), Again: span.Again || with.Again,
	}
	if one.Asked != 0 && span.Asked != with.Asked && !covered {
		one.Again = true
	}
	return one
}
