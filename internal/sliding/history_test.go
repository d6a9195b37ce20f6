package sliding

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/brimline/brimline"
)

func insert(rows []brimline.Transaction, row brimline.Transaction) []brimline.Transaction {
	at, _ := slices.BinarySearchFunc(rows, &row, func(a brimline.Transaction, b *brimline.Transaction) int {
		return a.Compare(b)
	})
	return slices.Insert(rows, at, row)
}

// TestHistoryIsASlice: whatever is done to a history, it says what the plain
// functions say of the plain rows.
func TestHistoryIsASlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var rules []Rule
		for range rapid.IntRange(1, 6).Draw(t, "rules") {
			rule := *drawRule(t)
			if n := len(rules); n > 0 && rapid.Bool().Draw(t, "alike") { // it may share what the other has
				limit := rule.Limit
				if rule = rules[rapid.IntRange(0, n-1).Draw(t, "other")]; rule.Measure != brimline.Avg && limit.Sign() >= 0 {
					rule.Limit = limit
				}
				if rapid.Bool().Draw(t, "window of its own") {
					rule.Window = time.Duration(rapid.IntRange(1, 15).Draw(t, "window")) * time.Microsecond
				}
			}
			rules = append(rules, rule)
		}
		var (
			plain = drawRows(t)
			most  = rapid.SampledFrom([]int{1, 2, 3, 5, 8, 500}).Draw(t, "most")
			h     = newHistory("", NewPlan(rules), brimline.RowsOf(plain), most)
			floor = brimline.MinTime
			next  = len(plain)
		)
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			around := brimline.Time(rapid.Int64Range(0, 60).Draw(t, "time"))
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0, 1, 2:
				if around <= floor {
					continue
				}
				row := brimline.Transaction{ID: drawID(t, next), Columns: drawShop(t),
					Amount: brimline.Amount(rapid.Int64Range(-20, 30).Draw(t, "amount")), Time: around}
				next++
				plain = insert(plain, row)
				h.Insert(brimline.RowOf(&row))
			case 3:
				if len(plain) == 0 {
					continue
				}
				n := rapid.IntRange(0, len(plain)-1).Draw(t, "row")
				sought := brimline.Transaction{ID: plain[n].ID,
					Time: rapid.SampledFrom([]brimline.Time{plain[n].Time, 7}).Draw(t, "sought at")}
				at, want := brimline.RowOf(&sought), brimline.RowOf(&plain[n])
				if got := h.Find(&at); got == nil || !got.SameRow(&want) {
					t.Fatalf("found %+v, want %+v", got, plain[n])
				}
				h.Remove(&at)
				plain = slices.Delete(plain, n, n+1)
			case 4:
				n := lowerBound(plain, around-20)
				newest, any := h.Evict(around-20, 1<<30)
				if any != (n > 0) || any && newest != plain[n-1].Time {
					t.Fatalf("evicted up to %v, %v", newest, any)
				}
				if any {
					floor, plain = newest, slices.Delete(plain, 0, n)
				}
			case 5:
				r := rapid.IntRange(0, len(rules)-1).Draw(t, "rule")
				retained := brimline.MinTime
				if floor != brimline.MinTime {
					retained = floor.Add(rules[r].Window) + 1
				}
				from := max(around-20, retained)
				if to := from + brimline.Time(rapid.Int64Range(0, 40).Draw(t, "span")); true {
					got, above := h.Edges(r, retained, from, to)
					want := Edges(plain, &rules[r], from, to)
					// A time whose rows add nothing has no edge to hide, and may be told or not.
					first, last := firstAbove(plain, &rules[r], from, to, false), firstAbove(plain, &rules[r], from, to, true)
					adds := func(row brimline.Transaction) bool { return row.Time == above && rules[r].Moves(&row) }
					if !slices.ContainsFunc(plain, adds) {
						first = min(first, max(above, from))
					}
					if !slices.Equal(got, want) || above < first || above > last {
						t.Fatalf("rule %+v, edges in [%d, %d]: %+v and %d, want %+v and %d to %d", rules[r], from, to, got,
							above, want, first, last)
					}
				}
			}
			for r := range rules {
				if got, want := h.FiguresAt(r, around), FiguresAt(plain, &rules[r], around); got != want {
					t.Fatalf("rule %+v at %d: %+v, want %+v", rules[r], around, got, want)
				}
				got, want := h.NewestAt(r, around, 3), Newest(plain, &rules[r], around, 3)
				if !slices.EqualFunc(got, want, func(a, b brimline.Transaction) bool { return a.SameRow(&b) }) {
					t.Fatalf("newest at %d: %+v, want %+v", around, got, want)
				}
			}
			if !slices.EqualFunc(h.Rows(), brimline.RowsOf(plain), func(a, b brimline.Row) bool {
				return a.SameRow(&b)
			}) || h.Len() != len(plain) {
				t.Fatalf("rows %+v, want %+v", h.Rows(), plain)
			}
		}
	})
}

// TestRulesShareWhatTheyKnow: a condition that several rules have is evaluated once for a row, and not at all where no
// total can be above a limit.
func TestRulesShareWhatTheyKnow(t *testing.T) {
	for _, rows := range []int{12, 600} {
		var asked int
		takes := func(row *brimline.Transaction) bool { asked++; return row.Amount > 0 }
		limits := func(all ...int64) (rules []Rule) {
			for _, limit := range all {
				for window := range 10 {
					rules = append(rules, Rule{Rule: brimline.Rule{
						Window: time.Duration(window+1) * 10 * time.Microsecond, Limit: brimline.Count(limit), Where: "amount > 0",
					}, Takes: takes})
				}
			}
			return rules
		}
		edges := func(rules []Rule) (n int) {
			h := newHistory("", NewPlan(rules), nil, 100)
			for i := range rows {
				at := brimline.Time(i)
				h.Insert(brimline.RowOf(&brimline.Transaction{ID: fmt.Sprint(i), Amount: 1, Time: at}))
				for r := range rules {
					found, _ := h.Edges(r, brimline.MinTime, at, at.Add(rules[r].Window))
					n += len(found)
				}
			}
			return n
		}
		if edges(limits(1000, 2000, 3000)); asked != 0 {
			t.Errorf("%d rows: %d times asked for rules whose limits are far away", rows, asked)
		}
		if n := edges(limits(5, 6, 7)); n != 30 || asked > 2*rows {
			t.Errorf("%d rows, of which each was evaluated once: asked %d times, %d edges", rows, asked, n)
		}
	}
}

// firstAbove is the first row time in [from, to] before which the total was above the limit, and still is; with adding
// set the first of a row that adds something.
func firstAbove(rows []brimline.Transaction, rule *Rule, from, to brimline.Time, adding bool) brimline.Time {
	for i := range rows {
		if adding && !rule.Moves(&rows[i]) {
			continue
		}
		f := FiguresAt(rows, rule, rows[i].Time)
		if t := rows[i].Time; t >= from && t <= to && rule.WasAbove(f) && rule.Above(f) {
			return t
		}
	}
	return brimline.MaxTime
}

func TestHistoryStaysBelowItsBytes(t *testing.T) {
	h := newHistory("", nil, nil, 4)
	const most = 450 // nine rows
	for i := range 100 {
		h.Insert(brimline.RowOf(&brimline.Transaction{ID: fmt.Sprint(i), Time: brimline.Time(i / 3)}))
		if newest, any := h.Evict(brimline.MinTime, most); any && h.Rows()[0].Time <= newest {
			t.Fatalf("evicted up to %v, and kept %v", newest, h.Rows()[0])
		}
	}
	if h.bytes > most || h.Len() < 7 {
		t.Errorf("%d rows of %d bytes", h.Len(), h.bytes)
	}
}

// BenchmarkHistory puts a late row into a user's history and takes one out.
func BenchmarkHistory(b *testing.B) {
	for _, n := range []int{10, 100, 1_000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n, "-rows"), func(b *testing.B) {
			rules := []Rule{{Rule: brimline.Rule{Window: 7 * 24 * time.Hour, Limit: brimline.Count(int64(n) * 50 / 2)}}}
			rows := make([]brimline.Transaction, n)
			span := 14 * 24 * time.Hour.Microseconds()
			for i := range rows {
				rows[i] = brimline.Transaction{ID: fmt.Sprint(i), Amount: brimline.Amount(i % 100),
					Time: brimline.Time(int64(i) * span / int64(n))}
			}
			h := NewHistory("", NewPlan(rules), brimline.RowsOf(rows))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				row := brimline.RowOf(&brimline.Transaction{ID: "-1", Amount: 50,
					Time: brimline.Time(int64(i*7919) * 1_000_003 % span)})
				h.Insert(row)
				h.Edges(0, brimline.MinTime, row.Time, row.Time.Add(rules[0].Window))
				h.Remove(&row)
				h.Edges(0, brimline.MinTime, row.Time, row.Time.Add(rules[0].Window))
			}
		})
	}
}
