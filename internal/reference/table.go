package reference

import (
	"math/big"
	"slices"

	"github.com/brimline/brimline"
)

// Rule is a rule and which rows its where expression takes; nil takes all. Value gives, of the measure distinct, the
// value that a row has of the rule's column, nil for NULL.
type Rule struct {
	brimline.Rule
	Takes func(*brimline.Transaction) bool
	Value func(*brimline.Transaction) any
}

// Figures are a rule's figures around one time, as numbers of any size in units of the measure's last decimal.
type Figures struct {
	Before, Total *big.Int
	Count         int64
	Earlier       int64 // transactions in Before
}

// IsEdge is the definition: total before ≤ limit < total. Of an average it is total before ≤ limit × count before, or
// too few before, and limit × count < total, with enough.
func (f Figures) IsEdge(r *brimline.Rule) bool {
	above := func(total *big.Int, n int64) bool {
		limit := whole(r.Limit)
		if r.Measure == brimline.Avg {
			limit.Mul(limit, big.NewInt(n))
		}
		return total.Cmp(limit) > 0 && (r.Measure != brimline.Avg || n >= max(1, r.MinCount))
	}
	return above(f.Total, f.Count) && !above(f.Before, f.Earlier)
}

// whole is a total as a number of units.
func whole(t brimline.Total) *big.Int {
	n, _ := new(big.Int).SetString(t.Format(0), 10)
	return n
}

// Edge is an edge and the figures that make it one.
type Edge struct {
	User    string
	At      brimline.Time
	Figures Figures
}

// Table is a table of transactions. The zero Table is empty.
type Table struct {
	rows map[string]brimline.Transaction
}

// Put inserts or changes a row.
func (t *Table) Put(row *brimline.Transaction) {
	if t.rows == nil {
		t.rows = map[string]brimline.Transaction{}
	}
	t.rows[row.ID] = *row
}

// Delete removes a row.
func (t *Table) Delete(id string) { delete(t.rows, id) }

// Truncate removes all rows.
func (t *Table) Truncate() { t.rows = nil }

// Rows are all rows by user, time and id.
func (t *Table) Rows() []brimline.Transaction {
	all := make([]brimline.Transaction, 0, len(t.rows))
	for _, row := range t.rows {
		all = append(all, row)
	}
	slices.SortFunc(all, func(a, b brimline.Transaction) int {
		switch {
		case a.User < b.User:
			return -1
		case a.User > b.User:
			return 1
		}
		return a.Compare(&b)
	})
	return all
}

// Times are the distinct times of a user's rows, ascending.
func (t *Table) Times(user string) (times []brimline.Time) {
	for _, row := range t.rows {
		if row.User == user {
			times = append(times, row.Time)
		}
	}
	slices.Sort(times)
	return slices.Compact(times)
}

// At are the rule's figures for a user at a time, each row looked at.
func (t *Table) At(r *Rule, user string, at brimline.Time) Figures {
	f := Figures{Before: new(big.Int), Total: new(big.Int)}
	begin := int64(at) - r.Window.Microseconds()
	before, all := map[any]bool{}, map[any]bool{}
	for _, row := range t.rows {
		when := int64(row.Time)
		if row.User != user || when < begin || row.Time > at || r.Takes != nil && !r.Takes(&row) {
			continue
		}
		if r.Measure == brimline.Distinct {
			if value := r.Value(&row); value != nil {
				f.Count++
				if all[value] = true; row.Time < at {
					f.Earlier++
					before[value] = true
				}
			}
			continue
		}
		weight, counts := weigh(r.Measure, int64(row.Amount))
		join := (*big.Int).Add
		if r.Measure == brimline.Max {
			join = largest
		}
		join(f.Total, f.Total, weight)
		if row.Time < at {
			join(f.Before, f.Before, weight)
		}
		if counts {
			f.Count++
			if row.Time < at {
				f.Earlier++
			}
		}
	}
	if r.Measure == brimline.Distinct {
		f.Before.SetInt64(int64(len(before)))
		f.Total.SetInt64(int64(len(all)))
	}
	return f
}

// largest sets to to the larger one of two.
func largest(to, a, b *big.Int) *big.Int {
	if a.Cmp(b) < 0 {
		a = b
	}
	return to.Set(a)
}

func weigh(m brimline.Measure, amount int64) (weight *big.Int, counts bool) {
	a := big.NewInt(amount)
	switch m {
	case brimline.SumAbs, brimline.Max, brimline.Avg:
		return a.Abs(a), true
	case brimline.Sum:
		return a, true
	case brimline.SumIn:
		if amount <= 0 {
			return new(big.Int), false
		}
		return a, true
	case brimline.SumOut:
		if amount >= 0 {
			return new(big.Int), false
		}
		return a.Neg(a), true
	case brimline.CountAll:
		return big.NewInt(1), true
	}
	panic("no weight for measure " + m.String())
}

// Edges are a user's edges at times from and to and between them, ascending. Those that are silent raise no alert, and
// are left out.
func (t *Table) Edges(r *Rule, user string, from, to brimline.Time) (edges []Edge) {
	var last *brimline.Time // of an edge, silent ones too
	armed := true
	for _, at := range t.Times(user) {
		if !t.takenAt(r, user, at) {
			continue
		}
		f := t.At(r, user, at)
		if r.Rearms {
			armed = armed || f.Before.Cmp(units10(r.Rearm)) <= 0
			if alerts := armed && f.Total.Cmp(units10(r.Limit)) > 0; alerts && from <= at && at <= to {
				edges = append(edges, Edge{user, at, f})
			}
			armed = armed && f.Total.Cmp(units10(r.Limit)) <= 0
			continue
		}
		if !f.IsEdge(&r.Rule) {
			continue
		}
		silent := last != nil && int64(at)-int64(*last) <= r.Quiet.Microseconds()
		if last = &at; !silent && from <= at && at <= to {
			edges = append(edges, Edge{user, at, f})
		}
	}
	return edges
}

// takenAt says whether the user has a row at a time that the rule takes.
func (t *Table) takenAt(r *Rule, user string, at brimline.Time) bool {
	for _, row := range t.rows {
		if row.User == user && row.Time == at && (r.Takes == nil || r.Takes(&row)) {
			return true
		}
	}
	return false
}

func units10(t brimline.Total) *big.Int {
	n, _ := new(big.Int).SetString(t.Format(0), 10)
	return n
}
