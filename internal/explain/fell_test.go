package explain

import (
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/brimline/brimline/views"
)

// Of a measure that shrinks a user may fall to the limit after an edge and be above it again without another one. Then
// the total has not been above since the edge.
func TestAboveAgainWithoutAnEdge(t *testing.T) {
	const at = brimline.Time(24 * time.Hour / time.Microsecond)
	row := func(days brimline.Time, amount brimline.Amount) brimline.Transaction {
		return brimline.Transaction{User: "u", Amount: amount, Time: days * at}
	}
	rows := []brimline.Transaction{row(1, 10), row(2, 500), row(3, 50), row(9, 400)}
	for name, c := range map[string]struct {
		rows []brimline.Transaction
		now  brimline.Time
		want Reason
	}{
		"above since the edge":     {append(rows[:2:2], row(3, 300)), 3 * at, AboveSince},
		"below in between":         {rows, 9 * at, AboveWithoutEdge}, // 560 by 3, then 550 by 2, then 950 by 3
		"below until a row leaves": {rows[:3], 8*at + 1, AboveWithoutEdge},
	} {
		rule := &sliding.Rule{Rule: brimline.Rule{ID: "r", Window: 7 * 24 * time.Hour, Limit: brimline.Count(200),
			Measure: brimline.Avg}}
		e := &Evidence{Rule: rule, User: views.User{ID: "u", Found: true, Now: c.now, Rows: c.rows, Floor: brimline.MinTime},
			Alerts: []*brimline.Alert{{Candidate: brimline.Candidate{Edge: 2 * at}}}}
		e.User.Rules = []views.RuleFigures{{Rule: rule.Rule, At: sliding.FiguresAt(c.rows, rule, c.now), Complete: true}}
		if r := e.Report(); r.Reason != c.want {
			t.Errorf("%s: %s, total %v of %d, edge %v", name, r.Reason, r.Total, r.Count, r.Edge)
		}
	}
}
