package sliding

import (
	"slices"

	"github.com/brimline/brimline"
)

// Plan is a set of rules as histories go through it. Rules whose figures are the same share a line: the figures are
// made once, and compared with the limit of each. A condition that several rules have is evaluated once for a row.
//
// It is not changed, and so is safe for concurrent use.
type Plan struct {
	rules []Rule
	lines []line
	of    []int // of each rule its line
	bound []bound
	// lowest are, of all rules bounded by amounts and by rows, the lowest limits; all says that there are no others.
	lowest [rowsBound + 1]brimline.Total
	some   [rowsBound + 1]bool
	all    bool
	wheres int // different conditions
}

// line has the figures of all rules with one measure, window, column and condition, and one limit where their lifts
// depend on that.
type line struct {
	rule   *Rule // one of them, or one for which there is no rule
	where  int   // the number of the condition; -1 for none
	cover  int   // the line of all rows, whose totals no total of this one is above; -1 where it has none, or is one
	shared bool
}

// bound names a figure that a rule's totals are never above.
type bound uint8

const (
	noBound      bound = iota
	amountsBound       // the sum of all rows' |amount|
	rowsBound          // the number of the rows
)

// bounds says what the totals of a measure are never above, whatever the window and the condition: of Avg, where it is
// above its limit, that too. A measure that is not named has no bound, and is always looked at.
func bounds(m brimline.Measure) bound {
	switch m {
	case brimline.SumAbs, brimline.Sum, brimline.SumIn, brimline.SumOut, brimline.Max, brimline.Avg:
		return amountsBound
	case brimline.CountAll, brimline.Distinct:
		return rowsBound
	}
	return noBound
}

// NewPlan makes a plan of rules, which must not be changed afterwards.
func NewPlan(rules []Rule) *Plan {
	p := &Plan{rules: rules, of: make([]int, len(rules)), bound: make([]bound, len(rules)), all: true}
	names := map[string]int{}
	for i := range rules {
		rule := &rules[i]
		p.bound[i] = bounds(rule.Measure)
		p.all = p.all && p.bound[i] != noBound
		if b := p.bound[i]; !p.some[b] || rule.Limit.Cmp(p.lowest[b]) < 0 {
			p.lowest[b], p.some[b] = rule.Limit, true
		}
		p.of[i] = p.line(rule, p.where(rule, names))
	}
	return p
}

// where numbers a rule's condition. One without a text is told from all others.
func (p *Plan) where(rule *Rule, names map[string]int) int {
	if rule.Takes == nil {
		return -1
	}
	if n, known := names[rule.Where]; known && rule.Where != "" {
		return n
	}
	names[rule.Where] = p.wheres
	p.wheres++
	return p.wheres - 1
}

// line gives the number of a rule's line, which may be new.
func (p *Plan) line(rule *Rule, where int) int {
	n := slices.IndexFunc(p.lines, func(l line) bool {
		return l.where == where && l.rule.Window == rule.Window && l.rule.Measure == rule.Measure &&
			l.rule.Column == rule.Column && (!rule.byLimit() || l.rule.Limit == rule.Limit)
	})
	if n >= 0 {
		p.lines[n].shared = true
		return n
	}
	cover := -1
	if where >= 0 || !rule.sums() {
		switch bounds(rule.Measure) {
		case amountsBound:
			cover = p.cover(rule, brimline.SumAbs)
		case rowsBound:
			cover = p.cover(rule, brimline.CountAll)
		}
	}
	p.lines = append(p.lines, line{rule: rule, where: where, cover: cover})
	return len(p.lines) - 1
}

// cover is the line of all rows in the windows of a rule.
func (p *Plan) cover(rule *Rule, m brimline.Measure) int {
	n := p.line(&Rule{Rule: brimline.Rule{Window: rule.Window, Measure: m}}, -1)
	p.lines[n].shared = true
	return n
}
