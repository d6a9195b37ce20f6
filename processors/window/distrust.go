package window

import (
	"time"

	"github.com/brimline/brimline"
)

// A user is distrusted where the window's rows are known not to be PostgreSQL's: deleted while no slot held them, lost
// with an older topic, written by a connector's mistake. The rows up to a floor are forgotten, as if the retained
// history began after it, and PostgreSQL answers for every window that reaches below, until the window has filled
// again.
//
// What is below an ordinary floor was right when it was forgotten. What is below this one never was, and PostgreSQL may
// not show yet what it will: a commit waits for a standby, a replica is behind. So the whole of it is asked about at
// once and again later (Doubt.Next), and any change to a row that may be among what was forgotten asks about all
// windows that the row may have been in. Decision 26 has the cases that each sentence here is there for.

// distrust forgets the user's rows up to a time. What was announced is remembered, but what PostgreSQL said of it was
// about other rows, and what it is saying may be.
func (s *step) distrust(upTo brimline.Time) bool {
	floor := max(upTo, s.w.Floor)
	// What lies below the retained history was right when it was forgotten.
	from := max(min(s.rows.Oldest(), floor.Add(-s.retention)), s.w.Floor.Add(time.Microsecond))
	if d := &s.w.Doubt; d.Offset != 0 {
		from, floor = min(from, d.From), max(floor, d.Floor)
	}
	said := s.in.At
	if said == 0 {
		said = s.in.Change.Row.Time
	}
	s.w.Doubt = brimline.Doubt{
		Offset: s.in.Offset + 1, Reason: s.in.Change.Reason, At: said, From: from, Floor: floor,
	}
	s.changed = true
	s.forgetUpTo(floor)
	for i := range s.rules {
		s.askDoubt(i)
		s.revise(i, brimline.MinTime, brimline.MaxTime, true, true)
	}
	return true
}

// askDoubt asks about all windows that a forgotten row may be in.
func (s *step) askDoubt(i int) {
	d := &s.w.Doubt
	s.ask(i, d.From, d.Floor.Add(s.rules[i].Reach()), d.Floor)
}

// askOnceMore is askDoubt after a while, unless the user was distrusted again since.
func (s *step) askOnceMore() bool {
	c, d := s.in.Change, &s.w.Doubt
	if d.Offset == 0 || d.Offset != c.Cause || c.Index <= d.Asked {
		return false
	}
	d.Asked, s.changed = c.Index, true
	for i := range s.rules {
		s.askDoubt(i)
	}
	return true
}

// forgotten are the first and the last time at which the row at hand may have been, where it is not held, and may be
// one that was forgotten when its user was distrusted, or comes among those.
func (s *step) forgotten() (first, last brimline.Time, any bool) {
	c, d := s.in.Change, &s.w.Doubt
	t := c.Row.Time
	switch {
	case d.Offset == 0:
	case c.Kind == brimline.Delete && t == brimline.MinTime:
		return d.From, d.Floor, true
	case c.Kind == brimline.Upsert && !c.Inserted:
		return d.From, max(d.Floor, t), true
	case d.From <= t && t <= d.Floor:
		return t, t, true
	}
	return brimline.MaxTime, brimline.MinTime, false
}

// forgetDoubt drops a doubt whose rows would not be retained any more if they had never been distrusted, or which a
// TRUNCATE has taken away.
func (s *step) forgetDoubt(horizon brimline.Time) {
	d := &s.w.Doubt
	if d.Offset == 0 || s.asked() || horizon <= d.Floor && s.w.Floor >= d.Floor {
		return
	}
	if _, more := d.Next(); !more {
		s.w.Doubt, s.changed = brimline.Doubt{}, true
	}
}
