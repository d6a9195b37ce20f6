package window

import (
	"cmp"
	"slices"
	"time"

	"github.com/brimline/brimline"
)

// While a user's total is above a limit, no row makes an edge. Where rows that PostgreSQL does not have lift the
// total, its edges are hidden, and nothing that is dismissed shows it. So the window notes where rows have changed
// under such a total, and PostgreSQL is asked for the edges there: at once, and then every ten minutes at most, with
// a last question after the last change. The clock is the stage's instance, as with a distrust; it writes AskAbove.

// noteAbove notes that the message may have changed edges at a window end, or later, that the window cannot see.
func (s *step) noteAbove(t brimline.Time) {
	a := &s.w.Above
	if a.Last == 0 || t < a.From {
		a.From = t
	}
	a.Last, s.changed = s.in.Offset+1, true
	s.stir() // PostgreSQL has to have seen the change
}

// lookAbove asks PostgreSQL, unless that was done since the message was written. While questions of its kind are open
// it waits for their answers: the message comes again.
func (s *step) lookAbove() bool {
	a := &s.w.Above
	if a.Last == 0 || s.in.Change.Cause != a.Asked || s.w.Apart != (brimline.Cause{}) {
		return false
	}
	since := a.From
	*a, s.changed = brimline.Above{Asked: s.in.Offset + 1, At: s.in.At, Since: since}, true
	for i := range s.rules {
		if first := s.wholeFrom(i); since >= first {
			if _, above := s.rows.Edges(i, first, since, brimline.MaxTime); above == brimline.MaxTime {
				continue // what has come since explains it, and was decided by the window
			}
		}
		s.askAbove(i)
	}
	return true
}

// askAbove asks for the edges of rule i from the first window end that is in question on. No live row waits for that.
func (s *step) askAbove(i int) {
	since := s.w.Above.Since
	s.ask(i, since, max(since, s.rows.Newest()), brimline.MinTime)
}

// forgetAbove drops the last question when that is so long ago that it puts off no other.
func (s *step) forgetAbove() {
	a := &s.w.Above
	if a.Last == 0 && a.Asked != 0 && s.in.At >= a.At.Add(brimline.AsksAbove) && !s.asked() {
		*a, s.changed = brimline.Above{}, true
	}
}

// aboveLimit is a user of a partition about whom PostgreSQL is to be asked.
type aboveLimit struct {
	brimline.Above
	seen time.Time // by the clock, first
	told time.Time // when the fold was last told to ask
}

const (
	// mostAbove bounds those that are remembered. Who does not fit is found in the table when the others were asked about.
	mostAbove = 20_000
	// aboveAtOnce and abovePerSecond bound the questions of an instance.
	aboveAtOnce    = 1000
	abovePerSecond = 100
)

// noteAbove keeps what the table says of a user. The caller holds States.mu.
func (p *partitionStates) noteAbove(user string, a brimline.Above) {
	known, there := p.above[user]
	switch {
	case a.Last == 0 && there:
		delete(p.above, user)
		p.all.above--
	case a.Last == 0:
	case there:
		if known.Asked != a.Asked {
			known.told = time.Time{}
		}
		known.Above = a
		p.above[user] = known
	case p.all.above >= mostAbove:
		p.more = true
	default:
		p.above[user] = aboveLimit{Above: a}
		p.all.above++
	}
}

// DueAbove are messages for the changes stream, by user: PostgreSQL is to be asked about those who are above a limit.
// Nothing is asked about what came after folded, a time up to which the stream has everything: while it is behind,
// PostgreSQL knows more than it, and what it has still to bring asks again. With all set, nothing is put off.
func (s *States) DueAbove(now, folded time.Time, all bool) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.makeRoom(now)
	type candidate struct {
		of   *partitionStates
		user string
		told time.Time
		at   brimline.Time
	}
	var due []candidate
	for _, p := range s.of {
		for user, a := range p.above {
			if a.seen.IsZero() {
				a.seen = now
				p.above[user] = a
			}
			at, more := a.Next()
			if p.closed || !more || a.seen.After(folded) || now.Sub(a.told) < toldAgain || !all && at.Std().After(now) {
				continue
			}
			due = append(due, candidate{p, user, a.told, at})
		}
	}
	slices.SortFunc(due, func(a, b candidate) int { // who was told in vain comes behind who was not told yet
		return cmp.Or(a.told.Compare(b.told), cmp.Compare(a.at, b.at), cmp.Compare(a.user, b.user))
	})
	if !all {
		s.tokens = min(aboveAtOnce, s.tokens+abovePerSecond*now.Sub(s.filled).Seconds())
		s.filled = now
		due = due[:min(len(due), int(s.tokens))]
		s.tokens -= float64(len(due))
	}
	messages := map[string]any{}
	for _, d := range due {
		a := d.of.above[d.user]
		a.told = now
		d.of.above[d.user] = a
		messages[d.user] = &brimline.Change{Kind: brimline.AskAbove, User: d.user, Cause: a.Asked}
	}
	return messages
}

// makeRoom forgets those who are not due for a while, where others do not fit. They are found again in the table.
func (s *States) makeRoom(now time.Time) {
	full := false
	for _, p := range s.of {
		full = full || p.more && s.above >= mostAbove
	}
	if !full {
		return
	}
	for _, p := range s.of {
		for user, a := range p.above {
			if at, _ := a.Next(); at.Std().After(now.Add(time.Minute)) {
				delete(p.above, user)
				s.above--
				p.more = true
			}
		}
	}
}

// Above is about how many users there are about whom PostgreSQL is still to be asked because they are above a limit.
func (s *States) Above() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.of {
		if !p.closed {
			n += len(p.above)
		}
		if p.more {
			n++
		}
	}
	return n
}
