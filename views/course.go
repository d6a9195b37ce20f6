package views

import (
	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/sliding"
)

// Point is a moment from which a rule's total has a value, until the next point.
type Point struct {
	Time  brimline.Time
	Total brimline.Total
}

// Course is how the total of u.Rules[rule] went from from to to: at each time
// t the total over [t-Window, t] of the retained rows. The first point is at
// from; equal neighbours are left out. Nil when from is after to, or when u
// was not made by UserAt.
func (u *User) Course(rule int, from, to brimline.Time) []Point {
	if rule < 0 || rule >= len(u.compiled) || from > to {
		return nil
	}
	r := &u.compiled[rule]
	total := sliding.NewGauge(r) // of the rows that have entered and not left
	in, out := 0, 0              // rows that have entered, and left
	points := []Point{}
	put := func(t brimline.Time) {
		t = max(t, from)
		if n := len(points); n > 0 && points[n-1].Time == t {
			points[n-1].Total = total.Total()
		} else if n == 0 || points[n-1].Total != total.Total() {
			points = append(points, Point{t, total.Total()})
		}
	}
	put(from)
	for in < len(u.Rows) || out < in {
		// A row leaves a microsecond after its window's closed end.
		leaves := brimline.MaxTime
		if out < in {
			leaves = u.Rows[out].Time.Add(r.Window).Add(1000)
		}
		if in < len(u.Rows) && u.Rows[in].Time < leaves {
			t := u.Rows[in].Time
			if t > to {
				break
			}
			total.Enter(&u.Rows[in])
			in++
			put(t)
			continue
		}
		if leaves > to || leaves == brimline.MaxTime {
			break
		}
		total.Leave(&u.Rows[out])
		out++
		put(leaves)
	}
	return points
}

// Counts reports whether a row that is in a window of u.Rules[rule] counts there: where takes it, and so does the
// measure. False when u was not made by UserAt.
func (u *User) Counts(rule int, row *brimline.Transaction) bool {
	if rule < 0 || rule >= len(u.compiled) {
		return false
	}
	_, counts := u.compiled[rule].Weigh(row)
	return counts
}

// CountedBy gives the ids of the rules whose figures at u.Now a row is part of, in the order of the rules.
func (u *User) CountedBy(row *brimline.Transaction) []string {
	ids := []string{}
	for i := range u.Rules {
		r := &u.Rules[i].Rule
		if row.Time <= u.Now && row.Time >= u.Now.Add(-r.Window) && u.Counts(i, row) {
			ids = append(ids, r.ID)
		}
	}
	return ids
}
