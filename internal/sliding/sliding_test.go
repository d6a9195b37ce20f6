package sliding

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/brimline/brimline"
)

func drawRows(t *rapid.T) []brimline.Transaction {
	rows := make([]brimline.Transaction, rapid.IntRange(0, 30).Draw(t, "rows"))
	for i := range rows {
		rows[i] = brimline.Transaction{
			ID: drawID(t, i), Amount: brimline.Amount(rapid.Int64Range(-20, 30).Draw(t, "amount")),
			Time:    brimline.Time(rapid.Int64Range(0, 40).Draw(t, "time")),
			Columns: drawShop(t),
		}
	}
	slices.SortFunc(rows, func(a, b brimline.Transaction) int { return a.Compare(&b) })
	return rows
}

func drawID(t *rapid.T, n int) string {
	return rapid.SampledFrom([]string{"", "-1", "id "}).Draw(t, "id") + strconv.Itoa(n)
}

func drawRule(t *rapid.T) *Rule {
	r := &Rule{Rule: brimline.Rule{
		Window:  time.Duration(rapid.IntRange(1, 15).Draw(t, "window")) * time.Microsecond,
		Limit:   brimline.Amount(rapid.Int64Range(-5, 60).Draw(t, "limit")).Total(),
		Measure: rapid.SampledFrom(brimline.Measures()).Draw(t, "measure"),
	}}
	if r.Measure == brimline.Avg {
		r.Limit = brimline.Count(rapid.Int64Range(0, 20).Draw(t, "average"))
		r.MinCount = rapid.Int64Range(0, 4).Draw(t, "min count")
	}
	if r.Measure == brimline.Max && r.Limit.Sign() < 0 { // no rules file has it
		r.Limit = brimline.Total{}
	}
	if r.Measure == brimline.Distinct {
		r.Limit = brimline.Count(rapid.Int64Range(0, 3).Draw(t, "different"))
		r.Column, r.Value = "shop", shop
	}
	if rapid.Bool().Draw(t, "where") {
		r.Where = "not threes"
		r.Takes = func(row *brimline.Transaction) bool { return row.Amount%3 != 0 && row.ID[0] != '9' }
	}
	return r
}

func drawShop(t *rapid.T) []brimline.Field {
	return []brimline.Field{{Name: "shop", Value: rapid.SampledFrom([]any{nil, "a", "b", "c"}).Draw(t, "shop")}}
}

func shop(row *brimline.Transaction) any {
	v, _ := row.Column("shop")
	return v
}

// join is a total with one row more.
func join(m brimline.Measure, total brimline.Total, w brimline.Amount) brimline.Total {
	if m == brimline.Max {
		a, _ := total.Int64()
		return brimline.Count(max(a, int64(w)))
	}
	return total.AddAmount(w)
}

// literal is the definition, word by word.
func literal(rows []brimline.Transaction, r *Rule, t brimline.Time) (f brimline.Figures) {
	all, before := map[any]bool{}, map[any]bool{}
	for i := range rows {
		row := &rows[i]
		if row.Time < t-brimline.Time(r.Window.Microseconds()) || row.Time > t || r.Takes != nil && !r.Takes(row) {
			continue
		}
		if r.Measure == brimline.Distinct {
			if v := shop(row); v != nil {
				f.Count++
				if all[v] = true; row.Time != t {
					before[v] = true
				}
			}
			f.Total, f.Before = brimline.Count(int64(len(all))), brimline.Count(int64(len(before)))
			continue
		}
		w, counts := r.Measure.Weigh(row.Amount)
		f.Total = join(r.Measure, f.Total, w)
		if row.Time != t {
			f.Before = join(r.Measure, f.Before, w)
		}
		if counts {
			f.Count++
			if r.Measure == brimline.Avg && row.Time != t {
				f.Earlier++
			}
		}
	}
	return f
}

func TestFiguresAndEdgesFollowTheDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, rule := drawRows(t), drawRule(t)
		from := brimline.Time(rapid.Int64Range(-5, 45).Draw(t, "from"))
		to := from + brimline.Time(rapid.Int64Range(0, 50).Draw(t, "span"))
		var want []Edge
		for i := range rows {
			at := rows[i].Time
			f := literal(rows, rule, at)
			if got := FiguresAt(rows, rule, at); got != f {
				t.Fatalf("at %d: %+v, want %+v", at, got, f)
			}
			if from <= at && at <= to && rule.IsEdge(f) && (i == 0 || rows[i-1].Time != at) {
				want = append(want, Edge{at, f})
			}
		}
		if got := Edges(rows, rule, from, to); !slices.Equal(got, want) {
			t.Fatalf("edges %+v, want %+v", got, want)
		}
	})
}

func TestNewestAreThoseThatCount(t *testing.T) {
	rows := []brimline.Transaction{{ID: "1", Amount: 1, Time: 0}, {ID: "2", Amount: -1, Time: 5},
		{ID: "3", Amount: 2, Time: 6}, {ID: "4", Amount: 3, Time: 6}, {ID: "5", Amount: 4, Time: 7}}
	rule := &Rule{Rule: brimline.Rule{Window: 5 * time.Microsecond, Measure: brimline.SumIn}}
	var ids []string
	for _, row := range Newest(rows, rule, 6, 5) {
		ids = append(ids, row.ID)
	}
	if !slices.Equal(ids, []string{"4", "3"}) {
		t.Errorf("newest %v", ids)
	}
}
