package bench

import (
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/testkit"
)

// BenchmarkRebalance is the latency at a fixed rate while a second instance joins, leaves by a clean stop, joins again
// and is killed: for each of these, of the rows that were due from then until the next one.
func BenchmarkRebalance(b *testing.B) {
	const backlog, rate = 100_000, 2000
	rule := brimline.Rule{ID: "day", Window: 24 * time.Hour, Limit: brimline.Amount(50_000).Total()}
	j := newJob(b, rulesOf(rule))
	var second *testkit.Process
	join := func() { second = j.start(b, "--instance", "second") }
	steps := []struct {
		name string
		at   time.Duration
		do   func()
	}{
		{"alone", 3 * time.Second, func() {}},
		{"join", 10 * time.Second, join},
		{"leave", 20 * time.Second, func() { second.Signal(syscall.SIGTERM) }},
		{"again", 30 * time.Second, join},
		{"kill", 40 * time.Second, func() { second.Signal(syscall.SIGKILL) }},
		{"", 55 * time.Second, nil},
	}
	lasts := steps[len(steps)-1].at
	before, paced := spenders(0, backlog), spenders(backlog, rate*int(lasts/time.Second))
	j.fill(b, before)
	j.table.Insert(b, paced)
	j.table.Analyze(b)
	want := j.table.Edges(b, rule, "")
	seen := newArrivals()
	stopReading := seen.read(b, j.names.Alerts)
	p := j.start(b, "--instance", "first")
	seen.wait(b, edgesAmong(before))

	all := events(paced)
	began := time.Now()
	var (
		due    []time.Time
		pacing sync.WaitGroup
	)
	pacing.Go(func() {
		due = pace(b, j.names.Source, len(all), rate, func(i int) *testkit.Event { return &all[i] })
	})
	for _, step := range steps[:len(steps)-1] {
		time.Sleep(time.Until(began.Add(step.at))) // the benchmark's own timetable
		step.do()
	}
	pacing.Wait()
	seen.wait(b, len(want))
	stopReading()
	stop(b, p)
	testkit.Compare(b, j.alerts(b), want)

	for n, step := range steps[:len(steps)-1] {
		var took []time.Duration
		for i := range paced {
			at := seen.at[paced[i].ID]
			if since := due[i].Sub(due[0]); at.IsZero() || since < step.at || since >= steps[n+1].at {
				continue
			}
			took = append(took, at.Sub(due[i]))
		}
		slices.Sort(took)
		b.ReportMetric(milliseconds(took, .5), step.name+"-p50-ms")
		b.ReportMetric(milliseconds(took, 1), step.name+"-max-ms")
	}
}
