package bench

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/testkit"
)

// crowd is how many rows each of many users has: a Zipf-Mandelbrot law, and some users with a fixed number.
type crowd struct {
	users, rows int
	s, q        float64
	heavy       int // users with heavyRows each
	heavyRows   int
}

// draw makes the rows of 14 days in the order of their events, 1 % of them up to an hour late.
func (c crowd) draw(r *rand.Rand) []testkit.Row {
	weights, sum := make([]float64, c.users), 0.0
	for i := range weights {
		sum += math.Pow(float64(i+1)+c.q, -c.s)
		weights[i] = sum
	}
	users := make([]int64, 0, c.rows)
	for h := range c.heavy {
		for range c.heavyRows {
			users = append(users, int64(10_000_000+h))
		}
	}
	for len(users) < c.rows {
		at, _ := slices.BinarySearch(weights, r.Float64()*sum)
		users = append(users, int64(1+at))
	}
	r.Shuffle(len(users), func(i, k int) { users[i], users[k] = users[k], users[i] })
	start := brimline.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	rows := make([]testkit.Row, c.rows)
	for i := range rows {
		at := start.Add(time.Duration(i) * (14 * 24 * time.Hour / time.Duration(c.rows)))
		if r.IntN(100) == 0 {
			at = at.Add(-time.Duration(r.Int64N(int64(time.Hour))))
		}
		rows[i] = testkit.Row{ID: int64(i + 1), User: users[i], Amount: brimline.Amount(r.Int64N(20_001) - 10_000),
			Time: at, Description: "row"}
	}
	return rows
}

// BenchmarkCatchUp is the time from a process's start to its end, when all of a history has gone through all stages.
func BenchmarkCatchUp(b *testing.B) {
	for name, c := range map[string]crowd{
		"zipf=1.1":         {users: 100_000, rows: 1_000_000, s: 1.1, q: 500},
		"zipf=1.3,heavy=3": {users: 100_000, rows: 1_000_000, s: 1.3, heavy: 3, heavyRows: 100_000},
	} {
		b.Run(name, func(b *testing.B) {
			week := brimline.Rule{ID: "week", Window: 7 * 24 * time.Hour}
			week.Limit = brimline.Amount(500_000).Total()
			j := newJob(b, rulesOf(week))
			seed := testkit.Seed(b)
			b.Logf("seed %d", seed)
			j.fill(b, c.draw(testkit.Rand(seed)))
			b.ResetTimer()
			cpu, peak := end(b, j.start(b, "--until-caught-up"))
			b.StopTimer()
			n := float64(c.rows)
			b.ReportMetric(n/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(cpu.Seconds()/n*1e6, "cpu-s/M")
			b.ReportMetric(peak, "peak-MB")
			b.ReportMetric(float64(parts.TopicBytes(b, j.names.WindowTable))/n, "changelog-B/event")
			b.ReportMetric(diskMB(b, j.state), "disk-MB")
			want := j.table.Edges(b, week, "")
			testkit.Compare(b, j.alerts(b), want)
			b.ReportMetric(float64(len(want)), "edges")
		})
	}
}
