package bench

import (
	"slices"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/testkit"
)

// BenchmarkHeavy is the latency of other users' rows at 2,000/s, alone and while a user with BRIMLINE_BENCH_HEAVY
// rows in one window gets a hundred more a second, once all that was there before is answered. BRIMLINE_BENCH_LIVE says
// how many rows the others have.
func BenchmarkHeavy(b *testing.B) {
	live, rows := number(b, "BRIMLINE_BENCH_LIVE", 120_000), number(b, "BRIMLINE_BENCH_HEAVY", 3_000_000)
	b.Run("without", func(b *testing.B) { heavy(b, live, 0) })
	b.Run("with", func(b *testing.B) { heavy(b, live, rows) })
	b.Run("without, warm", func(b *testing.B) { heavy(b, live, 0) }) // the first run finds a broker that has just started
}

// heavyRow is row i of the heavy user: all of them are within a day.
func heavyRow(i int) testkit.Row {
	const user, firstID = 20_000_000, 200_000_000
	start := brimline.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	return testkit.Row{
		ID: firstID + int64(i), User: user, Amount: 1, Time: start.Add(time.Duration(i) * 10 * time.Millisecond),
		Description: "heavy",
	}
}

func heavy(b *testing.B, live, rows int) {
	const backlog, rate, each, skip = 100_000, 2000, 20, 3 // one row in twenty is the heavy user's
	limit := max(500_00, brimline.Amount(rows))            // which the heavy user goes over with the first new row
	rule := brimline.Rule{ID: "day", Window: 24 * time.Hour, Limit: limit.Total()}
	j := newJob(b, rulesOf(rule))
	before, paced := spenders(0, backlog), spenders(backlog, live)
	for i := range before {
		before[i].Amount *= limit / 500_00
	}
	for i := range paced {
		paced[i].Amount *= limit / 500_00
	}
	var old []testkit.Row
	for i := range rows {
		old = append(old, heavyRow(i))
	}
	all := paced
	if rows > 0 {
		all = nil
		for i, row := range paced {
			if i%each == 0 {
				all = append(all, heavyRow(rows+i/each))
			}
			all = append(all, row)
		}
	}
	j.fill(b, before)
	j.fill(b, old)
	j.table.Insert(b, all)
	j.table.Analyze(b)
	want := j.table.Edges(b, rule, "")

	seen := newArrivals()
	stopReading := seen.read(b, j.names.Alerts)
	p := j.start(b)
	started := time.Now()
	j.awaitWindow(b, len(before)+len(old))
	folded := time.Since(started)
	j.awaitVerify(b)
	b.ReportMetric(folded.Seconds(), "folded-s")
	b.ReportMetric(time.Since(started).Seconds(), "caught-up-s")
	seen.wait(b, edgesAmong(before))
	sent := events(all)
	due := pace(b, j.names.Source, len(sent), rate*len(all)/len(paced), func(i int) *testkit.Event { return &sent[i] })
	seen.wait(b, len(want))
	stopReading()
	cpu, peak := stop(b, p)
	testkit.Compare(b, j.alerts(b), want)

	var took []time.Duration
	for i := skip * rate; i < len(all); i++ {
		if at := seen.at[all[i].ID]; !at.IsZero() && all[i].User < heavyRow(0).User {
			took = append(took, at.Sub(due[i]))
		}
	}
	slices.Sort(took)
	reportQuantiles(b, "others-", took)
	b.ReportMetric(float64(len(took)), "others-alerts")
	b.ReportMetric(peak, "peak-MB")
	b.ReportMetric(cpu.Seconds(), "cpu-s")
}
