package bench

import (
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/testkit"
)

// BenchmarkDeletes is the time from a process's start until the last alert of a history is there, a tenth of whose rows
// were deleted: their deletions come up to 200,000 events later, PostgreSQL has none of them, and so it refuses edges.
// With asking again, and without. The stream loses nothing: each user who is distrusted is so wrongly.
// BRIMLINE_BENCH_DELETES says how many rows there are.
func BenchmarkDeletes(b *testing.B) {
	seed := testkit.Seed(b)
	b.Logf("seed %d", seed)
	for _, after := range []string{"0s", "1m"} {
		b.Run("distrust-after="+after, func(b *testing.B) { deletes(b, seed, after) })
	}
}

func deletes(b *testing.B, seed uint64, distrustAfter string) {
	const some, chunks = 50_000, 4
	week := brimline.Rule{ID: "week", Window: 7 * 24 * time.Hour, Limit: brimline.Amount(50_000).Total()}
	j := newJob(b, rulesOf(week))
	r := testkit.Rand(seed)
	n := number(b, "BRIMLINE_BENCH_DELETES", 1_000_000)
	rows := crowd{users: n / 10, rows: n, s: 1.1, q: 500}.draw(r)
	var stay []testkit.Row
	last, all := (len(rows)-1)/some, 0
	deleted := make([][]testkit.Event, last+1)
	for from := 0; from < len(rows); from += some {
		these := rows[from:min(from+some, len(rows))]
		for i := range these {
			if r.IntN(10) > 0 {
				stay = append(stay, these[i])
				continue
			}
			e := testkit.Envelope("transactions", "d", &these[i], nil, int64(len(rows))+these[i].ID)
			e.Partition = int32(these[i].ID % partitions)
			at := min(from/some+r.IntN(chunks+1), last)
			deleted[at] = append(deleted[at], e)
		}
		written := append(events(these), deleted[from/some]...)
		parts.Produce(b, j.names.Source, written)
		all += len(written)
	}
	j.table.Insert(b, stay)
	j.table.Analyze(b)
	want := j.table.Edges(b, week, "")

	seen := newArrivals()
	stopReading := seen.read(b, j.names.Alerts)
	b.ResetTimer()
	p := j.start(b, "--until-caught-up", "--distrust-after", distrustAfter)
	seen.wait(b, len(want))
	b.StopTimer()
	stopReading()
	cpu, peak := end(b, p)
	testkit.Compare(b, j.alerts(b), want)

	distrusted := map[string]bool{}
	for _, m := range parts.Records(b, j.names.Changes) {
		var c brimline.Change
		if err := codecs.DecodeChange(m.Value, &c); err != nil {
			b.Fatal(err)
		}
		if c.Kind == brimline.Disbelieved {
			distrusted[c.User] = true
		}
	}
	again := len(parts.Records(b, j.names.Again))
	if (again == 0) != (distrustAfter == "0s") {
		b.Errorf("%d records of what is asked again: nothing to see", again)
	}
	b.ReportMetric(float64(all)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(cpu.Seconds()/float64(all)*1e6, "cpu-s/M")
	b.ReportMetric(peak, "peak-MB")
	b.ReportMetric(float64(len(want)), "edges")
	b.ReportMetric(float64(again), "asked-again")
	b.ReportMetric(float64(len(distrusted)), "wrongly-distrusted")
}
