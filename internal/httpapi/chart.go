package httpapi

import (
	"strconv"
	"strings"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/present"
	"github.com/brimline/brimline/views"
)

// The charts' own units; the page stretches them. All positions are integers
// computed from exact totals.
const (
	chartWidth  = 1000
	chartHeight = 160
	barWidth    = 1000
)

// chart is the course of a rule's total over two windows.
type chart struct {
	Line  string // SVG path of the total
	Area  string // the same, closed at zero
	Limit int    // y of the limit
	Now   int    // x of now, -1 when it is not in the chart
	Ahead bool   // the chart goes on beyond now
	Edges []mark
	From  brimline.Time
	To    brimline.Time
	Peak  string // the highest total shown, formatted
	Rows  string // SVG path of the transactions that count, each as high as it is large
	Count int    // of them
}

type mark struct {
	X    int
	Time brimline.Time
}

// chartOf draws rule i of u, nil when there is nothing to draw. It shows two windows, and ahead of now the next one, in
// which all that counts now leaves; when the user's last row is older than a window, it ends where that row leaves. Of
// an average there is no course: the limit is no line beside its sum.
func chartOf(u *views.User, i int) *chart {
	f := &u.Rules[i]
	if len(u.Rows) == 0 || f.Rule.Measure == brimline.Avg {
		return nil
	}
	from, to := u.Now.Add(-2*f.Rule.Window), u.Now.Add(f.Rule.Window)
	if newest := u.Rows[len(u.Rows)-1].Time; newest > u.Now || newest.Add(f.Rule.Window) < u.Now {
		to = newest.Add(f.Rule.Window / 8)
		from = to.Add(-2 * f.Rule.Window)
	}
	points := u.Course(i, from, to)
	if len(points) == 0 {
		return nil
	}
	top, bottom := f.Rule.Limit, brimline.Total{}
	peak := points[0].Total
	for _, p := range points {
		if p.Total.Cmp(peak) > 0 {
			peak = p.Total
		}
		if p.Total.Cmp(bottom) < 0 {
			bottom = p.Total
		}
	}
	if peak.Cmp(top) > 0 {
		top = peak
	}
	if peak.Sign() == 0 && bottom.Sign() == 0 {
		return nil
	}
	y := func(t brimline.Total) int {
		// An eighth is left free above.
		return chartHeight - present.Scaled(t.Sub(bottom), top.Sub(bottom), chartHeight*7/8)
	}
	x := func(t brimline.Time) int {
		return present.Scaled(brimline.Count(int64(t-from)), brimline.Count(int64(to-from)), chartWidth)
	}
	c := &chart{Limit: y(f.Rule.Limit), Now: -1, From: from, To: to, Peak: present.Amount("", peak.Format(f.Scale))}
	if u.Now >= from && u.Now <= to {
		c.Now, c.Ahead = x(u.Now), u.Now < to
	}
	for _, e := range f.Edges {
		if e.Status == brimline.EdgeDismissed || e.Status == brimline.Unjudged { // no alert was sent
			continue
		}
		if e.Time >= from && e.Time <= to {
			c.Edges = append(c.Edges, mark{x(e.Time), e.Time})
		}
	}
	c.Rows, c.Count = ticks(u, i, from, to, x)
	c.Line = steps(points, x, y)
	zero := strconv.Itoa(y(brimline.Total{}))
	c.Area = c.Line + "V" + zero + "H0Z"
	return c
}

// tickHeight is that of the largest transaction shown.
const tickHeight = 26

// ticks draws the transactions that count for rule i, the largest for each unit of width.
func ticks(u *views.User, i int, from, to brimline.Time, x func(brimline.Time) int) (path string, n int) {
	var largest [chartWidth + 1]brimline.Total
	var most brimline.Total
	for r := range u.Rows {
		row := &u.Rows[r]
		if row.Time < from || row.Time > to || !u.Counts(i, row) {
			continue
		}
		n++
		size := row.Amount.Total()
		if size.Sign() < 0 {
			size = brimline.Total{}.Sub(size)
		}
		if u.Rules[i].Rule.Measure.Counts() || size.Sign() == 0 {
			size = brimline.Count(1)
		}
		at := &largest[x(row.Time)]
		if size.Cmp(*at) > 0 {
			*at = size
		}
		if size.Cmp(most) > 0 {
			most = size
		}
	}
	var b strings.Builder
	for at, size := range largest {
		if size.Sign() > 0 {
			high := max(3, present.Scaled(size, most, tickHeight))
			b.WriteString("M" + strconv.Itoa(at) + " " + strconv.Itoa(tickHeight) + "v-" + strconv.Itoa(high))
		}
	}
	return b.String(), n
}

// mostLeaving is how many of the times ahead are written out.
const mostLeaving = 4

// leavingOf gives the next times at which the total of rule i changes if nothing more comes, and the one from which it
// is at or below the limit.
func leavingOf(u *views.User, i int) (all []leaving) {
	f := &u.Rules[i]
	if f.Rule.Measure == brimline.Avg {
		return nil
	}
	above := f.Above()
	points := u.Course(i, u.Now, u.Now.Add(f.Rule.Window).Add(time.Microsecond))
	for _, p := range points[min(1, len(points)):] {
		below := above && p.Total.Cmp(f.Rule.Limit) <= 0
		if len(all) >= mostLeaving && !below {
			continue
		}
		all = append(all, leaving{p.Time, present.Amount("", p.Total.Format(f.Scale)), below})
		if below {
			above = false
		}
		if len(all) >= mostLeaving && !above {
			break
		}
	}
	return all
}

// steps draws points as stairs, at most a rise and a fall per unit of width:
// of the points that share one, the highest and the last are drawn.
func steps(points []views.Point, x func(brimline.Time) int, y func(brimline.Total) int) string {
	var b strings.Builder
	b.WriteString("M0 " + strconv.Itoa(y(points[0].Total)))
	for i := 1; i < len(points); {
		at := x(points[i].Time)
		highest, last := y(points[i].Total), y(points[i].Total)
		for i++; i < len(points) && x(points[i].Time) == at; i++ {
			last = y(points[i].Total)
			highest = min(highest, last)
		}
		b.WriteString("H" + strconv.Itoa(at) + "V" + strconv.Itoa(highest))
		if last != highest {
			b.WriteString("V" + strconv.Itoa(last))
		}
	}
	b.WriteString("H" + strconv.Itoa(chartWidth))
	return b.String()
}

// bar shows a total against its limit, which stands at four fifths unless the total is beyond the end.
type bar struct {
	Fill  int // width of the total
	Limit int // x of the limit
}

func barOf(f *views.RuleFigures) bar {
	limit, total := f.Rule.Limit, f.At.Total
	if limit.Sign() <= 0 {
		return bar{Fill: present.Scaled(total, total, barWidth)}
	}
	at := barWidth * 4 / 5
	if fill := present.Scaled(total, limit, at); fill <= barWidth {
		return bar{Fill: max(0, fill), Limit: at}
	}
	return bar{Fill: barWidth, Limit: present.Scaled(limit, total, barWidth)}
}

// percent is total/limit in whole percent, cut off; -1 for a limit that is not above zero.
func percent(f *views.RuleFigures) int {
	if f.Rule.Limit.Sign() <= 0 {
		return -1
	}
	return present.Scaled(f.At.Total, f.Rule.Limit, 100)
}
