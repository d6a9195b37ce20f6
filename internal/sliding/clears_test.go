package sliding

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/brimline/brimline"
)

// TestClearsAt: the instant before it the total is above the limit, from it on it is not, and before that it never was;
// by the definition, instant by instant.
func TestClearsAt(t *testing.T) {
	cleared := 0
	rapid.Check(t, func(t *rapid.T) {
		rule := Rule{Rule: brimline.Rule{
			Window:  time.Duration(rapid.Int64Range(1, 12).Draw(t, "window")) * time.Microsecond,
			Measure: rapid.SampledFrom(brimline.Measures()).Draw(t, "measure"),
			Limit:   brimline.Count(rapid.Int64Range(0, 12).Draw(t, "limit")),
		}}
		if rule.Measure == brimline.Distinct {
			rule.Limit, rule.Value = brimline.Count(rapid.Int64Range(0, 3).Draw(t, "different")), shop
		}
		rows := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) brimline.Transaction {
			return brimline.Transaction{Amount: brimline.Amount(rapid.Int64Range(-5, 6).Draw(t, "amount")),
				ID: rapid.StringMatching("[a-z]{8}").Draw(t, "id"), Columns: drawShop(t),
				Time: brimline.Time(rapid.Int64Range(0, 30).Draw(t, "time"))}
		}), 0, 20).Draw(t, "rows")
		slices.SortFunc(rows, func(a, b brimline.Transaction) int { return int(a.Time - b.Time) })
		at := brimline.Time(rapid.Int64Range(0, 30).Draw(t, "at"))
		above := func(at brimline.Time) bool { return FiguresAt(rows, &rule, at).Total.Cmp(rule.Limit) > 0 }
		want, clears := brimline.Time(0), false
		if above(at) && !rule.Measure.Shrinks() {
			for want, clears = at, true; above(want); want++ {
			}
		}
		if got, ok := ClearsAt(rows, &rule, at); ok != clears || ok && got != want {
			t.Fatalf("rule %+v at %d of %+v: %d, %v, want %d, %v", rule.Rule, at, rows, got, ok, want, clears)
		}
		h := newHistory("", NewPlan([]Rule{rule}), nil, 4)
		for i := range rows {
			h.Insert(brimline.RowOf(&rows[i]))
		}
		if got, ok := h.ClearsAt(0, at); ok != clears || ok && got != want {
			t.Fatalf("kept, rule %+v at %d of %+v: %d, %v, want %d, %v", rule.Rule, at, rows, got, ok, want, clears)
		}
		if clears {
			cleared++
		}
	})
	var rows []brimline.Transaction
	for i := range 2 * mostCleared {
		rows = append(rows, brimline.Transaction{Amount: 1, Time: brimline.Time(i)})
	}
	rule := Rule{Rule: brimline.Rule{Window: time.Second, Limit: brimline.Count(10)}}
	if at, ok := ClearsAt(rows, &rule, rows[len(rows)-1].Time); ok {
		t.Errorf("of more rows than are looked at: %d", at)
	}
	if t.Logf("%d totals fell", cleared); cleared == 0 {
		t.Error("no total fell")
	}
}
