package backtest

import (
	"math/big"
	"slices"
	"sort"

	"github.com/brimline/brimline"
)

// Step is the number of alerts for limits from Limit up to the next step's.
type Step struct {
	Limit  brimline.Total
	Alerts int64
}

// Curve is the number of alerts for every limit that a rule could have. A row time is an edge for the limits from its
// total before, which is included, up to its total, which is not.
type Curve struct {
	changes []change // sorted and merged up to sorted
	sorted  int
	full    int // length at which they are merged again
	most    int // merged ones that are kept
	lost    bool
}

type change struct {
	at brimline.Total
	by int64
}

// mostChanges bounds a curve to some 100 MB while it is made.
const mostChanges = 1 << 21

func newCurve(most int) *Curve { return &Curve{most: most, full: 1 << 12} }

// add takes the figures of one row time.
func (c *Curve) add(f brimline.Figures) {
	if c.lost || f.Before.Cmp(f.Total) >= 0 {
		return
	}
	c.changes = append(c.changes, change{f.Before, 1}, change{f.Total, -1})
	if len(c.changes) >= c.full {
		c.merge()
		c.full = max(1<<12, 2*len(c.changes))
	}
}

// merge makes one change of those at the same limit.
func (c *Curve) merge() {
	slices.SortFunc(c.changes, func(a, b change) int { return a.at.Cmp(b.at) })
	kept := c.changes[:0]
	for _, next := range c.changes {
		if n := len(kept); n > 0 && kept[n-1].at == next.at {
			kept[n-1].by += next.by
			continue
		}
		if n := len(kept); n > 0 && kept[n-1].by == 0 {
			kept = kept[:n-1]
		}
		kept = append(kept, next)
	}
	if n := len(kept); n > 0 && kept[n-1].by == 0 {
		kept = kept[:n-1]
	}
	c.changes, c.sorted = kept, len(kept)
	if len(kept) > c.most {
		c.lost, c.changes, c.sorted = true, nil, 0
	}
}

// Steps are all steps by limit; below the first there are no alerts. known is false where there are too many, and where
// c is nil.
func (c *Curve) Steps() (steps []Step, known bool) {
	if c == nil {
		return nil, false
	}
	if c.sorted < len(c.changes) {
		c.merge()
	}
	var n int64
	for _, next := range c.changes {
		n += next.by
		steps = append(steps, Step{next.at, n})
	}
	return steps, !c.lost
}

// AlertsAt is the number of alerts for a limit, given all steps.
func AlertsAt(steps []Step, limit brimline.Total) int64 {
	i := sort.Search(len(steps), func(i int) bool { return steps[i].Limit.Cmp(limit) > 0 })
	if i == 0 {
		return 0
	}
	return steps[i-1].Alerts
}

// Around is how many alerts there are with limits from half of a limit to three times as much.
func Around(steps []Step, limit brimline.Total) (around []Step) {
	for _, percent := range []int64{50, 75, 90, 100, 110, 125, 150, 200, 300} {
		part := share(limit, percent)
		if n := len(around); n == 0 || around[n-1].Limit != part {
			around = append(around, Step{part, AlertsAt(steps, part)})
		}
	}
	return around
}

// share is so many hundredths of a total, rounded down.
func share(t brimline.Total, percent int64) brimline.Total {
	n, _ := new(big.Int).SetString(t.Format(0), 10)
	n.Mul(n, big.NewInt(percent)).Div(n, big.NewInt(100))
	part, err := brimline.ParseTotal(n.String(), 0)
	if err != nil {
		return t // beyond what a total can be
	}
	return part
}

// thinned are at most so many of the steps, the first and the last among them.
func thinned(steps []Step, most int) []Step {
	if len(steps) <= most {
		return steps
	}
	some := make([]Step, most)
	for i := range some {
		some[i] = steps[i*(len(steps)-1)/(most-1)]
	}
	return some
}
