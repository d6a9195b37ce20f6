// Package sliding is the arithmetic of sliding windows over one user's rows:
// pure, without clock or I/O. The definitions are those of docs/semantics.md:
// a window is closed at both ends, rows of equal time belong together.
package sliding

import (
	"errors"
	"sort"

	"github.com/brimline/brimline"
)

// ErrManyRows says of a question that it is about more rows than are read at once: it is to be asked in pieces.
var ErrManyRows = errors.New("more rows than one statement may read")

// Rule is a rule ready to be applied to rows.
type Rule struct {
	brimline.Rule
	Fingerprint uint64
	// Takes is the compiled where expression; nil takes every row. It must be
	// a pure function that is safe for concurrent use.
	Takes func(*brimline.Transaction) bool
	// Value, of the measure distinct and no other, is a row's value of the rule's column: one that can be compared, nil
	// for NULL. It needs nothing of the row but its columns, and is pure like Takes.
	Value func(*brimline.Transaction) any
}

// NeedsColumns reports whether a row's time and amount do not say what it adds.
func (r *Rule) NeedsColumns() bool { return r.Takes != nil || r.Value != nil }

// Span is the window ends of a rule at From, at To and between.
type Span struct {
	Rule     *Rule
	From, To brimline.Time
}

// Weigh gives what row adds to the rule's total, or lifts it to, and whether it is one of its transactions. With the
// measure distinct it adds 1 if no other row of the window has its value.
func (r *Rule) Weigh(row *brimline.Transaction) (brimline.Amount, bool) {
	if r.Takes != nil && !r.Takes(row) || r.Value != nil && r.Value(row) == nil {
		return 0, false
	}
	return r.Measure.Weigh(row.Amount)
}

// FiguresAt are the rule's figures at time t over rows, which are in time order.
func FiguresAt(rows []brimline.Transaction, rule *Rule, t brimline.Time) brimline.Figures {
	var f brimline.Figures
	sum := NewGauge(rule)
	for i := lowerBound(rows, t.Add(-rule.Window)); i < len(rows) && rows[i].Time <= t; i++ {
		sum.Enter(&rows[i])
		f.Total, f.Count = sum.Total(), sum.Count()
		if rows[i].Time < t {
			f.Before, f.Earlier = f.Total, f.Count
		}
	}
	if rule.Measure != brimline.Avg {
		f.Earlier = 0
	}
	return f
}

// Edge is an edge and the figures that make it one.
type Edge struct {
	Time    brimline.Time
	Figures brimline.Figures
}

// Edges are the rule's edges at row times in [from, to], in time order. The
// rows must be in time order and hold everything from from-Window on.
func Edges(rows []brimline.Transaction, rule *Rule, from, to brimline.Time) (found []Edge) {
	Walk(rows, rule, from, to, func(t brimline.Time, f brimline.Figures) {
		if rule.IsEdge(f) {
			found = append(found, Edge{t, f})
		}
	})
	return found
}

// Since is from when on edges decide whether one at from is silent. Where that cannot be bounded, it is what is to be
// tried after so many tries, and MinTime in the end.
func (r *Rule) Since(from brimline.Time, tried int) brimline.Time {
	switch {
	case !r.Rearms:
		return from.Add(-r.Quiet)
	case tried >= lookbacks:
		return brimline.MinTime
	}
	since := from
	for range 1 << (2 * tried) {
		since = since.Add(-r.Window)
	}
	return since
}

// lookbacks is how often a bounded time before an edge is tried: 1, 4, 16 and 64 windows.
const lookbacks = 4

// Alerts are the edges in [from, to] that are not silent. The rows are in time order, and hold everything from
// since-Window on, where since is as Rule.Since gives it. sure is false where that does not suffice.
func Alerts(rows []brimline.Transaction, rule *Rule, since, from, to brimline.Time) (times []brimline.Time, sure bool) {
	if !rule.Rearms {
		for _, e := range Edges(rows, rule, since, to) {
			times = append(times, e.Time)
		}
		return Loud(times, rule, from), true
	}
	arming := NewArming(rule, since, from)
	Walk(rows, rule, since, to, arming.Take)
	return arming.Alerts()
}

// Arming goes through the row times of a user, in their order, and finds the edges of a rule that rearms which are not
// silent.
type Arming struct {
	rule           *Rule
	from           brimline.Time
	armed, unknown bool
	unsure         bool
	alerts         []brimline.Time
}

// NewArming begins at the row times from since on, and looks for alerts from from on. Before all rows a rule is armed.
func NewArming(rule *Rule, since, from brimline.Time) *Arming {
	return &Arming{rule: rule, from: from, armed: since == brimline.MinTime, unknown: since != brimline.MinTime}
}

// Take takes the figures of the next row time.
func (a *Arming) Take(t brimline.Time, f brimline.Figures) {
	if f.Before.Cmp(a.rule.Rearm) <= 0 {
		a.armed, a.unknown = true, false
	}
	if f.Total.Cmp(a.rule.Limit) <= 0 {
		return
	}
	switch {
	case t < a.from || f.Before.Cmp(a.rule.Limit) > 0:
	case a.unknown:
		a.unsure = true
	case a.armed:
		a.alerts = append(a.alerts, t)
	}
	a.armed, a.unknown = false, false
}

// Alerts are those found so far; sure is false where what came before since decides.
func (a *Arming) Alerts() (times []brimline.Time, sure bool) { return a.alerts, !a.unsure }

// Loud are those of a rule's edges at from and later that are not silent. They are in time order, and none from
// from-Quiet on may be left out.
func Loud(edges []brimline.Time, rule *Rule, from brimline.Time) []brimline.Time {
	at := sort.Search(len(edges), func(i int) bool { return edges[i] >= from })
	if rule.Quiet == 0 {
		return edges[at:]
	}
	var loud []brimline.Time
	for i := at; i < len(edges); i++ {
		if i == 0 || edges[i-1] < edges[i].Add(-rule.Quiet) {
			loud = append(loud, edges[i])
		}
	}
	return loud
}

// Walk gives the rule's figures at each row time in [from, to], in time order; of the rows holds what Edges says.
func Walk(
	rows []brimline.Transaction, rule *Rule, from, to brimline.Time, each func(brimline.Time, brimline.Figures),
) {
	var (
		sum  = NewGauge(rule) // over [low, high)
		low  = lowerBound(rows, from.Add(-rule.Window))
		high = low
	)
	enter := func() {
		sum.Enter(&rows[high])
		high++
	}
	leave := func() {
		sum.Leave(&rows[low])
		low++
	}
	for high < len(rows) && rows[high].Time < from {
		enter()
	}
	for high < len(rows) && rows[high].Time <= to {
		t := rows[high].Time
		for start := t.Add(-rule.Window); rows[low].Time < start; {
			leave()
		}
		before, earlier := sum.Total(), int64(0)
		if rule.Measure == brimline.Avg {
			earlier = sum.Count()
		}
		for high < len(rows) && rows[high].Time == t {
			enter()
		}
		each(t, brimline.Figures{Before: before, Total: sum.Total(), Count: sum.Count(), Earlier: earlier})
	}
}

// Newest are the newest n transactions of the rule's window that ends at t, newest first.
func Newest(rows []brimline.Transaction, rule *Rule, t brimline.Time, n int) []brimline.Transaction {
	var out []brimline.Transaction
	start := t.Add(-rule.Window)
	for i := upperBound(rows, t) - 1; i >= 0 && rows[i].Time >= start && len(out) < n; i-- {
		if _, counts := rule.Weigh(&rows[i]); counts {
			out = append(out, rows[i])
		}
	}
	return out
}

func lowerBound(rows []brimline.Transaction, t brimline.Time) int {
	return sort.Search(len(rows), func(i int) bool { return rows[i].Time >= t })
}

func upperBound(rows []brimline.Transaction, t brimline.Time) int {
	return sort.Search(len(rows), func(i int) bool { return rows[i].Time > t })
}
