package bench

import (
	"fmt"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/testkit"
)

// BenchmarkScaleOut is a catch-up by 1, 2 and 4 instances of a group, until the last alert is there. The machine's
// cores are theirs and the broker's together, so events per second of processor time say what sharing costs, and events
// per second what is left of the machine.
func BenchmarkScaleOut(b *testing.B) {
	c := crowd{users: 100_000, rows: 1_000_000, s: 1.1, q: 500}
	for _, instances := range []int{1, 2, 4} {
		b.Run(fmt.Sprintf("instances=%d", instances), func(b *testing.B) {
			week := brimline.Rule{ID: "week", Window: 7 * 24 * time.Hour}
			week.Limit = brimline.Amount(500_000).Total()
			j := newJob(b, rulesOf(week))
			seed := testkit.Seed(b)
			b.Logf("seed %d", seed)
			j.fill(b, c.draw(testkit.Rand(seed)))
			want := j.table.Edges(b, week, "")
			seen := newArrivals()
			stopReading := seen.read(b, j.names.Alerts)
			b.ResetTimer()
			var all []*testkit.Process
			for i := range instances {
				all = append(all, j.start(b, "--instance", fmt.Sprint("i", i), "--state-dir", fmt.Sprint(j.state, "/", i)))
			}
			seen.wait(b, len(want))
			b.StopTimer()
			stopReading()
			var cpu time.Duration
			peak := 0.0
			for _, p := range all {
				spent, most := stop(b, p)
				cpu += spent
				peak = max(peak, most)
			}
			n := float64(c.rows)
			b.ReportMetric(n/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(n/cpu.Seconds(), "events/cpu-s")
			b.ReportMetric(peak, "peak-MB")
			testkit.Compare(b, j.alerts(b), want)
		})
	}
}
