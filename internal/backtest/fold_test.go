package backtest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/brimline/brimline/internal/testkit"
)

func hours(n int64) brimline.Time { return brimline.Time(n * int64(time.Hour/time.Microsecond)) }

// Wherever a user's rows are cut into stretches, the edges are those of all rows at once, and no more rows are kept
// than one window and two stretches have.
func TestStretches(t *testing.T) {
	r := testkit.Rand(testkit.Seed(t))
	for range 200 {
		var rules []sliding.Rule
		for i, window := range []time.Duration{time.Hour, 7 * time.Hour, 20 * time.Hour} {
			limit := brimline.Amount(r.IntN(300)).Total()
			rule := brimline.Rule{ID: fmt.Sprint(i), Window: window, Limit: limit, Measure: brimline.Sum}
			rules = append(rules, sliding.Rule{Rule: rule})
			rule.ID, rule.Quiet = "quiet "+rule.ID, time.Duration(1+r.IntN(30))*time.Hour
			rules = append(rules, sliding.Rule{Rule: rule})
		}
		rows := drawRows(r)
		var got, want []string
		o := Options{Rules: rules, From: hours(10), To: brimline.MaxTime}
		o.Each = func(a *Alert) error {
			got = append(got, fmt.Sprint(a.Rule.ID, a.Edge))
			return nil
		}
		f := newFold(&o)
		f.few = 1 + r.IntN(9)
		most := 0
		for i := range rows {
			if err := f.take(&rows[i]); err != nil {
				t.Fatal(err)
			}
			most = max(most, len(f.rows))
		}
		if err := f.finish(); err != nil {
			t.Fatal(err)
		}
		for i := range rules {
			edges := sliding.Edges(rows, &rules[i], o.From.Add(-rules[i].Quiet), o.To)
			for n, e := range edges {
				silent := n > 0 && edges[n-1].Time >= e.Time.Add(-rules[i].Quiet)
				if e.Time < o.From || rules[i].Quiet > 0 && silent {
					continue
				}
				want = append(want, fmt.Sprint(rules[i].ID, e))
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("%d rows, judged %d at once: %v, want %v", len(rows), f.few, got, want)
		}
		if most > 150 && len(rows) == 300 {
			t.Fatalf("of %d rows %d were kept", len(rows), most)
		}
	}
}

// drawRows are a user's rows, two an hour and some at one time.
func drawRows(r *rand.Rand) (rows []brimline.Transaction) {
	at := int64(0)
	for range 300 {
		if r.IntN(3) > 0 {
			at += r.Int64N(3)
		}
		rows = append(rows, brimline.Transaction{User: "u", Amount: brimline.Amount(r.IntN(50) - 10), Time: hours(at)})
	}
	return rows
}

// A lost and a gained edge are one that has moved if they follow each other within the longer window.
func TestCompare(t *testing.T) {
	for _, c := range []struct {
		old, now []int64 // hours
		want     string  // kept, gained, lost, moved
	}{
		{[]int64{1, 2}, []int64{1, 2}, "2 0 0 0"},
		{[]int64{1}, []int64{3}, "0 0 0 1"},
		{[]int64{3}, []int64{1}, "0 0 0 1"},
		{[]int64{1}, []int64{11}, "0 0 0 1"},
		{[]int64{1}, []int64{12}, "0 1 1 0"},        // too far
		{[]int64{1, 2}, []int64{2, 3}, "1 1 1 0"},   // one that is kept stands between
		{[]int64{1, 2}, []int64{3}, "0 0 1 1"},      // the nearest has moved
		{[]int64{1}, []int64{2, 3}, "0 1 0 1"},      //
		{[]int64{1, 5}, []int64{2, 4}, "0 0 0 2"},   //
		{nil, []int64{1, 2}, "0 2 0 0"},             //
		{[]int64{1, 20}, []int64{20}, "1 0 1 0"},    //
		{[]int64{1, 30}, []int64{3, 40}, "0 0 0 2"}, //
	} {
		old := &sliding.Rule{Rule: brimline.Rule{Window: 10 * time.Hour}}
		now := &sliding.Rule{Rule: brimline.Rule{Window: 2 * time.Hour}}
		course := course{RuleReport: &RuleReport{Rule: &now.Rule, Old: &old.Rule}, now: now, old: old}
		edges := func(times []int64) (edges []sliding.Edge) {
			for _, at := range times {
				edges = append(edges, sliding.Edge{Time: hours(at)})
			}
			return edges
		}
		course.compare("u", edges(c.now), edges(c.old))
		got := fmt.Sprint(course.Kept, course.Gained, course.Lost, course.Moved)
		if got != c.want {
			t.Errorf("from %v to %v: %s, want %s", c.old, c.now, got, c.want)
		}
	}
}
