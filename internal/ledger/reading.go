package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/postgres"
	"github.com/brimline/brimline/internal/sliding"
)

// reading is one try of a question in pieces. All its statements see the same rows.
type reading struct {
	q        *Long
	ctx      context.Context
	snapshot *postgres.Snapshot
	user     string
	rule     *sliding.Rule
	as       *layout
	sizes    sizes
	end      time.Time // after which no further statement is sent
	edges    []brimline.Time
	arming   *sliding.Arming // of a rule that rearms
}

func (r *reading) read(sql string, args []any, take func(pgx.Rows) error) error {
	if time.Now().After(r.end) {
		return errTooLong
	}
	if err := r.q.l.pause(r.snapshot); err != nil {
		return err
	}
	return r.snapshot.Read(r.ctx, sql, args, take)
}

// total is the sum of rows as PostgreSQL writes it: their sum may have more decimals than it will have in the end.
type total struct {
	text  string
	count int64
}

// part is PostgreSQL's answer about the first rows of a span.
type part struct {
	rows, counts int64
	total        string // with what was there before
	negative     string // what the negative weights add up to
	first, last  instant
	bad          *string // an amount that cannot be taken
}

// part sums up the next rows from lo to hi, and adds them to a total.
func (r *reading) part(to string, lo, hi brimline.Time, most int) (p part, err error) {
	sql, err := figures(&r.as.sql.pieces, r.rule.Measure)
	if err != nil {
		return p, err
	}
	into := []any{&p.rows, &p.counts, &p.total, &p.negative, &p.first, &p.last, &p.bad}
	err = r.read(sql, []any{r.user, lowest(lo), highest(hi), most, to}, func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, into, func() error { return nil })
		return err
	})
	return p, err
}

// exact fails where a row's amount cannot be taken, although the sums may hide it.
func (r *reading) exact(p *part) error {
	if p.bad == nil {
		return nil
	}
	_, err := r.q.l.amount(*p.bad)
	return err
}

// add adds the rows from lo to hi. Exactly says that each amount must be one that can be taken.
func (r *reading) add(sum *total, lo, hi brimline.Time, exactly bool) error {
	if r.rule.NeedsColumns() {
		return r.addTaken(sum, lo, hi)
	}
	for lo <= hi {
		p, err := r.part(sum.text, lo, hi, r.sizes.piece)
		if err != nil {
			return err
		}
		if exactly {
			if err := r.exact(&p); err != nil {
				return err
			}
		}
		sum.text, sum.count = p.total, sum.count+p.counts
		if p.rows < int64(r.sizes.piece) || p.last.at >= hi {
			return nil
		}
		lo = p.last.at + 1
	}
	return nil
}

func (r *reading) addTaken(sum *total, lo, hi brimline.Time) error {
	scale := r.rule.Measure.Scale(r.q.l.o.Scale)
	all, err := r.q.l.total(sum.text, scale)
	if err != nil {
		return err
	}
	rows := r.sift(lo, hi)
	for {
		m, err := rows.next()
		if err != nil {
			return err
		}
		if m == nil {
			sum.text = all.Format(scale)
			return nil
		}
		all, sum.count = r.rule.Measure.Join(all, m.weight), sum.count+m.counts
	}
}

// figures are those at a time.
func (r *reading) figures(at brimline.Time) (f brimline.Figures, err error) {
	if r.rule.Value != nil {
		return r.values(at)
	}
	scale := r.rule.Measure.Scale(r.q.l.o.Scale)
	sum := total{text: "0"}
	if at > brimline.MinTime {
		if err := r.add(&sum, at.Add(-r.rule.Window), at-1, false); err != nil {
			return f, err
		}
	}
	if f.Before, err = r.q.l.total(sum.text, scale); err != nil {
		return f, err
	}
	if r.rule.Measure == brimline.Avg {
		f.Earlier = sum.count
	}
	if err := r.add(&sum, at, at, false); err != nil {
		return f, err
	}
	f.Count = sum.count
	f.Total, err = r.q.l.total(sum.text, scale)
	return f, err
}

// values is figures of the measure distinct.
func (r *reading) values(at brimline.Time) (f brimline.Figures, err error) {
	inside := content{rule: r.rule}
	for rows := r.sift(at.Add(-r.rule.Window), at); ; {
		m, err := rows.next()
		if err != nil || m == nil {
			f.Total, f.Count = inside.total(), inside.counts
			return f, err
		}
		inside.take(m, 1)
		if m.at < at {
			f.Before = inside.total()
		}
	}
}

// alerts are the edges in [from, to] that are not silent.
func (r *reading) alerts(from, to brimline.Time) ([]brimline.Time, error) {
	if !r.rule.Rearms {
		r.edges = nil
		err := r.look(r.rule.Since(from, 0), to)
		return sliding.Loud(r.edges, r.rule, from), err
	}
	for tried := 0; ; tried++ {
		since := r.rule.Since(from, tried)
		start := since.Add(-r.rule.Window)
		r.arming = sliding.NewArming(r.rule, since, from)
		if err := r.walk(brimline.Total{}, since, r.sift(start, to), r.sift(start, to)); err != nil {
			return nil, err
		}
		if alerts, sure := r.arming.Alerts(); sure {
			return alerts, nil
		}
	}
}

// look finds the edges in [from, to].
func (r *reading) look(from, to brimline.Time) error {
	start := from.Add(-r.rule.Window)
	// No sum of many rows tells of a condition, a maximum, an average or of different values.
	if r.rule.NeedsColumns() || r.rule.Measure == brimline.Max || r.rule.Measure == brimline.Avg {
		return r.walk(brimline.Total{}, from, r.sift(start, to), r.sift(start, to))
	}
	sum := total{text: "0"}
	if from > brimline.MinTime {
		if err := r.add(&sum, start, from-1, true); err != nil {
			return err
		}
	}
	scale := r.rule.Measure.Scale(r.q.l.o.Scale)
	inside, err := r.q.l.total(sum.text, scale) // the sum over the rows from start to before from
	if err != nil {
		return err
	}
	for from <= to {
		come, err := r.part("0", from, to, r.sizes.span)
		if err != nil {
			return err
		}
		if come.rows == 0 {
			return nil
		}
		if err := r.exact(&come); err != nil {
			return err
		}
		up, down, err := r.bounds(&come)
		if err != nil {
			return err
		}
		// Rows that leave before the first of them comes, and those that leave until the last one.
		first, last := come.first.at, come.last.at
		leave := first.Add(-r.rule.Window)
		gone, _, err := r.span(start, leave)
		if err != nil {
			return err
		}
		inside = inside.Sub(gone)
		left, fallen, err := r.span(leave, last.Add(-r.rule.Window))
		if err != nil {
			return err
		}
		most, least := inside.Add(up).Sub(fallen), inside.Add(down).Sub(left.Sub(fallen))
		if least.Cmp(r.rule.Limit) <= 0 && most.Cmp(r.rule.Limit) > 0 {
			err := r.walk(inside, first, r.sift(first, last), r.sift(leave, last.Add(-r.rule.Window)))
			if err != nil {
				return err
			}
		}
		inside = inside.Add(up).Add(down).Sub(left)
		start = last.Add(-r.rule.Window)
		if come.rows < int64(r.sizes.span) || last >= to {
			return nil
		}
		from = last + 1
	}
	return nil
}

// bounds are the sums of the positive and of the negative weights of rows.
func (r *reading) bounds(p *part) (up, down brimline.Total, err error) {
	scale := r.rule.Measure.Scale(r.q.l.o.Scale)
	if down, err = r.q.l.total(p.negative, scale); err != nil {
		return up, down, err
	}
	all, err := r.q.l.total(p.total, scale)
	return all.Sub(down), down, err
}

// span gives the sum of the rows from lo to before end, and of the negative ones among them.
func (r *reading) span(lo, end brimline.Time) (all, negative brimline.Total, err error) {
	for lo < end {
		p, err := r.part("0", lo, end-1, r.sizes.piece)
		if err != nil {
			return all, negative, err
		}
		up, down, err := r.bounds(&p)
		if err != nil {
			return all, negative, err
		}
		all, negative = all.Add(up).Add(down), negative.Add(down)
		if p.rows < int64(r.sizes.piece) {
			break
		}
		lo = p.last.at + 1
	}
	return all, negative, nil
}

// walk goes from row to row: of those that come, the ones from a time on may be edges.
func (r *reading) walk(before brimline.Total, from brimline.Time, come, leave *sifter) error {
	inside := content{rule: r.rule, sum: before}
	for {
		m, err := come.next()
		if err != nil || m == nil {
			return err
		}
		for start := m.at.Add(-r.rule.Window); ; {
			gone, err := leave.nextBefore(start)
			if err != nil {
				return err
			}
			if gone == nil {
				break
			}
			inside.take(gone, -1)
		}
		f := brimline.Figures{Before: inside.total(), Earlier: inside.counts}
		inside.take(m, 1)
		f.Total, f.Count = inside.total(), inside.counts
		if r.arming != nil && m.at >= from {
			r.arming.Take(m.at, f)
		}
		if r.arming != nil || m.at < from || !r.rule.IsEdge(f) {
			continue
		}
		if len(r.edges) == mostEdges {
			return &brimline.Error{
				Class: brimline.ClassInput, Kind: kindManyEdges, Where: r.q.l.where,
				Remedy: "give the rule a limit that the user's total does not go over all the time, or leave the user out of it",
				Err:    fmt.Errorf("user %s has more than %d edges of rule %s from %v on", r.user, mostEdges, r.rule.ID, from),
			}
		}
		r.edges = append(r.edges, m.at)
	}
}

// moment is the sum of the rows of one time.
type moment struct {
	at     brimline.Time
	weight brimline.Total
	counts int64
	values []any // of the rows that count, with the measure distinct
}

// sifter reads the rows of a span, some thousand at a time, and keeps what they add.
type sifter struct {
	r      *reading
	lo, hi brimline.Time
	over   bool // nothing more is to be read
	ahead  []moment
	buffer []moment
}

func (r *reading) sift(lo, hi brimline.Time) *sifter { return &sifter{r: r, lo: lo, hi: hi} }

// next gives the next moment, nil at the end. It is good until the one after it is asked for.
func (m *sifter) next() (*moment, error) {
	for len(m.ahead) == 0 {
		if m.over || m.lo > m.hi {
			return nil, nil
		}
		if err := m.page(); err != nil {
			return nil, err
		}
	}
	next := &m.ahead[0]
	m.ahead = m.ahead[1:]
	return next, nil
}

// nextBefore gives the next moment, nil where that is not before end.
func (m *sifter) nextBefore(end brimline.Time) (*moment, error) {
	if len(m.ahead) == 0 && m.lo >= end {
		return nil, nil
	}
	next, err := m.next()
	if err != nil || next == nil || next.at < end {
		return next, err
	}
	m.ahead = m.buffer[len(m.buffer)-len(m.ahead)-1:] // it is not taken
	return nil, nil
}

// page reads the next rows.
func (m *sifter) page() error {
	r := m.r
	_, page, newScan := r.q.l.rowsOf(r.user, r.rule)
	sql, err := page(&r.as.sql)
	if err != nil {
		return err
	}
	m.buffer = m.buffer[:0]
	read, last := 0, m.lo
	err = r.read(sql, []any{r.user, lowest(m.lo), highest(m.hi), r.sizes.page}, func(rows pgx.Rows) error {
		for scan := newScan(r.as); rows.Next(); read++ {
			row, err := scan(rows)
			if err != nil {
				return err
			}
			last = row.Time
			if r.rule.Takes != nil && !r.rule.Takes(&row) {
				continue
			}
			weight, counts := r.rule.Measure.Weigh(row.Amount)
			var value any
			if r.rule.Value != nil {
				value = r.rule.Value(&row)
				counts = value != nil
			}
			if n := len(m.buffer); n == 0 || m.buffer[n-1].at != row.Time {
				m.buffer = append(m.buffer, moment{at: row.Time})
			}
			of := &m.buffer[len(m.buffer)-1]
			of.weight = r.rule.Measure.Join(of.weight, weight.Total())
			if value != nil {
				of.values = append(of.values, value)
			}
			if counts {
				of.counts++
			}
		}
		return nil
	})
	m.ahead, m.over = m.buffer, read < r.sizes.page || last >= m.hi
	m.lo = last + 1
	return err
}

// content sums up the rows of a window, as far as it decides edges. Of a largest amount it is how many moments
// are above the limit, and how many others above the rearm: that takes no room however many rows there are. Of
// different values it is all of them.
type content struct {
	rule           *sliding.Rule
	sum            brimline.Total
	counts         int64
	above, between int
	values         sliding.Values
}

// take takes what a moment adds, or with n -1 takes that back.
func (c *content) take(m *moment, n int) {
	c.counts += int64(n) * m.counts
	switch weight := m.weight; {
	case c.rule.Value != nil:
		for _, v := range m.values {
			if n > 0 {
				c.values.Enter(v)
			} else {
				c.values.Leave(v)
			}
		}
	case c.rule.Measure != brimline.Max && n > 0:
		c.sum = c.sum.Add(weight)
	case c.rule.Measure != brimline.Max:
		c.sum = c.sum.Sub(weight)
	case weight.Cmp(c.rule.Limit) > 0:
		c.above += n
	case weight.Cmp(c.rule.Rearm) > 0:
		c.between += n
	}
}

// total is the total, or one that stands to limit and rearm as the total does.
func (c *content) total() brimline.Total {
	switch {
	case c.rule.Value != nil:
		return c.values.Total()
	case c.rule.Measure != brimline.Max:
		return c.sum
	case c.above > 0:
		return c.rule.Limit.Add(brimline.Count(1))
	case c.between > 0:
		return c.rule.Limit
	}
	return brimline.Total{}
}
