package explain

import (
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/sliding"
)

// An edge of a rule that rearms is silent where the rows show it, armed where they show that, and not known to be
// silent where what is not there decides.
func TestSilentUntilRearmed(t *testing.T) {
	const hour = brimline.Time(time.Hour / time.Microsecond)
	rule := &sliding.Rule{Rule: brimline.Rule{ID: "r", Window: 10 * time.Hour, Limit: brimline.Count(100), Rearms: true,
		Rearm: brimline.Count(80)}}
	rows := func(amounts ...brimline.Amount) (all []brimline.Transaction) { // an hour apart, 0 for none
		for i, a := range amounts {
			if a != 0 {
				all = append(all, brimline.Transaction{User: "u", Amount: a, Time: hour * brimline.Time(i)})
			}
		}
		return all
	}
	hovering := rows(10, 85, 0, 10, 0, 0, 0, 0, 0, 0, 0, 10) // 105 at 3; 95 before 11, and then 105
	low := rows(30, 60, 0, 20, 0, 0, 0, 0, 0, 0, 0, 30)      // 110 at 3; 80 before 11, and then 110
	for name, c := range map[string]struct {
		rows   []brimline.Transaction
		from   brimline.Time
		edge   brimline.Time
		silent bool
	}{
		"the first":            {hovering, brimline.MinTime, 3 * hour, false},
		"not low enough since": {hovering, brimline.MinTime, 11 * hour, true},
		"low enough":           {low, brimline.MinTime, 11 * hour, false},
		"not known":            {hovering[1:], 11 * hour, 11 * hour, false},
	} {
		e := &Evidence{Rule: rule}
		if f := sliding.FiguresAt(c.rows, rule, c.edge); !rule.IsEdge(f) {
			t.Fatalf("%s: no edge: %+v", name, f)
		}
		if got := e.silent(c.rows, c.from, c.edge); got != c.silent {
			t.Errorf("%s: silent %v", name, got)
		}
	}
}

// An average is told by its sum and its transactions, since nothing is divided.
func TestSentencesOfAnAverage(t *testing.T) {
	for reason, want := range map[Reason]string{
		Alerted: "an alert was sent: the average of $3,441.50 by 3 transactions in 7d went over $3,000.00 " +
			"at 2026-03-08 11:17:00",
		ShortBy: "the average of $2,557.64 by 3 transactions in 7d is not above $3,000.00: it takes 4",
		AboveWithoutEdge: "the average of $3,100.00 by 3 transactions in 7d is above $3,000.00, and no row lifted it " +
			"there: smaller amounts left the window, which raises no alert",
	} {
		r := example(reason)
		r.Rule.Measure, r.Rule.MinCount, r.Count = brimline.Avg, 4, 3
		if got := r.Sentence(written); got != want {
			t.Errorf("%s: %s", reason, got)
		}
	}
}
