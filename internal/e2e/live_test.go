package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/brimline/brimline/internal/testkit"
)

// TestLiveAlertsAreExactlyTheEdges: rows are committed while everything runs,
// by capture and two instances, some in large transactions. Verification asks
// for rows that have only just become visible, and users are swept meanwhile.
// Row times follow the commits, so the edges are final when they are met.
func TestLiveAlertsAreExactlyTheEdges(t *testing.T) {
	t.Parallel()
	seed := testkit.Seed(t)
	r := testkit.Rand(seed)
	j := newJob(t, parts(t), 4, drawRules(r, 5000))
	slot := testkit.Unique(t)
	j.names.Source = slot + ".streaming.transactions"
	j.CreateTopic(t, j.names.Source, 4)
	j.options = []string{"--sweep-every", "200ms", "--keep-edges", "100h", "--log-level", "debug"}
	testkit.Start(t, binary, []string{"BRIMLINE_DATABASE_URL=" + j.url}, "capture",
		"--brokers", strings.Join(j.Brokers, ","),
		"--source", j.names.Source, "--slot", slot, "--publication", slot)
	a, b := j.start(t, 1), j.start(t, 2)
	waitOutput(t, a, "stage window: partitions")

	rows := testkit.Shape{
		Rows: 3000, Users: 60, Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		Span: 60 * 24 * time.Hour, Grain: time.Minute, MaxAmount: 10000, Heavy: 0.05,
	}.Draw(r)
	for i := range rows { // strictly in the order of their times
		if i > 0 && rows[i].Time < rows[i-1].Time {
			rows[i].Time = rows[i-1].Time
		}
	}
	for rest := rows; len(rest) > 0; {
		n := min(len(rest), 1+r.IntN(40))
		j.table.Insert(t, rest[:n])
		rest = rest[n:]
	}
	j.waitSource(t, len(rows))
	waitOutput(t, a, "window table swept")
	waitOutput(t, b, "window table swept")
	for _, p := range []*testkit.Process{a, b} {
		p.Signal(syscall.SIGTERM)
		j.mustEnd(t, p)
	}
	j.options = nil // a sweep every moment would keep it from ever being caught up
	j.finish(t)
	j.judge(t)
	if dead := j.deadLetters(t); len(dead) != 0 {
		t.Errorf("%d dead letters, the first: %s", len(dead), fmt.Sprintf("%+v", dead[0]))
	}
}
