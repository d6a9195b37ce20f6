package sliding

import "github.com/brimline/brimline"

// Gauge is a rule's total of rows that enter and leave in time order.
type Gauge struct {
	rule   *Rule
	sum    brimline.Total
	counts int64
	// largest, of Max, are the weights that no later one is above, in their order: the first is the total.
	largest []brimline.Amount
	values  Values // of Distinct
}

// NewGauge is a gauge without rows.
func NewGauge(rule *Rule) *Gauge { return &Gauge{rule: rule} }

// Total is the total of the rows that have entered and not left.
func (g *Gauge) Total() brimline.Total {
	switch {
	case g.rule.Measure == brimline.Distinct:
		return g.values.Total()
	case g.rule.Measure != brimline.Max:
		return g.sum
	case len(g.largest) == 0:
		return brimline.Total{}
	}
	return g.largest[0].Total()
}

// Count is how many of the rows count.
func (g *Gauge) Count() int64 { return g.counts }

// Enter takes the next row in.
func (g *Gauge) Enter(row *brimline.Transaction) {
	w, counts := g.rule.Weigh(row)
	if counts {
		g.counts++
	}
	switch {
	case g.rule.Measure == brimline.Distinct && counts:
		g.values.Enter(g.rule.Value(row))
		return
	case g.rule.Measure != brimline.Max:
		g.sum = g.sum.AddAmount(w)
		return
	}
	n := len(g.largest)
	for n > 0 && g.largest[n-1] < w {
		n--
	}
	g.largest = append(g.largest[:n], w)
}

// Leave takes out the row that has been in for longest.
func (g *Gauge) Leave(row *brimline.Transaction) {
	w, counts := g.rule.Weigh(row)
	if counts {
		g.counts--
	}
	switch {
	case g.rule.Measure == brimline.Distinct && counts:
		g.values.Leave(g.rule.Value(row))
	case g.rule.Measure != brimline.Max:
		g.sum = g.sum.Sub(w.Total())
	case g.largest[0] == w:
		g.largest = g.largest[1:]
	}
}

// lift is a row's part of the figure that decides where the rule has edges, which crosses bar there. Of a sum that is
// the total itself. A largest amount is above the limit where the number of rows that are above it is not 0, an
// average where the sum of what the rows have more than the limit is; and a sum can be kept: a row that leaves takes
// back what it added. Of a number of different values a lift is the most that the row may add or take back.
func (r *Rule) lift(row *brimline.Transaction) (brimline.Amount, bool) {
	w, counts := r.Weigh(row)
	return r.lifted(w, counts), counts
}

// sums reports whether the lifts are what the rows add to the total, whatever other rows there are.
func (r *Rule) sums() bool {
	return !r.byLimit() && r.Measure != brimline.Distinct
}

// byLimit reports whether the lifts depend on the limit.
func (r *Rule) byLimit() bool { return r.Measure == brimline.Max || r.Measure == brimline.Avg }

func (r *Rule) lifted(w brimline.Amount, counts bool) brimline.Amount {
	switch {
	case r.Measure == brimline.Avg && counts:
		limit, fits := r.Limit.Int64()
		if !fits { // no amount is above it
			return -1
		}
		return w - brimline.Amount(limit)
	case r.Measure != brimline.Max:
		return w
	case w.Total().Cmp(r.Limit) > 0:
		return 1
	}
	return 0
}

// bar is the value that an edge's lifts cross: before the edge they are at or below it, with the edge above.
func (r *Rule) bar() brimline.Total {
	if r.byLimit() {
		return brimline.Total{}
	}
	return r.Limit
}

// fewest is with how many transactions at least a rule is above its limit.
func (r *Rule) fewest() int64 {
	if r.Measure == brimline.Avg {
		return max(1, r.MinCount)
	}
	return 0
}

// Moves reports whether a row that comes or goes may move the edges of the rule.
func (r *Rule) Moves(row *brimline.Transaction) bool {
	w, counts := r.Weigh(row)
	return w != 0 || counts && r.Measure == brimline.Avg
}
