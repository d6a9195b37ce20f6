package sliding

import (
	"time"

	"github.com/brimline/brimline"
)

// clearing follows a total that is above the limit from a window end on, as rows age out of the window and known later
// ones come into it.
type clearing struct {
	limit  brimline.Total // Rule.bar
	window time.Duration
	total  brimline.Total // of lifts
}

// mostCleared bounds the rows that are looked at. With more nothing is said.
const mostCleared = 10_000

// until goes on until the total is at or below the limit: leaving gives the next row of the window, entering the next
// known later one, each nil behind the last, and both step with true.
func (c *clearing) until(
	leaving, entering func(step bool) *brimline.Transaction, weigh func(*brimline.Transaction) brimline.Amount,
) (at brimline.Time, ok bool) {
	for range mostCleared {
		out, in := leaving(false), entering(false)
		if out == nil {
			return 0, false
		}
		leaves := out.Time.Add(c.window).Add(time.Microsecond) // the window has both ends
		if in != nil && in.Time <= leaves {
			leaves = in.Time
		}
		for in != nil && in.Time == leaves {
			c.total = c.total.AddAmount(weigh(in))
			in = entering(true)
		}
		for out != nil && out.Time.Add(c.window) < leaves {
			c.total = c.total.Sub(weigh(out).Total())
			out = leaving(true)
		}
		if c.total.Cmp(c.limit) <= 0 {
			return leaves, true
		}
	}
	return 0, false
}

// ClearsAt is the first instant after t at which the rule's total is at or below the limit if nothing more comes than
// the rows, which are in time order and hold all of the window that ends at t. False where the total at t is not above
// the limit, where the measure can shrink, or where it takes more than 10,000 rows.
func ClearsAt(rows []brimline.Transaction, rule *Rule, t brimline.Time) (at brimline.Time, ok bool) {
	c := clearing{limit: rule.bar(), window: rule.Window}
	low, high := lowerBound(rows, t.Add(-rule.Window)), upperBound(rows, t)
	for i := low; i < high; i++ {
		w, _ := rule.lift(&rows[i])
		c.total = c.total.AddAmount(w)
	}
	if rule.Measure.Shrinks() || c.total.Cmp(c.limit) <= 0 {
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
	return c.until(step(&low), step(&high), func(r *brimline.Transaction) brimline.Amount {
		w, _ := rule.lift(r)
		return w
	})
}

// ClearsAt is ClearsAt of rule r, whose window that ends at t is retained whole.
func (h *History) ClearsAt(r int, t brimline.Time) (at brimline.Time, ok bool) {
	rule := &h.plan.rules[r]
	c := clearing{rule.bar(), rule.Window, h.liftAt(h.plan.of[r], t).Total}
	if rule.Measure.Shrinks() || c.total.Cmp(c.limit) <= 0 {
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
	return c.until(step(h.cursor(t.Add(-rule.Window))), step(h.after(t)), func(row *brimline.Transaction) brimline.Amount {
		w, _ := rule.lift(row)
		return w
	})
}

// after stands on the first row after t, behind the last where there is none.
func (h *History) after(t brimline.Time) cursor {
	if n := len(h.blocks); n == 0 || h.blocks[n-1].last() <= t {
		return cursor{h: h, block: n}
	}
	return h.cursor(t + 1)
}
