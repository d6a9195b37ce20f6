package e2e

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/testkit"
)

// TestUsersComeBackAfterSweeps: users are swept as often as can be, and come back after jumps in time; partitions of
// the source topic are far apart, and each has its rows in order. The alerts are PostgreSQL's edges.
func TestUsersComeBackAfterSweeps(t *testing.T) { testSwept(t, true) }

// TestLateRowsAfterSweeps: the same with rows in any order. No edge is missing, and an edge comes a second time only
// if what was announced was forgotten with its user (docs/semantics.md).
func TestLateRowsAfterSweeps(t *testing.T) { testSwept(t, false) }

func testSwept(t *testing.T, inOrder bool) {
	t.Parallel()
	seed := testkit.Seed(t)
	r := testkit.Rand(seed)
	partitions := 1 + r.IntN(4)
	j := newJob(t, parts(t), partitions, `
lateness: 5h
rules:
  - {id: sum, window: 24h, limit: 150}
  - {id: net, window: 6h, limit: 60, measure: sum}
  - {id: count, window: 12h, limit: 2, measure: count}
`)
	j.options = []string{"--sweep-every", "200ms", "--keep-edges", "3h", "--log-level", "debug"}
	start := brimline.TimeOf(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC))
	var rows []testkit.Row
	const users = 12
	// Each partition begins with a row of every user: one of which a partition of the table has heard nothing holds
	// up no sweep there.
	for range partitions * users {
		rows = append(rows, testkit.Row{ID: int64(len(rows) + 1), User: int64(len(rows)%users + 1), Time: start})
	}
	at := start
	for len(rows) < 400 {
		// Times of a few users each, with gaps between them in which who is not there ages out.
		some := []int64{1 + r.Int64N(users), 1 + r.Int64N(users), 1 + r.Int64N(users)}
		for range 5 + r.IntN(15) {
			at = at.Add(time.Duration(r.IntN(120)) * time.Minute)
			rows = append(rows,
				testkit.Row{ID: int64(len(rows) + 1), User: some[r.IntN(3)],
					Amount: brimline.Amount(r.Int64N(9000) - 1500), Time: at})
		}
		at = at.Add(time.Duration(r.IntN(200)) * time.Hour)
	}
	// At the end each partition is far ahead, so that whatever was drawn, there are users to sweep.
	for range partitions {
		rows = append(rows, testkit.Row{ID: int64(len(rows) + 1), User: 1, Time: at.Add(60 * 24 * time.Hour)})
	}
	j.table.Insert(t, rows)
	sources := make([][]testkit.Event, partitions)
	for i := range rows {
		e := testkit.Envelope("transactions", "c", nil, &rows[i], int64(i))
		e.Value = []byte(strings.Replace(string(e.Value), fmt.Sprintf(`"txId":%d`, 700+i), `"txId":null`, 1))
		e.Partition = r.Int32N(int32(partitions))
		if i < partitions*users {
			e.Partition = int32(i / users)
		}
		if last := i - (len(rows) - partitions); last >= 0 {
			e.Partition = int32(last)
		}
		sources[e.Partition] = append(sources[e.Partition], e)
	}
	sent := 0
	send := func(p, n int) {
		n = min(n, len(sources[p]))
		j.Produce(t, j.names.Source, sources[p][:n])
		sources[p], sent = sources[p][n:], sent+n
	}
	for p := range sources {
		if !inOrder {
			r.Shuffle(len(sources[p]), func(a, b int) { sources[p][a], sources[p][b] = sources[p][b], sources[p][a] })
		}
		send(p, users)
	}
	p := j.start(t, 0)
	await := func(what string, done func() bool) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := testkit.Eventually(ctx, func() (bool, error) { return done(), nil }); err != nil {
			t.Fatalf("waiting for %s: %v\n%s", what, err, p.Output())
		}
	}
	const sweptAll = "window table swept"
	sweeps := func(n int) {
		t.Helper()
		swept := func() int { return strings.Count(p.Output(), sweptAll) }
		before := swept()
		await("sweeps", func() bool { return swept() >= before+n })
	}
	j.waitHandled(t, int64(sent))
	for left := true; left; {
		for range 1 + r.IntN(3) { // one partition far ahead of the others
			send(r.IntN(partitions), 1+r.IntN(60))
		}
		j.waitHandled(t, int64(sent))
		sweeps(1 + r.IntN(3))
		left = false
		for p := range sources {
			left = left || len(sources[p]) > 0
		}
	}
	sweeps(3) // one may have begun before the last rows were handled
	// A user is let alone until a whole sweep after the last answer about it, and answers may come late.
	await("a user that is swept", func() bool {
		return strings.Count(p.Output(), sweptAll) > strings.Count(p.Output(), sweptAll+`" visited=0 `)
	})
	p.Signal(syscall.SIGTERM)
	j.mustEnd(t, p)
	j.finish(t)
	gone := 0
	for _, record := range j.Records(t, j.names.WindowTable) {
		if record.Value == nil && !strings.HasPrefix(string(record.Key), "\x00") {
			gone++
		}
	}
	if gone == 0 {
		t.Error("no user was swept: there was nothing to see")
	}
	t.Logf("%d times a user was swept", gone)
	if inOrder {
		j.judge(t)
		return
	}
	want := j.edges(t)
	repeated := 0
	for _, wrong := range testkit.Differences(j.alerts(t), want) {
		if strings.HasPrefix(wrong, "doubled ") {
			repeated++
			continue
		}
		t.Error(wrong)
	}
	t.Logf("%d edges, %d alerts came again", len(want), repeated)
}
