package sliding

import (
	"time"

	"github.com/brimline/brimline"
)

// clearing follows a total that is above the limit from a window end on, as rows age out of the window and known later
// ones come into it.
type clearing struct {
	rule   *Rule
	total  brimline.Total // of lifts
	values Values         // in place of total, of the measure distinct
}

func (c *clearing) enter(row *brimline.Transaction) {
	w, counts := c.rule.lift(row)
	if c.rule.Value == nil {
		c.total = c.total.AddAmount(w)
	} else if counts {
		c.values.Enter(c.rule.Value(row))
	}
}

func (c *clearing) leave(row *brimline.Transaction) {
	w, counts := c.rule.lift(row)
	if c.rule.Value == nil {
		c.total = c.total.Sub(w.Total())
	} else if counts {
		c.values.Leave(c.rule.Value(row))
	}
}

func (c *clearing) isAbove() bool {
	if c.rule.Value != nil {
		return c.values.Total().Cmp(c.rule.bar()) > 0
	}
	return c.total.Cmp(c.rule.bar()) > 0
}

// mostCleared bounds the rows that are looked at. With more nothing is said.
const mostCleared = 10_000

// until goes on until the total is at or below the limit: leaving gives the next row of the window, entering the next
// known later one, each nil behind the last, and both step with true.
func (c *clearing) until(leaving, entering func(step bool) *brimline.Transaction) (at brimline.Time, ok bool) {
	window := c.rule.Window
	for range mostCleared {
		out, in := leaving(false), entering(false)
		if out == nil {
			return 0, false
		}
		leaves := out.Time.Add(window).Add(time.Microsecond) // the window has both ends
		if in != nil && in.Time <= leaves {
			leaves = in.Time
		}
		for in != nil && in.Time == leaves {
			c.enter(in)
			in = entering(true)
		}
		for out != nil && out.Time.Add(window) < leaves {
			c.leave(out)
			out = leaving(true)
		}
		if !c.isAbove() {
			return leaves, true
		}
	}
	return 0, false
}

// ClearsAt is the first instant after t at which the rule's total is at or below the limit if nothing more comes than
// the rows, which are in time order and hold all of the window that ends at t. False where the total at t is not above
// the limit, where the measure can shrink, or where it takes more than 10,000 rows.
func ClearsAt(rows []brimline.Transaction, rule *Rule, t brimline.Time) (at brimline.Time, ok bool) {
	c := clearing{rule: rule}
	low, high := lowerBound(rows, t.Add(-rule.Window)), upperBound(rows, t)
	for i := low; i < high; i++ {
		c.enter(&rows[i])
	}
	if rule.Measure.Shrinks() || !c.isAbove() {
		return 0, false
	}
	step := func(n *int) func(bool) *brimline.Transaction {
		return func(step bool) *brimline.Transaction {
			if step {
				*n++
			}
			if *n == len(rows) {
				return nil
			}
			return &rows[*n]
		}
	}
	return c.until(step(&low), step(&high))
}

// ClearsAt is ClearsAt of rule r, whose window that ends at t is retained whole.
func (h *History) ClearsAt(r int, t brimline.Time) (at brimline.Time, ok bool) {
	rule, line := &h.plan.rules[r], h.plan.of[r]
	c := clearing{rule: rule}
	if rule.Value == nil {
		c.total = h.liftAt(line, t).Total
	} else {
		h.enter(&c.values, &h.plan.lines[line], t.Add(-rule.Window), t+1)
	}
	if rule.Measure.Shrinks() || !c.isAbove() {
		return 0, false
	}
	step := func(at cursor) func(bool) *brimline.Transaction {
		var row brimline.Transaction
		return func(step bool) *brimline.Transaction {
			if step {
				at.next()
			}
			if at.block == len(h.blocks) {
				return nil
			}
			row = at.row().Transaction(h.user)
			return &row
		}
	}
	return c.until(step(h.cursor(t.Add(-rule.Window))), step(h.after(t)))
}

// after stands on the first row after t, behind the last where there is none.
func (h *History) after(t brimline.Time) cursor {
	if n := len(h.blocks); n == 0 || h.blocks[n-1].last() <= t {
		return cursor{h: h, block: n}
	}
	return h.cursor(t + 1)
}
