package window

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/sliding"
)

// BenchmarkFold folds one more row of a user who has n retained ones, and
// writes what the table gets: the newest row, or one a day late. A row leaves the history for each that comes.
func BenchmarkFold(b *testing.B) {
	const span = 14 * 24 * time.Hour
	rule := brimline.Rule{ID: "week", Window: span / 2, Limit: brimline.Count(1 << 40)}
	rules := []sliding.Rule{{Rule: rule, Fingerprint: rule.Fingerprint()}}
	f := NewFolder(&brimline.RuleSet{Scale: 2, Rules: []brimline.Rule{rule}, Lateness: span / 2}, rules, 24*time.Hour)
	for _, n := range []int{10, 100, 1_000, 100_000} {
		for _, late := range []time.Duration{0, 24 * time.Hour} {
			name := "newest"
			if late > 0 {
				name = "late"
			}
			b.Run(fmt.Sprintf("rows=%d/%s", n, name), func(b *testing.B) {
				var (
					state  = f.NewState("27956157", nil, nil, 0)
					offset int64
					bytes  int
				)
				fold := func(at brimline.Time) {
					c := brimline.Change{Kind: brimline.Upsert, User: "27956157", Source: brimline.Source{Offset: offset},
						Row: brimline.Transaction{ID: strconv.FormatInt(1_000_000+offset, 10), User: "27956157", Amount: brimline.Amount(offset%20_000 - 5_000), Time: at}}
					_, write := f.Fold(state, Input{Change: &c, Offset: offset})
					offset++
					if !write {
						return
					}
					cut, err := state.commit()
					if err != nil {
						b.Fatal(err)
					}
					for _, s := range cut.sealed {
						bytes += len(s.value)
					}
					value, err := codecs.Window{}.Encode(state.value())
					if err != nil {
						b.Fatal(err)
					}
					bytes += len(value)
				}
				step := brimline.Time(span.Microseconds()) / brimline.Time(n)
				now := brimline.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
				for range 2 * n {
					now += step
					fold(now)
				}
				bytes = 0
				b.ReportAllocs()
				for b.Loop() {
					now += step
					fold(now.Add(-late) + 1)
				}
				b.ReportMetric(float64(bytes)/float64(b.N), "changelog-B/op")
				b.ReportMetric(float64(state.rows.Len()), "rows")
			})
		}
	}
}
